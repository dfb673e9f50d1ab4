"""The workload API of an IoT Edge device: it signs for the module and knows whom to trust."""

import base64
import http.client
import json
import socket
from typing import Any
from urllib.parse import quote, urlsplit

from berth_scoring.edge.errors import WorkloadError
from berth_scoring.edge.identity import ModuleIdentity

TIMEOUT_SECONDS = 10.0
LARGEST_ANSWER = 1024 * 1024


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix domain socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)


class Workload:
    """Asks the workload API; its calls block."""

    def __init__(self, identity: ModuleIdentity) -> None:
        self._uri = urlsplit(identity.workload_uri)
        self._version = quote(identity.workload_version, safe="")
        module, generation = (quote(part, safe="") for part in (identity.module, identity.generation))
        self._sign_path = f"/modules/{module}/genid/{generation}/sign"

    def trust_bundle(self) -> str:
        """Return the certificates to trust, in PEM; none means those of the system."""
        return _text(self._ask("GET", "/trust-bundle"), "certificate")

    def sign(self, data: bytes) -> str:
        """Return the HMAC-SHA256 of the data with the module's own key, in base64."""
        encoded = base64.b64encode(data).decode()
        document = {"keyId": "primary", "algo": "HMACSHA256", "data": encoded}
        return _text(self._ask("POST", self._sign_path, json.dumps(document)), "digest")

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:  # noqa: ANN401 - whatever JSON can hold
        connection = self._connection()
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(method, f"{path}?api-version={self._version}", body, headers)
            response = connection.getresponse()
            text = response.read(LARGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise WorkloadError(f"the workload API does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= 300:  # noqa: PLR2004
            raise WorkloadError(f"the workload API answers {method} {path} with {response.status}")
        try:
            return json.loads(text)
        except ValueError as error:
            raise WorkloadError(f"the workload API answers {method} {path} with what is not JSON") from error

    def _connection(self) -> http.client.HTTPConnection:
        if self._uri.scheme == "unix":
            return UnixConnection(self._uri.path)
        if self._uri.scheme == "http" and self._uri.hostname:
            return http.client.HTTPConnection(self._uri.hostname, self._uri.port, timeout=TIMEOUT_SECONDS)
        raise WorkloadError("IOTEDGE_WORKLOADURI is neither unix:// nor http://")


def _text(answer: object, key: str) -> str:
    value = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, str):
        raise WorkloadError(f"the workload API has answered without {key}")
    return value

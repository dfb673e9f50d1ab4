"""Requests to an API server over one kept connection."""

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from berth_sandbox.cluster.control_plane import ControlPlane

MODEL_DEPLOYMENTS = "/apis/berth.dev/v1alpha1/namespaces/default/modeldeployments"


class ApiServer:
    """One connection to an API server."""

    def __init__(self, control_plane: ControlPlane) -> None:
        address = urlsplit(control_plane.url)
        context = ssl.create_default_context(cafile=str(control_plane.authority))
        self._connection = http.client.HTTPSConnection(address.netloc, context=context, timeout=30)
        self._token = control_plane.token

    def send(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Send a request; give the status code and the answer."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        self._connection.request(method, path, json.dumps(body).encode() if body else None, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(content) if is_json else content.decode()

    def try_create(self, spec: dict[str, Any], name: str = "iris") -> tuple[int, Any]:
        """Create a ModelDeployment without keeping it, refusing unknown fields."""
        path = f"{MODEL_DEPLOYMENTS}?dryRun=All&fieldValidation=Strict"
        return self.send("POST", path, manifest(spec, name))

    def close(self) -> None:
        self._connection.close()


def manifest(spec: dict[str, Any], name: str = "iris") -> dict[str, Any]:
    """Give a ModelDeployment."""
    kind = {"apiVersion": "berth.dev/v1alpha1", "kind": "ModelDeployment"}
    return kind | {"metadata": {"name": name, "namespace": "default"}, "spec": spec}

"""One HTTP request, sent as it is, and an answer that can be compared with another server's."""

import http.client
import re
from dataclasses import dataclass, field
from typing import Any

OF_THE_CONNECTION = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MILLISECONDS = re.compile(r"\d+\.\d{3}")
PRODUCT = re.compile(r"[a-z-]+/\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Exchange:
    """One request, of which both servers must make the same."""

    name: str
    script: str
    method: str = "POST"
    path: str = "/score"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    body: bytes | list[bytes] | None = None


@dataclass(frozen=True)
class Answer:
    """What came back, without what differs from call to call."""

    status: int
    body: Any
    headers: dict[str, list[str]] = field(default_factory=dict)

    def aspects(self) -> dict[str, Any]:
        """Return everything that is compared, by name."""
        return {"status": self.status, "body": self.body, **self.headers}


def ask(port: int, exchange: Exchange) -> Answer:
    """Send a request and return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(exchange.method, exchange.path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", "model.example")
    for name, value in exchange.headers:
        connection.putheader(name, value)
    chunked = isinstance(exchange.body, list)
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    elif exchange.body is not None:
        connection.putheader("Content-Length", str(len(exchange.body)))
    connection.endheaders(exchange.body, encode_chunked=chunked)
    response = connection.getresponse()
    body = response.read().decode("utf-8", "backslashreplace")
    connection.close()
    return Answer(response.status, body, _headers(response))


def _headers(response: http.client.HTTPResponse) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        if name.lower() not in OF_THE_CONNECTION:
            headers.setdefault(name.lower(), []).append(_constant(name.lower(), value))
    return headers


def _constant(name: str, value: str) -> str:
    if name == "x-ms-run-fn-exec-ms":
        return MILLISECONDS.sub("<ms>", value)
    if name == "x-ms-server-version":
        return PRODUCT.sub("<product>", value)
    return UUID.sub("<id>", value)

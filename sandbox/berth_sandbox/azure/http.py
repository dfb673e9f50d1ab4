"""Requests and answers as far as Azure looks at them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HEADERS = {
    "Cache-Control": "no-cache",
    "Expires": "-1",
    "Pragma": "no-cache",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Request:
    """A request; `origin` is how the caller calls this server, the names of headers are in lower case."""

    method: str
    path: str
    origin: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Answer:
    """An answer; without a body the content is empty."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What the log should know of a request: which operation it is, and whose."""

    operation: str = ""
    principal: str | None = None


class AzureStyle:
    """What the answers of Entra and of Azure Resource Manager have in common."""

    @staticmethod
    def refused(status: int, code: str, message: str) -> Answer:
        """Say no."""
        return Answer(status, {"error": {"code": code, "message": message}})

    @staticmethod
    def common_headers() -> Mapping[str, str]:
        """Return the headers of every answer."""
        number = str(uuid.uuid4())
        return {**HEADERS, "x-ms-request-id": number, "x-ms-correlation-request-id": number}

"""Cross-origin requests, for endpoints that browsers call."""

from collections.abc import Sequence
from typing import Self

from berth_scoring.messages import Headers, Request, Response

METHODS = b"GET, POST"


class Cors:
    """Allows the listed origins, or any when `*` is among them."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = {origin.encode() for origin in origins}

    @classmethod
    def from_text(cls, origins: str | None) -> Self | None:
        """Read `AML_CORS_ORIGINS`, a list with commas."""
        names = [name.strip() for name in (origins or "").split(",") if name.strip()]
        return cls(names) if names else None

    def is_preflight(self, request: Request) -> bool:
        """Tell whether a browser asks what it may send; it does so without the key."""
        asks = b"access-control-request-method" in request.fields
        return request.method == "OPTIONS" and asks and bool(self.headers(request))

    def preflight(self, request: Request) -> Response:
        """Answer such a question."""
        headers = [(b"access-control-allow-methods", METHODS)]
        wanted = request.fields.get(b"access-control-request-headers")
        if wanted is not None:
            headers.append((b"access-control-allow-headers", wanted))
        return Response(200, b"", headers)

    def headers(self, request: Request) -> Headers:
        """Return what tells a browser that its page may read the answer."""
        origin = request.fields.get(b"origin")
        if origin is None or not self._origins & {origin, b"*"}:
            return []
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]

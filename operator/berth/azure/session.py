"""The one pool of connections that all clients of Azure share."""

import asyncio
import ssl
from typing import Any

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport

from berth.api.conditions import Reason
from berth.core.errors import Terminal

_CONNECT_SECONDS = 5
_READ_SECONDS = 20


class Transport(AioHttpTransport):  # type: ignore[misc]  # loaded by the package in a way that hides its type
    """Sends requests over a session that is not its own, and trusts its own authorities.

    The libraries' own setting for that, `connection_verify`, connects anew for every request.
    """

    def __init__(self, session: aiohttp.ClientSession, trust: ssl.SSLContext) -> None:
        super().__init__(
            session=session,
            session_owner=False,
            connection_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
        )
        self._trust = trust

    async def send(self, request: Any, **options: Any) -> Any:  # noqa: ANN401 - of either kind
        """Send a request."""
        return await super().send(request, ssl=self._trust, **options)


class Session:
    """Gives a transport for each set of authorities; all of them share a bounded pool of connections."""

    def __init__(self, *, connections: int = 64) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=True,
        )
        self._transports: dict[str, Transport] = {}

    async def transport(self, ca_bundle: str = "") -> Transport:
        """Return the transport that trusts the system's authorities and those of a bundle."""
        if ca_bundle not in self._transports:
            trust = await asyncio.to_thread(_trust, ca_bundle)
            # Another may have come first meanwhile: the pool goes by the object.
            self._transports.setdefault(ca_bundle, Transport(self._session, trust))
        return self._transports[ca_bundle]

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()


def _trust(ca_bundle: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle:
        try:
            # Only ASCII is taken, and comments between certificates may hold more.
            context.load_verify_locations(cadata=ca_bundle.encode("ascii", "ignore").decode())
        except ssl.SSLError as error:
            message = f"caBundle cannot be read as certificates: {error.reason or error.args[-1]}"
            raise Terminal(Reason.CONFIG_INVALID, message) from error
    return context

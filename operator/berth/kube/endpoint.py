"""Calls a scoring endpoint, as a user of it would."""

from collections.abc import Mapping
from http import HTTPStatus

import aiohttp

from berth.core.errors import Transient
from berth.targets.golden import Answer

_LONGEST_ANSWER = 1_000_000
_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=3)


class Endpoints:
    """Posts to scoring endpoints on a session of its own, which knows no credentials of the API server."""

    def __init__(self) -> None:
        # A connection that is kept open leads to a Pod that its Service may have left.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Send one request; raises Transient where the endpoint cannot be reached.

        Follows no redirect: a model must not choose what the operator asks next.
        """
        try:
            async with self._session.post(
                url, data=body.encode(), headers=headers, allow_redirects=False
            ) as response:
                content = await _read(response.content)
                return Answer(response.status, content.decode(errors="replace"))
        except (aiohttp.ClientError, ValueError) as error:
            raise Transient(f"{url} cannot be reached: {error}") from error

    async def is_ready(self, url: str) -> bool:
        """Tell whether a GET is answered with 200, and soon."""
        try:
            async with self._session.get(url, timeout=_PROBE_TIMEOUT, allow_redirects=False) as response:
                return response.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False

    async def close(self) -> None:
        """End the session."""
        await self._session.close()


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """Read to the end, or to a length beyond whatever can be expected."""
    content = bytearray()
    async for chunk in stream.iter_any():
        content += chunk
        if len(content) > _LONGEST_ANSWER:
            break
    return bytes(content[:_LONGEST_ANSWER])

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

    async def post(
        self, url: str, body: str, headers: Mapping[str, str], certificate: bytes | None = None
    ) -> Answer:
        """Send one request; raises Transient where the endpoint cannot be reached.

        By HTTPS it must show the certificate of that SHA-256; without one, any will do.
        Follows no redirect: a model must not choose what the operator asks next.
        """
        try:
            async with self._session.post(
                url,
                data=body.encode(),
                headers=headers,
                allow_redirects=False,
                ssl=_trust(certificate),
            ) as response:
                content = await _read(response.content)
                return Answer(response.status, content.decode(errors="replace"))
        except (aiohttp.ClientError, ValueError) as error:
            raise Transient(f"{url} cannot be reached: {error}") from error

    async def is_ready(self, url: str, certificate: bytes | None = None) -> bool:
        """Tell whether a GET is answered with 200, and soon; `certificate` is as for `post`."""
        trust = _trust(certificate)
        try:
            async with self._session.get(
                url, timeout=_PROBE_TIMEOUT, allow_redirects=False, ssl=trust
            ) as response:
                return response.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False

    async def headers(self, url: str) -> Mapping[str, str]:
        """Return what a GET that is answered with 200 says in its headers; raises Transient otherwise."""
        try:
            async with self._session.get(
                url, timeout=_PROBE_TIMEOUT, allow_redirects=False, ssl=_trust(None)
            ) as response:
                if response.status == HTTPStatus.OK:
                    return response.headers
                raise Transient(f"{url} answers {response.status}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Transient(f"{url} cannot be reached: {error}") from error

    async def close(self) -> None:
        """End the session."""
        await self._session.close()


def _trust(certificate: bytes | None) -> aiohttp.Fingerprint | bool:
    # Endpoints are asked by their number, which no certificate names.
    return False if certificate is None else aiohttp.Fingerprint(certificate)


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """Read to the end, or to a length beyond whatever can be expected."""
    content = bytearray()
    async for chunk in stream.iter_any():
        content += chunk
        if len(content) > _LONGEST_ANSWER:
            break
    return bytes(content[:_LONGEST_ANSWER])

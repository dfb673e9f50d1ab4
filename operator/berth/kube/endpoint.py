"""Calls a scoring endpoint, as a user of it would."""

from collections.abc import Mapping

import aiohttp

from berth.core.errors import Transient
from berth.targets.golden import Answer

_LONGEST_ANSWER = 1_000_000


class Endpoints:
    """Posts to scoring endpoints on a session of its own, which knows no credentials of the API server."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Send one request; raises Transient where the endpoint cannot be reached."""
        try:
            async with self._session.post(url, data=body.encode(), headers=headers) as response:
                content = await response.content.read(_LONGEST_ANSWER)
                return Answer(response.status, content.decode(errors="replace"))
        except aiohttp.ClientError as error:
            raise Transient(f"{url} cannot be reached: {error}") from error

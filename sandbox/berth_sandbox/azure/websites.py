"""Files under names that are not Azure's: what models come from in a cluster that knows no other network."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Websites:
    """Answers with files where the host that is asked has some, and leaves the rest to another handler."""

    def __init__(self, folders: Mapping[str, Path], otherwise: Handler) -> None:
        self._folders = folders
        self._otherwise = otherwise

    async def handle(self, received: web.Request) -> web.StreamResponse:
        """Answer a request."""
        folder = self._folders.get((received.url.host or "").lower())
        if folder is None:
            return await self._otherwise(received)
        file = Path(f"{folder}/{received.match_info['path']}")
        if ".." in file.parts:
            raise web.HTTPNotFound
        return web.FileResponse(file)

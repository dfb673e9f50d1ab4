"""The workload API, which a device offers to its modules over a Unix domain socket."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from berth_sandbox.azure.edge_hub.tokens import sign


class WorkloadApi:
    """Signs with the keys of modules and tells whom to trust."""

    def __init__(self, trust_bundle: str, keys: Mapping[str, bytes]) -> None:
        self._trust_bundle = trust_bundle
        self._keys = keys
        self.signatures = 0
        self.broken = False
        """Whether every call fails."""

    def served(self, socket: Path) -> AbstractAsyncContextManager[None]:
        """Answer on a socket until the block ends."""
        return self.served_by(lambda runner: web.UnixSite(runner, str(socket)))

    @asynccontextmanager
    async def served_by(self, site: Callable[[web.AppRunner], web.BaseSite]) -> AsyncIterator[None]:
        """Answer wherever a site is, until the block ends."""
        application = web.Application(middlewares=[self._break])
        application.add_routes(
            [
                web.get("/trust-bundle", self._trust),
                web.post("/modules/{module}/genid/{generation}/sign", self._sign),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await runner.setup()
        try:
            await site(runner).start()
            yield
        finally:
            await runner.cleanup()

    @web.middleware
    async def _break(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.broken:
            return web.json_response({"message": "Module not found"}, status=404)
        return await handler(request)

    async def _trust(self, _request: web.Request) -> web.Response:
        return web.json_response({"certificate": self._trust_bundle})

    async def _sign(self, request: web.Request) -> web.Response:
        key = self._keys.get(request.match_info["module"])
        document = json.loads(await request.read())  # the SDK names no content type
        if key is None or document.get("algo") != "HMACSHA256":
            return web.json_response({"message": "Module not found"}, status=404)
        self.signatures += 1
        return web.json_response({"digest": sign(key, base64.b64decode(document["data"]))})

"""Stands between a client and the API server, and breaks watches on demand."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import ClientConnectionResetError, web
from aiohttp_tls import let_connections_end

from berth_sandbox.cluster.control_plane import ControlPlane

EXPIRED = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


class FaultyProxy:
    """Forwards plain HTTP; `cut` ends the watches and holds all requests back until `resume`.

    `fault` gives the status to answer a request with, or None to forward it.
    """

    def __init__(self, control_plane: ControlPlane, upstream: aiohttp.ClientSession) -> None:
        self._url = control_plane.url
        self._token = control_plane.token
        self._upstream = upstream
        self._open = asyncio.Event()
        self._open.set()
        self._streams: set[asyncio.Task[None]] = set()
        self.expire_watches = 0
        self.fault: Callable[[web.Request], int | None] = lambda _: None
        self.requests: list[str] = []
        self.url = ""

    def cut(self) -> None:
        """End the watches as a network does, and let nothing through."""
        self._open.clear()
        for stream in self._streams:
            stream.cancel()

    def resume(self, *, expire_watches: int = 0) -> None:
        """Let requests through again; the next watches learn that their place is lost."""
        self.expire_watches = expire_watches
        self._open.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await self._open.wait()
        self.requests.append(f"{request.method} {request.rel_url}")
        if (status := self.fault(request)) is not None:
            return web.json_response({"message": "on purpose"}, status=status)
        watching = "watch" in request.query
        if watching and self.expire_watches:
            self.expire_watches -= 1
            return web.Response(body=json.dumps({"type": "ERROR", "object": EXPIRED}).encode() + b"\n")
        headers = {
            name: request.headers[name] for name in ("Accept", "Content-Type") if name in request.headers
        }
        headers["Authorization"] = f"Bearer {self._token}"
        async with self._upstream.request(
            request.method, self._url + request.raw_path, headers=headers, data=await request.read() or None
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            forward = asyncio.create_task(self._forward(answer, request, response))
            if watching:
                self._streams.add(forward)
                forward.add_done_callback(self._streams.discard)
            try:
                await forward
            except ClientConnectionResetError:
                return response  # A killed operator does not read its answer.
            except asyncio.CancelledError:
                if request.transport is not None:
                    request.transport.abort()
            return response

    @staticmethod
    async def _forward(
        answer: aiohttp.ClientResponse, request: web.Request, response: web.StreamResponse
    ) -> None:
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()


@asynccontextmanager
async def faulty_proxy(control_plane: ControlPlane) -> AsyncIterator[FaultyProxy]:
    """Run a proxy on loopback."""
    context = ssl.create_default_context(cafile=str(control_plane.authority))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context), timeout=aiohttp.ClientTimeout(total=None)
    ) as upstream:
        proxy = FaultyProxy(control_plane, upstream)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield proxy
        finally:
            proxy.cut()
            proxy.resume()
            await runner.cleanup()
            await let_connections_end()

"""The emulated Azure over HTTPS, with a certificate authority of its own."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from aiohttp import web

from berth_sandbox.azure.admin import Admin
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.front import Front
from berth_sandbox.azure.websites import Websites

LOOPBACK = ("127.0.0.1", "localhost")
MOST_BYTES = 4 * 2**20  # of a request to Azure Resource Manager


@dataclass(frozen=True)
class Endpoint:
    """Where the emulated Azure is: one URL for the authority and for the resource manager.

    `plain_url` is the same without TLS, as a machine's metadata service is.
    """

    url: str
    ca_file: Path
    plain_url: str


@asynccontextmanager
async def served(
    azure: Azure,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    plain_port: int = 0,
    names: Sequence[str] = LOOPBACK,
) -> AsyncIterator[Endpoint]:
    """Serve Azure until the block ends; `folder` keeps the authority, so that a restart needs no new one."""
    authority = _authority(folder)
    application = web.Application(client_max_size=MOST_BYTES)
    others = Websites(azure.websites, Front(azure).handle)
    application.add_routes([*Admin(azure).routes(), web.route("*", "/{path:.*}", others.handle)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=_context(authority, names)).start()
        await web.TCPSite(runner, host, plain_port).start()
        secure, plain = (address[1] for address in runner.addresses)
        yield Endpoint(f"https://{names[0]}:{secure}", folder / "ca.pem", f"http://{names[0]}:{plain}")
    finally:
        _hang_up(runner)
        await runner.cleanup()


def _hang_up(runner: web.AppRunner) -> None:
    """Close connections at once: a caller in another thread may not take part in the end of TLS."""
    for connection in runner.server.connections if runner.server else ():
        if connection.transport:
            connection.transport.abort()


@contextmanager
def served_from_thread(azure: Azure, folder: Path) -> Iterator[Endpoint]:
    """Serve Azure on the loopback interface to a caller without an event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="azure", daemon=True)
    thread.start()
    serving = served(azure, folder)
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _authority(folder: Path) -> trustme.CA:
    certificate, key = folder / "ca.pem", folder / "ca.key"
    if certificate.exists() and key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="Berth", organization_unit_name="Emulated Azure")
    key.touch(mode=0o600)
    authority.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(certificate)
    return authority


def _context(authority: trustme.CA, names: Sequence[str]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context

"""One device in a cluster: its edge hub and its workload API, which its modules reach over the network."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trustme
from aiohttp import web

from berth_sandbox.azure.edge_hub.device import module_environment
from berth_sandbox.azure.edge_hub.hub import EdgeHub
from berth_sandbox.azure.edge_hub.workload import WorkloadApi

HUB_PORT = 8883
WORKLOAD_PORT = 15580


@dataclass(frozen=True)
class Gateway:
    """The name that a device has for its modules, and the ports of this process behind it."""

    name: str
    hub_port: int = HUB_PORT
    workload_port: int = WORKLOAD_PORT


class NetworkDevice:
    """A device whose modules run elsewhere: `gateway` leads them here."""

    def __init__(self, hub: str, device: str, gateway: Gateway) -> None:
        self._authority = trustme.CA(organization_name="Berth", organization_unit_name="Emulated device")
        self._gateway = gateway
        self.hub = EdgeHub(hub, device, {})
        self.workload = WorkloadApi(self._authority.cert_pem.bytes().decode(), self.hub.keys)

    def environment(self, module: str) -> dict[str, str]:
        """Return the variables that the edge agent sets in a module, which from now on has a key."""
        self.hub.keys.setdefault(module, secrets.token_bytes(32))
        workload = f"http://{self._gateway.name}:{WORKLOAD_PORT}"
        return module_environment(self.hub, module, gateway=self._gateway.name, workload=workload)

    @asynccontextmanager
    async def served(self, host: str) -> AsyncIterator[None]:
        """Serve both on an address of this machine until the block ends."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(self._gateway.name).configure_cert(context)
        server = await asyncio.start_server(self.hub.serve, host, self._gateway.hub_port, ssl=context)
        try:
            async with self.workload.served_by(
                lambda runner: web.TCPSite(runner, host, self._gateway.workload_port)
            ):
                yield
        finally:
            server.close()
            self.hub.cut()

"""The services of a device that its modules use: the hub and the workload API."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trustme

from berth_sandbox.azure.edge_hub.hub import EdgeHub, Limits
from berth_sandbox.azure.edge_hub.workload import WorkloadApi

PORT = 8883
"""Fixed in the device SDK: several devices on one machine take an address each, such as 127.0.0.2."""
API_VERSION = "2018-06-28"
GENERATION = "638000000000000000"


def module_environment(hub: EdgeHub, module: str, *, gateway: str, workload: str) -> dict[str, str]:
    """Return the variables that the edge agent sets in a module; `workload` is a URI."""
    return {
        "IOTEDGE_WORKLOADURI": workload,
        "IOTEDGE_APIVERSION": API_VERSION,
        "IOTEDGE_MODULEGENERATIONID": GENERATION,
        "IOTEDGE_MODULEID": module,
        "IOTEDGE_DEVICEID": hub.device,
        "IOTEDGE_IOTHUBHOSTNAME": hub.hub,
        "IOTEDGE_GATEWAYHOSTNAME": gateway,
        "IOTEDGE_AUTHSCHEME": "sasToken",
    }


class EdgeServices:
    """The hub and the workload API of one device, with keys and a certificate authority of their own."""

    def __init__(
        self,
        *,
        hub: str,
        device: str,
        modules: Iterable[str],
        address: str,
        folder: Path,
        limits: Limits | None = None,
    ) -> None:
        keys = {module: secrets.token_bytes(32) for module in modules}
        self._authority = trustme.CA(organization_name="Berth", organization_unit_name="Emulated device")
        self.hub = EdgeHub(hub, device, keys, limits)
        self.workload = WorkloadApi(self._authority.cert_pem.bytes().decode(), self.hub.keys)
        self._address = address
        self.socket = folder / "workload.sock"
        """Where the workload API is."""

    def environment(self, module: str) -> dict[str, str]:
        """Return the variables that the edge agent sets in a module."""
        return module_environment(self.hub, module, gateway=self._address, workload=f"unix://{self.socket}")

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Serve both until the block ends."""
        async with AsyncExitStack() as running:
            await running.enter_async_context(self.workload.served(self.socket))
            await running.enter_async_context(self.hub_served())
            yield

    @asynccontextmanager
    async def hub_served(self) -> AsyncIterator[None]:
        """Serve the hub alone, which may stop and come back: what it has stored stays."""
        server = await asyncio.start_server(self.hub.serve, self._address, PORT, ssl=self._context())
        try:
            yield
        finally:
            server.close()
            self.hub.cut()

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(self._address).configure_cert(context)
        return context

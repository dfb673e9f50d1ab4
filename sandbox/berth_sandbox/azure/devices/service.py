"""Lets the devices of hubs run their modules in the cluster that the emulator runs in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.devices.backing import DevicePods
from berth_sandbox.azure.devices.objects import Surroundings
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.pods.api import Api, Refusal
from berth_sandbox.azure.pods.starts import Starts

PERIOD_SECONDS = 1.0


@asynccontextmanager
async def devices_served(
    azure: Azure, api: Api, surroundings: Surroundings, host: str
) -> AsyncIterator[None]:
    """Serve every device that has a gateway, on an address of this machine, until the block ends."""
    starts = Starts(api)
    await starts.clear()  # nobody knows the modules of an emulator before this one
    async with AsyncExitStack() as serving:
        for hub in azure.hubs.all():
            hub.fleet.backing = pods = DevicePods(starts, hub.edges, surroundings)
            for edge in hub.edges.values():
                await serving.enter_async_context(edge.served(host))
            await serving.enter_async_context(_kept_running(hub, pods))
        yield


@asynccontextmanager
async def _kept_running(hub: Hub, pods: DevicePods) -> AsyncIterator[None]:
    task = asyncio.create_task(_keep_running(hub, pods))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep_running(hub: Hub, pods: DevicePods) -> None:
    while True:
        hub.fleet.tell_backing(hub.now)
        try:
            await pods.carry_out()
        except (Refusal, aiohttp.ClientError, TimeoutError) as error:
            print(f"The modules of {hub.name} wait: {error}", flush=True)
        await asyncio.sleep(PERIOD_SECONDS)

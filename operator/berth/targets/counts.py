"""Counts devices of both kinds: extended resources, and devices of DRA classes."""

import asyncio
from collections.abc import Callable

from berth.plan.fpga_placement import Device
from berth.targets.counting import Counting
from berth.targets.device_classes import DeviceClasses
from berth.targets.devices import Devices
from berth.targets.watches import Follow, Wake


class Counts:
    """Knows who counts a device; asks the API server nothing until someone wants to know."""

    def __init__(self, follow: Follow, clock: Callable[[], float]) -> None:
        self._resources = Devices(follow, clock)
        self._classes = DeviceClasses(follow, clock)

    async def run(self) -> None:
        """Follow what is asked for, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._resources.run())
            group.create_task(self._classes.run())

    def end(self) -> None:
        """Follow no more, for the process ends."""
        self._resources.end()
        self._classes.end()

    def of(self, device: Device, who: object, wake: Wake) -> Counting:
        """Return who counts a device, and tell someone of its news."""
        counting = self._classes if device.is_class else self._resources
        counting.tell(who, wake)
        return counting

    def forget(self, who: object) -> None:
        """Tell someone no more."""
        self._resources.forget(who)
        self._classes.forget(who)

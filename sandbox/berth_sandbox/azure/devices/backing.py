"""Devices whose modules really run: one Pod for each module."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from berth_sandbox.azure.backing import Registry
from berth_sandbox.azure.devices.device import NetworkDevice
from berth_sandbox.azure.devices.objects import ModuleObjects, Surroundings
from berth_sandbox.azure.devices.options import OptionsError
from berth_sandbox.azure.devices.view import UNSEEN, module_view
from berth_sandbox.azure.edge_hub.routes import RouteError
from berth_sandbox.azure.iot_hub.content import Manifest
from berth_sandbox.azure.iot_hub.modules import ModuleView, RuntimeStatus
from berth_sandbox.azure.names import Document
from berth_sandbox.azure.pods.api import Refusal
from berth_sandbox.azure.pods.starts import Starts

RUNTIME = {"edgeAgent", "edgeHub"}
"""Modules that the emulator is itself."""
STOPPED = ModuleView(RuntimeStatus.STOPPED)
REFUSED = ModuleView(RuntimeStatus.FAILED)

Key = tuple[str, str]


@dataclass(frozen=True)
class Wanted:
    """A module as the agent was told of it, with the registries that its device knows."""

    spec: Mapping[str, Any]
    registries: tuple[Registry, ...] = ()


@dataclass(frozen=True)
class Started:
    """The present start of a module; one that is stopped or refused has no objects."""

    wanted: Wanted
    objects: ModuleObjects | None


class DevicePods:
    """A `ModuleBacking` by Pods of one namespace, which is its own; what is wanted happens in `carry_out`."""

    def __init__(
        self, starts: Starts, devices: Mapping[str, NetworkDevice], surroundings: Surroundings
    ) -> None:
        self.devices = devices
        self._starts = starts
        self._surroundings = surroundings
        self._wanted: dict[Key, Wanted] = {}
        self._started: dict[Key, Started] = {}
        self._views: dict[Key, ModuleView] = {}
        self._routes: dict[str, list[str]] = {}

    def backs(self, device: str) -> bool:
        """Tell whether the device is one of these."""
        return device in self.devices

    def run(self, device: str, modules: Mapping[str, Mapping[str, Any]], manifest: Manifest) -> None:
        """Note what is to run; routes count at once."""
        registries = tuple(_registries(manifest.agent))
        for key in [key for key in self._wanted if key[0] == device and key[1] not in modules]:
            del self._wanted[key]
        for name in modules.keys() - RUNTIME:
            self._wanted[device, name] = Wanted(modules[name], registries)
        self._take_routes(device, _routes(manifest.edge_hub))

    def views(self, device: str, now: float) -> Mapping[str, ModuleView]:  # noqa: ARG002 - a Pod is seen now
        """Tell how the modules fared when their Pods were looked at last."""
        return {name: self._views.get((of, name), UNSEEN) for of, name in self._wanted if of == device}

    async def carry_out(self) -> None:
        """Start and end Pods as is wanted, and look at those that are there."""
        for key, started in list(self._started.items()):
            if self._wanted.get(key) != started.wanted:
                await self._end(key, started)
        for key in self._wanted.keys() - self._started.keys():
            await self._start(key)
        for key, started in list(self._started.items()):
            if started.objects:
                await self._look(key, started.objects)

    def _take_routes(self, device: str, routes: list[str]) -> None:
        if routes == self._routes.get(device):
            return
        self._routes[device] = routes
        try:
            self.devices[device].hub.route(routes)
        except RouteError as error:
            print(f"{device} keeps its routes: {error}", flush=True)

    async def _start(self, key: Key) -> None:
        wanted = self._wanted[key]
        if wanted.spec.get("status", "running") == "stopped":
            self._started[key], self._views[key] = Started(wanted, None), STOPPED
            return
        environment = self.devices[key[0]].environment(key[1])
        start = secrets.token_hex(4)
        objects = ModuleObjects(*key, wanted.spec, environment, wanted.registries, self._surroundings, start)
        try:
            await self._starts.begin(objects.pod(), objects.secrets())
            self._started[key] = Started(wanted, objects)
        except (OptionsError, Refusal) as error:
            print(f"{objects.name} does not start: {error}", flush=True)
            self._started[key], self._views[key] = Started(wanted, None), REFUSED
            await self._starts.end(start)

    async def _end(self, key: Key, started: Started) -> None:
        if started.objects:
            await self._starts.end(started.objects.start)
        del self._started[key]
        self._views.pop(key, None)

    async def _look(self, key: Key, objects: ModuleObjects) -> None:
        seen = await self._starts.seen(objects.name)
        if seen is None:  # an agent starts what is gone
            await self._end(key, self._started[key])
        else:
            self._views[key] = module_view(seen, objects.spec.get("restartPolicy", "always"))


def _routes(hub: Document) -> list[str]:
    routes = (hub.get("routes") or {}).values()
    return [route if isinstance(route, str) else route["route"] for route in routes]


def _registries(agent: Document) -> Iterator[Registry]:
    settings = (agent.get("runtime") or {}).get("settings") or {}
    for found in (settings.get("registryCredentials") or {}).values():
        yield Registry(found["address"], found.get("username"), found.get("password"))

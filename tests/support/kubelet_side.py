"""The kubelet's side of a device plugin: it finds a socket, asks what it is, watches devices, allocates."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from berth_sandbox.fpga.devices import Devices
from berth_sandbox.fpga.plugin import Plugin
from berth_sandbox.fpga.serving import serve
from berth_sandbox.fpga.wire import device_plugin_pb2 as wire
from berth_sandbox.fpga.wire import plugin_registration_pb2 as registration

PATIENCE_SECONDS = 10
REGISTRATION, PLUGIN = "/pluginregistration.Registration", "/v1beta1.DevicePlugin"


@dataclass
class KubeletSide:
    """One connection of a kubelet to the socket of a plugin."""

    channel: grpc.Channel

    def info(self) -> registration.PluginInfo:
        found: registration.PluginInfo = self._ask(
            f"{REGISTRATION}/GetInfo", registration.InfoRequest(), registration.PluginInfo
        )
        return found

    def notify(self, *, registered: bool, error: str = "") -> None:
        status = registration.RegistrationStatus(plugin_registered=registered, error=error)
        self._ask(f"{REGISTRATION}/NotifyRegistrationStatus", status, registration.RegistrationStatusResponse)

    def options(self) -> wire.DevicePluginOptions:
        found: wire.DevicePluginOptions = self._ask(
            f"{PLUGIN}/GetDevicePluginOptions", wire.Empty(), wire.DevicePluginOptions
        )
        return found

    def allocate(self, *containers: list[str]) -> wire.AllocateResponse:
        wanted = [wire.ContainerAllocateRequest(devices_ids=names) for names in containers]
        found: wire.AllocateResponse = self._ask(
            f"{PLUGIN}/Allocate", wire.AllocateRequest(container_requests=wanted), wire.AllocateResponse
        )
        return found

    def watch(self) -> Iterator[dict[str, str]]:
        """Give the devices with their health as they are told; ends with the plugin."""
        stream = self.channel.unary_stream(
            f"{PLUGIN}/ListAndWatch", wire.Empty.SerializeToString, wire.ListAndWatchResponse.FromString
        )
        for told in stream(wire.Empty(), timeout=PATIENCE_SECONDS, wait_for_ready=True):
            yield {each.ID: each.health for each in told.devices}

    def _ask(self, method: str, request: Any, answer: type[Any]) -> Any:
        call = self.channel.unary_unary(method, type(request).SerializeToString, answer.FromString)
        return call(request, timeout=PATIENCE_SECONDS, wait_for_ready=True)


@contextmanager
def connected(socket: Path) -> Iterator[KubeletSide]:
    """Connect to a socket as a kubelet that has just found it."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        yield KubeletSide(channel)


@contextmanager
def plugged_in(devices: Devices, resource: str, socket: Path) -> Iterator[None]:
    """Serve a plugin for as long as the block lasts."""
    stopping = threading.Event()
    serving = threading.Thread(target=serve, args=(Plugin(resource, devices), socket, stopping))
    serving.start()
    try:
        yield
    finally:
        stopping.set()
        serving.join()

"""What a device plugin answers the kubelet: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from berth_sandbox.fpga.devices import Devices
from berth_sandbox.fpga.wire import device_plugin_pb2 as wire
from berth_sandbox.fpga.wire import plugin_registration_pb2 as registration

VERSION = "v1beta1"
CONTAINER_FOLDER = "/dev/fpga"
VARIABLE = "FPGA_DEVICES"
POLL_SECONDS = 0.2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugin:
    """Announces devices as an extended resource, and says what a container that gets some is given."""

    resource: str
    devices: Devices

    def info(self, _: registration.InfoRequest, __: grpc.ServicerContext) -> registration.PluginInfo:
        """Say what this socket is."""
        return registration.PluginInfo(type="DevicePlugin", name=self.resource, supported_versions=[VERSION])

    def registered(
        self, status: registration.RegistrationStatus, _: grpc.ServicerContext
    ) -> registration.RegistrationStatusResponse:
        """Hear what the kubelet made of it."""
        if status.plugin_registered:
            logger.info("The kubelet knows %s", self.resource)
        else:
            logger.error("The kubelet refuses %s: %s", self.resource, status.error)
        return registration.RegistrationStatusResponse()

    def options(self, _: wire.Empty, __: grpc.ServicerContext) -> wire.DevicePluginOptions:
        """Ask for no more calls than `watch` and `allocate`."""
        return wire.DevicePluginOptions()

    def watch(self, _: wire.Empty, context: grpc.ServicerContext) -> Iterator[wire.ListAndWatchResponse]:
        """Send all devices, now and whenever the health of one changes."""
        told = None
        while context.is_active():
            health = dict(self.devices.health())
            if health != told:
                told = health
                logger.info(
                    "Devices that are well: %s", [name for name, is_well in health.items() if is_well]
                )
                yield _devices(health)
            time.sleep(POLL_SECONDS)

    def allocate(self, request: wire.AllocateRequest, context: grpc.ServicerContext) -> wire.AllocateResponse:
        """Give containers the folders of their devices."""
        wanted = [list(each.devices_ids) for each in request.container_requests]
        unknown = {name for names in wanted for name in names} - set(self.devices.names)
        if unknown:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no device {', '.join(sorted(unknown))}")
        logger.info("Allocated: %s", wanted)
        return wire.AllocateResponse(container_responses=[self._given(names) for names in wanted])

    def _given(self, names: list[str]) -> wire.ContainerAllocateResponse:
        mounts = [
            wire.Mount(
                container_path=f"{CONTAINER_FOLDER}/{name}",
                host_path=str(self.devices.path(name)),
                read_only=True,
            )
            for name in names
        ]
        return wire.ContainerAllocateResponse(envs={VARIABLE: ",".join(names)}, mounts=mounts)


def handlers(plugin: Plugin) -> tuple[grpc.GenericRpcHandler, ...]:
    """Return the two services that the kubelet expects at a plugin's socket."""
    registered = {
        "GetInfo": _unary(plugin.info, registration.InfoRequest),
        "NotifyRegistrationStatus": _unary(plugin.registered, registration.RegistrationStatus),
    }
    answered = {
        "GetDevicePluginOptions": _unary(plugin.options, wire.Empty),
        "ListAndWatch": grpc.unary_stream_rpc_method_handler(
            plugin.watch,
            request_deserializer=wire.Empty.FromString,
            response_serializer=wire.ListAndWatchResponse.SerializeToString,
        ),
        "Allocate": _unary(plugin.allocate, wire.AllocateRequest),
    }
    return (
        grpc.method_handlers_generic_handler("pluginregistration.Registration", registered),
        grpc.method_handlers_generic_handler(f"{VERSION}.DevicePlugin", answered),
    )


def _unary(answer: Any, request: type[Any]) -> Any:  # noqa: ANN401 - gRPC's handlers are of no type
    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


def _devices(health: dict[str, bool]) -> wire.ListAndWatchResponse:
    devices = [
        wire.Device(ID=name, health="Healthy" if is_well else "Unhealthy") for name, is_well in health.items()
    ]
    return wire.ListAndWatchResponse(devices=devices)

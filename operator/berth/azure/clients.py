"""The way to Azure for the rest of the operator; the libraries are loaded when it is first taken."""

import asyncio
from typing import TYPE_CHECKING, Any

from berth.api.azure import Cloud, Credentials
from berth.api.conditions import Reason
from berth.api.iot_hub import IotEdgePlace
from berth.azure.observer import CallObserver
from berth.core.errors import Terminal

if TYPE_CHECKING:
    from berth.azure.connection import Connection
    from berth.azure.container_groups import ContainerGroups
    from berth.azure.hubs import Hubs
    from berth.azure.iot_hub import IotHub


class Clients:
    """Opens clients of Azure; who never asks for one does not pay for the libraries."""

    def __init__(self, observer: CallObserver | None = None) -> None:
        self._observer = observer
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._hubs: Hubs | None = None

    async def container_groups(
        self, subscription: str, cloud: Cloud, credentials: Credentials, client_secret: str | None = None
    ) -> "ContainerGroups":
        """Return the client of a subscription; raises Terminal where no one can sign in that way."""
        connection = await self._opened()
        return await connection.container_groups(subscription, cloud, credentials, client_secret)

    async def iot_hub(
        self, place: IotEdgePlace, cloud: Cloud, credentials: Credentials, secret: str | None = None
    ) -> "IotHub":
        """Return the client of a hub; `secret` is its connection string, or that of the application."""
        return await (await self._opened_hubs()).get(place, cloud, credentials, secret)

    async def iot_hub_resource(
        self, place: IotEdgePlace, cloud: Cloud, credentials: Credentials, secret: str | None = None
    ) -> dict[str, Any]:
        """Read what the resource manager says of a hub."""
        return await (await self._opened_hubs()).resource(place, cloud, credentials, secret)

    async def close(self) -> None:
        """End all connections."""
        if self._hubs:
            self._hubs.close()
            self._hubs = None
        if self._connection:
            await self._connection.close()
            self._connection = None

    async def _opened_hubs(self) -> "Hubs":
        connection = await self._opened()
        async with self._lock:
            if self._hubs is None:
                self._hubs = (await asyncio.to_thread(_hubs_class))(connection, self._observer)
        return self._hubs

    async def _opened(self) -> "Connection":
        async with self._lock:
            if self._connection is None:
                self._connection = (await asyncio.to_thread(_connection_class))(self._observer)
        return self._connection


def _connection_class() -> "type[Connection]":
    from berth.azure.connection import Connection  # noqa: PLC0415 - they take a second and 14 MiB

    return Connection


def _hubs_class() -> "type[Hubs]":
    """Load the library, which is not to be had for every platform."""
    try:
        from berth.azure.hubs import Hubs  # noqa: PLC0415 - nobody else needs its extension in C
    except ImportError as error:
        told = f"This operator cannot reach IoT hubs, since {error.name} is missing: use its image for amd64"
        raise Terminal(Reason.TARGET_NOT_AVAILABLE, told) from error
    return Hubs

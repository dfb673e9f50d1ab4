"""The way to Azure for the rest of the operator; the libraries are loaded when it is first taken."""

import asyncio
from typing import TYPE_CHECKING

from berth.api.azure import Cloud, Credentials
from berth.azure.observer import CallObserver

if TYPE_CHECKING:
    from berth.azure.connection import Connection
    from berth.azure.container_groups import ContainerGroups


class Clients:
    """Opens clients of Azure; who never asks for one does not pay for the libraries."""

    def __init__(self, observer: CallObserver | None = None) -> None:
        self._observer = observer
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None

    async def container_groups(
        self, subscription: str, cloud: Cloud, credentials: Credentials, client_secret: str | None = None
    ) -> "ContainerGroups":
        """Return the client of a subscription; raises Terminal where no one can sign in that way."""
        connection = await self._opened()
        return await connection.container_groups(subscription, cloud, credentials, client_secret)

    async def close(self) -> None:
        """End all connections."""
        if self._connection:
            await self._connection.close()
            self._connection = None

    async def _opened(self) -> "Connection":
        async with self._lock:
            if self._connection is None:
                self._connection = (await asyncio.to_thread(_connection_class))(self._observer)
        return self._connection


def _connection_class() -> "type[Connection]":
    from berth.azure.connection import Connection  # noqa: PLC0415 - they take a second and 14 MiB

    return Connection

"""All that is open towards IoT hubs: what many ComputeTargets have in common is there once."""

import base64
import binascii
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import certifi
from azure.iot.hub.auth import ConnectionStringAuthentication

from berth.api.azure import Cloud, Credentials
from berth.api.conditions import Reason
from berth.api.iot_hub import IotEdgePlace
from berth.azure.connection import Connection, kept
from berth.azure.gate import Gate
from berth.azure.iot_hub import HeldToken, IotHub
from berth.azure.limits import HUB_RATES, Limiter, Rate
from berth.azure.observer import CallObserver
from berth.core.errors import Terminal

_THREADS = 8
_AT_ONCE = 3
"""A hub that hangs must not hold all threads."""
_SHARE = 0.8
_API_VERSION = "2023-06-30"
_LOOK_AGAIN_SECONDS = 60.0

_Key = tuple[str, int, Cloud, Credentials, str | None]


class Hubs:
    """Opens clients on one pool of threads, with one gate for each hub."""

    def __init__(
        self,
        connection: Connection,
        observer: CallObserver | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._observer = observer
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="iot-hub")
        self._folder = tempfile.TemporaryDirectory(prefix="berth-")
        self._trusted: dict[str, str] = {}
        self._gates: dict[tuple[str, int], Gate] = {}
        self._opened: dict[_Key, IotHub] = {}

    async def get(
        self, place: IotEdgePlace, cloud: Cloud, credentials: Credentials, secret: str | None
    ) -> IotHub:
        """Return the client of a hub, a new one if who asks or where has changed."""
        key = (place.host_name, place.units, cloud, credentials, secret)
        client = self._opened.get(key) or await self._open(place, cloud, credentials, secret)
        return kept(self._opened, key, lambda: client)

    async def resource(
        self, place: IotEdgePlace, cloud: Cloud, credentials: Credentials, secret: str | None
    ) -> dict[str, Any]:
        """Read what Azure's resource manager says of a hub that has a resource id."""
        resource_id = place.resource_id or ""
        subscription = resource_id.split("/")[2]
        resources = await self._connection.resources(subscription, cloud, credentials, secret)
        return await resources.get(resource_id, _API_VERSION)

    def close(self) -> None:
        """Start no more calls; those that run end by their time-outs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._folder.cleanup()

    async def _open(
        self, place: IotEdgePlace, cloud: Cloud, credentials: Credentials, secret: str | None
    ) -> IotHub:
        authentication: ConnectionStringAuthentication | HeldToken
        if place.connection_string_ref is not None:
            authentication = _by_connection_string(secret or "", place.host_name)
        else:
            authentication = HeldToken(await self._connection.sign_in(cloud, credentials, secret))
        return IotHub(
            place.host_name,
            authentication,
            self._gate(place),
            self._threads,
            ca_file=self._ca_file(cloud.ca_bundle),
        )

    def _gate(self, place: IotEdgePlace) -> Gate:
        key = (place.host_name, place.units)
        if key not in self._gates:
            rates = {
                budget: Rate(rate.burst * place.units, rate.per_second * place.units)
                for budget, rate in HUB_RATES.items()
            }
            self._gates[key] = Gate(
                place.host_name,
                self._observer,
                kind="Hub",
                limiter=Limiter(rates, _SHARE),
                at_once=_AT_ONCE,
                clock=self._clock,
            )
        return self._gates[key]

    def _ca_file(self, bundle: str | None) -> str | None:
        """Write the authorities to a file, which is all that the library takes."""
        if not bundle:
            return None
        if bundle not in self._trusted:
            file = Path(self._folder.name) / f"ca-{len(self._trusted)}.pem"
            file.write_text(f"{Path(certifi.where()).read_text()}\n{bundle}")
            self._trusted[bundle] = str(file)
        return self._trusted[bundle]


def _by_connection_string(text: str, host_name: str) -> ConnectionStringAuthentication:
    try:
        found = ConnectionStringAuthentication(text.strip())
        base64.b64decode(found["SharedAccessKey"], validate=True)
        named = str(found["HostName"])
        _ = found["SharedAccessKeyName"]
    except (ValueError, KeyError, binascii.Error):
        told = "The connection string lacks HostName, SharedAccessKeyName or SharedAccessKey"
        raise Terminal(Reason.AUTHENTICATION_FAILED, told, _LOOK_AGAIN_SECONDS) from None
    if named.lower() != host_name:
        told = f"The connection string is for {named}, not for {host_name}"
        raise Terminal(Reason.CONFIG_INVALID, told, _LOOK_AGAIN_SECONDS)
    return found

"""All that is open towards Azure: what many ComputeTargets have in common is there once."""

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from berth.api.azure import Cloud, Credentials
from berth.azure.clouds import Addresses, addresses
from berth.azure.container_groups import ContainerGroups
from berth.azure.credentials import Identity, SignIn, identity, sign_in
from berth.azure.gate import Gate
from berth.azure.observer import CallObserver
from berth.azure.resources import Resources
from berth.azure.session import Session

K = TypeVar("K")
V = TypeVar("V")

_MOST_HELD = 256


class Connection:
    """Opens clients on one session, with one sign-in for each identity and one gate for each subscription."""

    def __init__(
        self,
        observer: CallObserver | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._observer = observer or CallObserver()
        self._environment = environment
        self._clock = clock
        self._rand = rand
        self._session = Session()
        self._sign_ins: dict[tuple[Identity, Addresses], SignIn] = {}
        self._gates: dict[tuple[str, str], Gate] = {}
        self._clients: dict[tuple[str, Identity, Addresses], ContainerGroups] = {}

    async def container_groups(
        self, subscription: str, cloud: Cloud, credentials: Credentials, client_secret: str | None
    ) -> ContainerGroups:
        """Return the client of a subscription, a new one if who asks or where has changed."""
        where = addresses(cloud)
        who = identity(credentials, client_secret, self._environment)
        transport = await self._session.transport(where.ca_bundle)
        signed_in = await self.signed_in(where, who)
        gate = self._gate(where, subscription)
        return kept(
            self._clients,
            (subscription, who, where),
            lambda: ContainerGroups(subscription, where, signed_in, transport, gate),
        )

    async def resources(
        self, subscription: str, cloud: Cloud, credentials: Credentials, client_secret: str | None
    ) -> Resources:
        """Return what reads the resources of a subscription."""
        where = addresses(cloud)
        signed_in = await self.sign_in(cloud, credentials, client_secret)
        transport = await self._session.transport(where.ca_bundle)
        return Resources(where, signed_in, transport, self._gate(where, subscription))

    def _gate(self, where: Addresses, subscription: str) -> Gate:
        return kept(
            self._gates,
            (where.resource_manager, subscription.lower()),
            lambda: Gate(subscription, self._observer, clock=self._clock, rand=self._rand),
        )

    async def sign_in(self, cloud: Cloud, credentials: Credentials, client_secret: str | None) -> SignIn:
        """Return what gets tokens; raises Terminal where no one can sign in that way."""
        return await self.signed_in(addresses(cloud), identity(credentials, client_secret, self._environment))

    async def signed_in(self, where: Addresses, who: Identity) -> SignIn:
        """Return what gets tokens for an identity."""
        transport = await self._session.transport(where.ca_bundle)
        return kept(self._sign_ins, (who, where), lambda: sign_in(who, where, transport, clock=self._clock))

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()


def kept(held: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """Return what is held; of many, those that were used last stay: each new secret leaves an old one."""
    value = held.pop(key) if key in held else make()
    held[key] = value
    if len(held) > _MOST_HELD:
        del held[next(iter(held))]
    return value

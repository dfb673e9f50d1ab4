"""Leader election over a Lease: one replica acts, the others wait."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from berth.core.errors import Conflict, Gone, ReconcileError, Transient
from berth.core.keys import Key
from berth.kube.client import Api, Object
from berth.plan.resources import LEASES

logger = logging.getLogger(__name__)


class LeaseLost(Exception):  # noqa: N818 - what happened, as errors of the core are named
    """Another replica leads, or we could not say in time that we still do: stop acting at once."""


class Elector:
    """Takes, holds and releases one Lease under the name `identity`; all times are in seconds.

    Clocks of other machines are not trusted: a lease has expired when it did not change for its duration
    as measured here.
    """

    def __init__(
        self,
        api: Api,
        lease: Key,
        identity: str,
        *,
        duration: float = 15.0,
        deadline: float = 10.0,
        renew: float = 5.0,
        retry: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._key = lease
        self._identity = identity
        self._duration = duration
        self._deadline = deadline
        self._renew = renew
        self._retry = retry
        self._clock = clock
        self._lease: Object | None = None
        self._seen = float("-inf")
        self._renewed = float("-inf")

    @property
    def leading(self) -> bool:
        """Whether no other replica can have taken the lease yet."""
        return self._clock() - self._renewed < self._duration

    async def acquire(self) -> None:
        """Wait until the lease is ours."""
        leading = await self._attempt()
        if not leading:
            logger.info("Waiting as %s for the lease %s", self._identity, self._key)
        while not leading:
            await asyncio.sleep(self._retry)
            leading = await self._attempt()
        logger.info("Leading as %s", self._identity)

    async def hold(self) -> None:
        """Renew the lease for ever; raises LeaseLost."""
        while True:
            await asyncio.sleep(self._renew)
            left = self._renewed + self._deadline - self._clock()
            try:
                async with asyncio.timeout(left):
                    await self._renew_once()
            except TimeoutError:
                self._renewed = float("-inf")
                raise LeaseLost(f"The lease {self._key} was not renewed for {self._deadline:g} s") from None

    async def release(self) -> None:
        """Let another replica lead at once, if we do."""
        if not self.leading or self._lease is None:
            return
        self._renewed = float("-inf")
        try:
            await self._write(self._lease, holder="", duration=1)
        except ReconcileError as error:
            logger.warning("The lease %s was not released and has to expire: %s", self._key, error)

    async def _renew_once(self) -> None:
        while not await self._attempt():
            if self._lease is not None and _holder(self._lease) != self._identity:
                self._renewed = float("-inf")
                raise LeaseLost(f"The lease {self._key} was taken by {_holder(self._lease) or 'no one'}")
            await asyncio.sleep(self._retry)

    async def _attempt(self) -> bool:
        began = self._clock()
        try:
            if self._lease is None or _holder(self._lease) != self._identity:
                await self._read()
            if not self._is_free():
                return False
            await self._write(self._lease, holder=self._identity, duration=self._duration)
        except (Conflict, Gone) as error:
            # Someone else wrote, or the answer to our own write was lost: look again.
            logger.info("The lease %s changed: %s", self._key, error)
            self._lease = None
            return False
        except Transient as error:
            logger.warning("The lease %s cannot be had now: %s", self._key, error)
            return False
        self._renewed = began
        return True

    async def _read(self) -> None:
        try:
            lease: Object | None = await self._api.get(LEASES, self._key)
        except Gone:
            lease = None
        if lease != self._lease:
            self._seen = self._clock()
        self._lease = lease

    def _is_free(self) -> bool:
        if self._lease is None or _holder(self._lease) in ("", self._identity):
            return True
        duration: float = self._lease["spec"].get("leaseDurationSeconds", self._duration)
        return self._clock() - self._seen >= duration

    async def _write(self, lease: Object | None, *, holder: str, duration: float) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(lease["spec"]) if lease else {}
        if spec.get("holderIdentity", "") != holder:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", -1) + 1
        spec |= {"holderIdentity": holder, "leaseDurationSeconds": int(duration), "renewTime": now}
        metadata = {"namespace": self._key.namespace, "name": self._key.name}
        if lease is not None:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
        write = self._api.create if lease is None else self._api.replace
        self._lease = await write(LEASES, body)


def _holder(lease: Object) -> str:
    holder: str = lease["spec"].get("holderIdentity") or ""
    return holder

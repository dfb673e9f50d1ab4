"""Follows one kind: lists it, then watches it, and lists it again when the watch has a gap."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from berth.core.backoff import Backoff
from berth.core.errors import ReconcileError, Transient
from berth.core.keys import Key
from berth.kube.client import Api, Object
from berth.kube.failures import Expired
from berth.plan.observed import key_of
from berth.plan.resources import Resource

logger = logging.getLogger(__name__)

_PAUSE = 0.1


class Listener(Protocol):
    """Learns what the API server tells of the objects that are watched."""

    def changed(self, resource: Resource, raw: Object) -> None:
        """Hear that an object was added or modified, or that a list contains it."""

    def vanished(self, resource: Resource, raw: Object) -> None:
        """Hear that an object was deleted."""

    def listed(self, resource: Resource, namespace: str, present: Mapping[Key, str], version: int) -> None:
        """Hear all uids of a namespace, or of all if it is empty, as they were at a resourceVersion."""


class WatchObserver:
    """Hears how the watches fare and does nothing; telemetry overrides it."""

    def restarted(self, resource: Resource) -> None:
        """Hear that a watch lost its place and that the kind is listed again."""

    def refused(self, resource: Resource) -> None:
        """Hear that the API server does not let a kind be watched, at least not now or not there."""

    def dropped(self, resource: Resource) -> None:
        """Hear that a piece of news could not be understood."""


class Informer:
    """Tells `listener` of every object of a kind that the selectors match, in the order of events."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        listener: Listener,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        observer: WatchObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resource = resource
        self.listed = asyncio.Event()
        self.settled = asyncio.Event()
        self.refusal: ReconcileError | None = None
        self._api = api
        self._listener = listener
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._observer = observer or WatchObserver()
        self._clock = clock
        self._heard = clock()
        self._version: str | None = None
        self._backoff: Backoff[Resource] = Backoff(cap=30.0)

    @property
    def age(self) -> float:
        """Seconds since the API server last said anything; it does so each minute at least."""
        return self._clock() - self._heard

    async def run(self) -> None:
        """Follow the kind for ever.

        `settled` tells that it was listed, or that `refusal` says why not; what refuses may end.
        """
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch(self._version or "")
            except Expired:
                logger.info("The watch of %s has a gap: listing again", self.resource.plural)
                self._observer.restarted(self.resource)
                self._version = None
            except Transient as error:
                await self._back_off(error)
            except ReconcileError as error:
                self.refusal = error
                self._observer.refused(self.resource)
                self._heard = self._clock()
                self.settled.set()
                await self._back_off(error)
            # A server that ends each watch at once must not be asked without pause.
            await asyncio.sleep(_PAUSE)

    async def _back_off(self, error: ReconcileError) -> None:
        delay = self._backoff.next(self.resource)
        where = f" in {self._namespace}" if self._namespace else ""
        logger.warning("Watching %s%s again in %.1f s: %s", self.resource.plural, where, delay, error)
        await asyncio.sleep(delay)

    async def _list(self) -> None:
        listing = await self._api.list(
            self.resource, self._namespace, labels=self._labels, fields=self._fields
        )
        for item in listing.items:
            self._tell("", item)
        present = {key_of(item): item["metadata"]["uid"] for item in listing.items}
        self._listener.listed(self.resource, self._namespace, present, int(listing.resource_version))
        self._version = listing.resource_version
        self._heard = self._clock()
        self.refusal = None
        self.listed.set()
        self.settled.set()

    async def _watch(self, since: str) -> None:
        events = self._api.watch(
            self.resource, self._namespace, labels=self._labels, fields=self._fields, since=since
        )
        async for kind, raw in events:
            self._heard = self._clock()
            self._backoff.reset(self.resource)
            self._version = raw["metadata"]["resourceVersion"]
            if kind != "BOOKMARK":
                self._tell(kind, raw)

    def _tell(self, kind: str, raw: Object) -> None:
        tell(self._listener, self._observer, self.resource, kind, raw)


def tell(
    listener: Listener, observer: WatchObserver, resource: Resource, kind: str | None, raw: Object
) -> None:
    """Pass on one event; a failure to understand it must stop neither the watch nor other objects."""
    try:
        if kind == "DELETED":
            listener.vanished(resource, raw)
        else:
            listener.changed(resource, raw)
    except Exception:  # an object may hold what nobody thought of
        metadata = raw.get("metadata", {})
        about = {name: metadata.get(name, "") for name in ("namespace", "name", "uid")}
        logger.exception("Cannot understand a %s", resource.kind, extra={"about": about})
        observer.dropped(resource)


class Watching(Protocol):
    """A watch, and why it cannot be."""

    @property
    def refusal(self) -> ReconcileError | None:
        """What the API server answered last, where it refused."""


def refuse_to_be_blind(watches: Sequence[Watching]) -> None:
    """Raise what refuses a kind everywhere; a namespace that is out of reach must not stop the others."""
    refusals = [each.refusal for each in watches if each.refusal is not None]
    if len(refusals) == len(watches):
        raise refusals[0]

"""The ModelDeployments, watched by Kopf, which also owns the signals and the end of the process.

The only module that imports Kopf.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import aiohttp
import kopf

from berth.core.backoff import Backoff
from berth.core.errors import ReconcileError, Transient
from berth.kube.client import Api, Listing
from berth.kube.connection import Connection
from berth.kube.failures import failure
from berth.kube.informer import Listener, WatchObserver, tell
from berth.plan.observed import key_of
from berth.plan.resources import Resource

logger = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0


class _NoDiff(kopf.DiffBaseStorage):
    """Spares Kopf a copy and a comparison of every object: handlers of raw events need none."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass


class _NoProgress(kopf.ProgressStorage):
    """Spares Kopf the search for its own notes in every object: it never writes any."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass

    def clear(self, *, essence: Any) -> Any:
        return essence


class _ForEver:
    """The pauses after failures; of any finite number Kopf gives a watch up, and does not say so."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 2, 4, 8, 16), itertools.repeat(_LONGEST_PAUSE))


class Watch:
    """Tells `listener` of every object of one kind, in all namespaces or in those given.

    Kopf tells no deletion that happened while it was not watching, and not when it lists anew. Its session
    is therefore overheard: when it goes from listing to watching, the metadata of all is listed and compared.
    """

    def __init__(
        self,
        connection: Connection,
        api: Api,
        resource: Resource,
        listener: Listener,
        *,
        namespaces: Collection[str] = (),
        observer: WatchObserver | None = None,
        on_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resource = resource
        self.listed = asyncio.Event()
        self.settled = asyncio.Event()
        self._connection = connection
        self._api = api
        self._listener = listener
        self._namespaces = namespaces
        self._observer = observer or WatchObserver()
        self._on_end = on_end
        self._clock = clock
        self._scopes = {resource.collection(namespace): namespace for namespace in namespaces or ("",)}
        self._listing = set(self._scopes.values())
        self._heard = dict.fromkeys(self._listing, clock())
        self._complete: set[str] = set()
        self._refusals: dict[str, ReconcileError] = {}
        self._backoff: Backoff[str] = Backoff(cap=_LONGEST_PAUSE)

    @property
    def age(self) -> float:
        """Seconds since Kopf last had an answer for each namespace; it asks every five minutes at least."""
        return self._clock() - min(self._heard.values())

    @property
    def refusal(self) -> ReconcileError | None:
        """Why nothing can be watched, where the API server refuses all of it."""
        refusals = list(self._refusals.values())
        return refusals[0] if len(refusals) == len(self._scopes) else None

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Watch until `stop` or a signal of the process; raises where Kopf cannot go on.

        On its end Kopf waits 5 s for all tasks of the loop that did not exist before, and cancels them: start
        the others first, and have `on_end` cancel what was begun since.
        """
        await kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.event(self.resource.group, self.resource.version, self.resource.plural, registry=registry)(
            self._on_event
        )
        kopf.on.login(registry=registry)(self._log_in)
        kopf.on.cleanup(registry=registry)(self._end)
        return registry

    async def _end(self, **_: Any) -> None:
        self._on_end()

    async def _log_in(self, **_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            server=self._connection.host, aiohttp_session=self._connection.open_session(self._overhear)
        )

    async def _on_event(self, event: Any, **_: Any) -> None:
        tell(self._listener, self._observer, self.resource, event["type"], event["object"])

    async def _overhear(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        response = await handler(request)
        namespace = self._scopes.get(request.url.path)
        if namespace is None:
            return response
        self._heard[namespace] = self._clock()
        if response.ok:
            await self._asked(namespace, watching="watch" in request.url.query)
        else:
            self._refused(namespace, failure(response.status, await response.read(), response.headers))
        return response

    def _refused(self, namespace: str, error: ReconcileError) -> None:
        if not isinstance(error, Transient):
            self._refusals[namespace] = error
            self._observer.refused(self.resource)
            self._settle()

    async def _asked(self, namespace: str, *, watching: bool) -> None:
        if not watching:
            if namespace in self._complete:
                self._observer.restarted(self.resource)
            self._listing.add(namespace)
        elif namespace in self._listing:
            await self._repair(namespace)

    async def _repair(self, namespace: str) -> None:
        listing = await self._list(namespace)
        present = {key_of(item): item["metadata"]["uid"] for item in listing.items}
        self._listener.listed(self.resource, namespace, present, int(listing.resource_version))
        self._listing.discard(namespace)
        self._complete.add(namespace)
        self._refusals.pop(namespace, None)
        if len(self._complete) == len(self._scopes):
            self.listed.set()
        self._settle()

    async def _list(self, namespace: str) -> Listing:
        """Read the metadata of all, for as long as it takes; what the watch tells waits meanwhile."""
        while True:
            try:
                listing = await self._api.list_metadata(self.resource, namespace)
            except ReconcileError as error:
                delay = self._backoff.next(namespace)
                logger.warning(
                    "Looking for vanished %s again in %.1f s: %s", self.resource.plural, delay, error
                )
                await asyncio.sleep(delay)
            else:
                self._backoff.reset(namespace)
                return listing

    def _settle(self) -> None:
        if len(self._complete | self._refusals.keys()) == len(self._scopes):
            self.settled.set()


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    # Kopf keeps a task for each object that had an event; ours has done its work by then.
    settings.queueing.idle_timeout = 0.1
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _ForEver()
    settings.process.ultimate_exiting_timeout = 60
    settings.persistence.finalizer = "berth.dev/finalizer"
    settings.persistence.diffbase_storage = _NoDiff()
    settings.persistence.progress_storage = _NoProgress()
    return settings

"""The composition root: the only module that knows every other."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any

from berth.api.common import Target
from berth.azure.clients import Clients
from berth.core.keys import Key
from berth.core.queue import Priority, WorkQueue
from berth.core.results import INTERVAL_SECONDS
from berth.core.workers import Workers
from berth.feed import CHILDREN, WATCHED, Feed
from berth.kube.client import Api
from berth.kube.connection import Connection, load_configuration
from berth.kube.endpoint import Endpoints
from berth.kube.events import EventRecorder
from berth.kube.informer import Informer, refuse_to_be_blind
from berth.kube.lease import Elector
from berth.kube.watch import Watch
from berth.places import PlaceReconciler
from berth.plan.children import ScoringImage
from berth.plan.labels import SELECT_OWN
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS, SECRETS, Resource
from berth.reconcile import Reconciler
from berth.settings import Settings
from berth.targets import base
from berth.targets.aci import AciTarget
from berth.targets.aci_content import Contents
from berth.targets.aci_listing import Listings
from berth.targets.aci_probes import Probes
from berth.targets.aci_refusals import Refusals
from berth.targets.aci_sweeper import Sweeper
from berth.targets.aks import AksTarget
from berth.targets.azure import Places
from berth.targets.counts import Counts
from berth.targets.fpga import FpgaTarget, PoolLook
from berth.targets.golden import GoldenRequests
from berth.targets.iot_edge import IotEdgeTarget
from berth.targets.iot_hubs import HubListings, HubLook, HubSites
from berth.targets.runtimes import Runtimes
from berth.telemetry import logs
from berth.telemetry.health import Check, Health, Heartbeat
from berth.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_SPARE_CONNECTIONS = 4
_PLACE_WORKERS = 2
_SILENCE_SECONDS = 400.0
_WORK_SECONDS = 300.0
_LAG_SECONDS = 10.0
_DEVICE_NEWS_SECONDS = 1.0
"""Every Pod with a device is news for all who use some: a burst of them becomes one pass of each."""


def _now() -> datetime:
    return datetime.now(UTC)


class Operator:
    """One process: watches always, and acts while it leads."""

    def __init__(self, settings: Settings, closing: AsyncExitStack) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._leading = asyncio.Event()
        namespaces = settings.namespaces or ("",)
        # Each watch holds a connection for as long as it lasts.
        held = len(WATCHED) * len(namespaces) + _SPARE_CONNECTIONS
        connection = Connection(load_configuration(), connections=settings.connections + held)
        closing.push_async_callback(connection.close)
        endpoints = Endpoints()
        closing.push_async_callback(endpoints.close)
        api = Api(connection, self._metrics)
        self._queue: WorkQueue[Key] = WorkQueue(self._metrics.models)
        self._place_queue: WorkQueue[Key] = WorkQueue(self._metrics.places)
        self._feed = Feed(self._queue, self._place_queue)
        self._recorder = EventRecorder(api, settings.pod_name)
        self._watch = Watch(
            connection,
            api,
            MODEL_DEPLOYMENTS,
            self._feed,
            namespaces=settings.namespaces,
            observer=self._metrics,
            on_end=self._end,
        )
        self._informers = list(self._make_informers(api, namespaces))
        self._places_informer = Informer(api, COMPUTE_TARGETS, self._feed, observer=self._metrics)
        self._counts = self._make_counts(closing)
        self._elector = Elector(api, Key(settings.operator_namespace, settings.lease_name), settings.pod_name)
        clients = Clients(self._metrics.azure)
        closing.push_async_callback(clients.close)
        self._golden = GoldenRequests(api, endpoints.post, self._queue.add)
        self._probes = Probes(endpoints.is_ready, self._queue.add)
        places = Places(
            api,
            self._feed.stores[COMPUTE_TARGETS],
            clients,
            settings.operator_namespace,
            is_blind=lambda: self._places_informer.refusal is not None,
        )
        aci, edge, place_reconciler = self._make_remote(api, clients, places)
        self._runtimes = Runtimes(endpoints.headers, self._queue.add)
        aks, fpga = self._make_in_cluster(api, places)
        targets: dict[Target, base.Target] = {
            Target.AKS: aks,
            Target.ACI: aci,
            Target.IOT_EDGE: edge,
            Target.FPGA: fpga,
        }
        self._workers = self._make_workers(self._make_reconciler(api, targets))
        self._place_workers = self._make_place_workers(place_reconciler)
        self._heartbeat = Heartbeat(self._metrics.loop_lag.set)

    def _make_informers(self, api: Api, namespaces: Sequence[str]) -> Iterator[Informer]:
        for resource in CHILDREN:
            for namespace in namespaces:
                yield Informer(
                    api, resource, self._feed, namespace=namespace, labels=SELECT_OWN, observer=self._metrics
                )

    def _make_counts(self, closing: AsyncExitStack) -> Counts:
        """Give the watches connections of their own: there are as many as nodes with devices."""
        connection = Connection(load_configuration(), connections=0)
        closing.push_async_callback(connection.close)
        api = Api(connection, self._metrics)
        return Counts(partial(Informer, api, observer=self._metrics), time.monotonic)

    def _make_workers(self, reconciler: Reconciler) -> Workers[Key]:
        return Workers(
            self._queue,
            reconciler.reconcile,
            reconciler.report_failure,
            size=self._settings.workers,
            observer=self._metrics.models,
            about=self._about,
        )

    def _make_place_workers(self, reconciler: PlaceReconciler) -> Workers[Key]:
        return Workers(
            self._place_queue,
            reconciler.reconcile,
            reconciler.report_failure,
            size=_PLACE_WORKERS,
            observer=self._metrics.places,
        )

    def _make_remote(
        self, api: Api, clients: Clients, places: Places
    ) -> tuple[AciTarget, IotEdgeTarget, PlaceReconciler]:
        """All see Azure by the same lists."""
        contents = Contents(api, self._settings.operator_namespace, self._feed.stores[SECRETS])
        listings = Listings(interval=INTERVAL_SECONDS, clock=time.monotonic)
        refusals = Refusals(time.monotonic)
        target = AciTarget(
            api,
            places=places,
            contents=contents,
            listings=listings,
            refusals=refusals,
            image=self._settings.scoring_image,
            probes=self._probes,
            golden=self._golden,
            clock=time.monotonic,
        )
        edge, hubs = self._make_edge(api, HubSites(places, clients), contents)
        reconciler = PlaceReconciler(
            api,
            places=places,
            contents=contents,
            listings=listings,
            refusals=refusals,
            sweeper=self._make_sweeper(api, places, contents, listings),
            hubs=hubs,
            pools=PoolLook(self._counts, _soon(self._place_queue)),
            users=self._feed.users,
            clock=_now,
        )
        return target, edge, reconciler

    def _make_sweeper(self, api: Api, places: Places, contents: Contents, listings: Listings) -> Sweeper:
        return Sweeper(
            api,
            subjects=self._feed.stores[MODEL_DEPLOYMENTS],
            places=places,
            contents=contents,
            listings=listings,
            recorder=self._recorder,
            observer=self._metrics.sweeps,
            serves=self._settings.serves,
            grace=self._settings.orphan_grace_seconds,
        )

    def _make_edge(self, api: Api, sites: HubSites, contents: Contents) -> tuple[IotEdgeTarget, HubLook]:
        """Both see hubs by the same lists."""
        listings = HubListings(time.monotonic)
        image = self._settings.scoring_image
        target = IotEdgeTarget(
            api, sites=sites, contents=contents, listings=listings, image=image, clock=time.monotonic
        )
        return target, HubLook(sites, contents, listings)

    def _make_in_cluster(self, api: Api, places: Places) -> tuple[AksTarget, FpgaTarget]:
        """Both make the same objects, on nodes of two kinds."""
        image = ScoringImage(self._settings.scoring_image, self._settings.scoring_image_pull_policy)
        aks = AksTarget(
            api,
            stores=self._feed.stores,
            narrow=lambda resource, raw: WATCHED[resource](raw),
            image=image,
            golden=self._golden,
        )
        fpga = FpgaTarget(
            aks,
            api,
            pools=places,
            counts=self._counts,
            image=image,
            stock=self._settings.featurizers,
            runtimes=self._runtimes,
            wake=_soon(self._queue),
        )
        return aks, fpga

    def _make_reconciler(self, api: Api, targets: Mapping[Target, base.Target]) -> Reconciler:
        store = self._feed.stores[MODEL_DEPLOYMENTS]
        return Reconciler(store, targets, api=api, recorder=self._recorder, clock=_now)

    async def run(self) -> None:
        """Work until a signal of the process; raises a group with LeaseLost or what ended a watch."""
        self._metrics.models.watch_queue(self._queue)
        self._metrics.places.watch_queue(self._place_queue)
        self._metrics.watch_conditions(self._conditions)
        server = await Health(self._metrics.registry, self._checks(), self._readiness).start(
            self._settings.http_port
        )
        try:
            async with asyncio.TaskGroup() as group:
                # Kopf, at its end, cancels whatever was started after it.
                tasks = [group.create_task(each) for each in self._background()]
                await asyncio.sleep(0)
                await self._watch.run()
                logger.info("Stopping")
                await asyncio.gather(
                    *(
                        workers.stop(self._settings.shutdown_grace_seconds)
                        for workers in (self._workers, self._place_workers)
                    )
                )
                await self._elector.release()
                for task in tasks:
                    task.cancel()
        finally:
            await server.cleanup()

    def _end(self) -> None:
        self._counts.end()
        self._runtimes.end()
        self._golden.end()
        self._probes.end()

    def _background(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield from (informer.run() for informer in self._informers)
        yield self._heartbeat.run()
        yield self._recorder.run()
        yield self._places_informer.run()
        yield self._counts.run()
        yield self._workers.run(self._leading)
        yield self._place_workers.run(self._leading)
        yield self._resync()
        yield self._lead()

    async def _lead(self) -> None:
        """Act once everything is known and the lease is ours, for as long as it is."""
        for watches in self._by_kind().values():
            for each in watches:
                await each.settled.wait()
            refuse_to_be_blind(watches)
        # Without the right to see ComputeTargets, only the cluster itself is in reach.
        await self._places_informer.settled.wait()
        await self._elector.acquire()
        self._metrics.leading.set(1)
        self._leading.set()
        await self._elector.hold()

    def _about(self, key: Key) -> AbstractContextManager[None]:
        known = self._feed.stores[MODEL_DEPLOYMENTS].get(key)
        return logs.about(key.namespace, key.name, known.uid if known else "")

    async def _resync(self) -> None:
        """Look at every ModelDeployment once in a while, spread evenly."""
        while True:
            keys = list(self._feed.stores[MODEL_DEPLOYMENTS])
            pause = self._settings.resync_seconds / max(1, len(keys))
            for key in keys:
                await asyncio.sleep(pause)
                self._queue.add(key, Priority.RESYNC)
            if not keys:
                await asyncio.sleep(pause)

    def _checks(self) -> tuple[Check, ...]:
        watches = tuple(_silence(each) for each in (*self._watches(), self._places_informer))
        return (
            Check("event-loop", lambda: self._heartbeat.lag, _LAG_SECONDS),
            Check("work", lambda: self._queue.longest_running, _WORK_SECONDS),
            *watches,
        )

    def _watches(self) -> tuple[Watch | Informer, ...]:
        return (self._watch, *self._informers)

    def _by_kind(self) -> dict[Resource, list[Watch | Informer]]:
        kinds = (*CHILDREN, MODEL_DEPLOYMENTS)  # Kopf last: without any rights it does not come to watching
        return {kind: [each for each in self._watches() if each.resource is kind] for kind in kinds}

    def _readiness(self) -> dict[str, bool]:
        return {
            kind.plural: all(each.settled.is_set() for each in watches)
            for kind, watches in self._by_kind().items()
        }

    def _conditions(self) -> Iterator[tuple[str, str]]:
        store = self._feed.stores[MODEL_DEPLOYMENTS]
        for key in store:
            observed = store.get(key)
            for each in observed.parse()["status"].get("conditions", ()) if observed else ():
                yield each["type"], each["status"]


def _silence(watch: Watch | Informer) -> Check:
    return Check(f"watch:{watch.resource.plural}", lambda: watch.age, _SILENCE_SECONDS)


def _soon(queue: WorkQueue[Key]) -> Callable[[Key], None]:
    return partial(queue.add_after, delay=_DEVICE_NEWS_SECONDS)

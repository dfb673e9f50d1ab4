"""An operator's ACI half in this process, between a cluster in memory and an emulated Azure over HTTPS."""

from dataclasses import dataclass, field
from typing import Any

from azure_emulator import CLIENT, REGION, RESOURCE_GROUP, SECRET, SUBSCRIPTION, TENANT
from azure_world import IRIS, OPERATOR_NAMESPACE, AzureWorld, Clock, Killed, StatefulCluster
from container_groups import IMAGE, aci_spec
from no_pools import NoPools

from berth.api.azure import Cloud, Credentials
from berth.api.common import Target
from berth.azure.connection import Connection
from berth.azure.container_groups import ContainerGroups
from berth.core.keys import Key
from berth.core.queue import WorkQueue
from berth.core.results import INTERVAL_SECONDS, Result
from berth.feed import Feed
from berth.places import PlaceReconciler
from berth.plan.report import Event
from berth.plan.resources import (
    COMPUTE_TARGETS,
    CONFIG_MAPS,
    MODEL_DEPLOYMENTS,
    NAMESPACES,
    SECRETS,
)
from berth.reconcile import Reconciler
from berth.targets.aci import AciTarget
from berth.targets.aci_content import Contents
from berth.targets.aci_listing import Listings
from berth.targets.aci_refusals import Refusals
from berth.targets.aci_sweeper import Sweeper, SweepObserver
from berth.targets.azure import Places
from berth.targets.golden import Answer, GoldenRequests
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.faults import Faults, LoseAnswer
from berth_sandbox.azure.server import Endpoint

Object = dict[str, Any]

_WRITES = [
    f"ContainerGroups_{verb}" for verb in ("CreateOrUpdate", "Update", "Delete", "Start", "Stop", "Restart")
]
GRACE_SECONDS = 600.0
PLACE = Key("", "dev")
SPEC = aci_spec(computeTargetRef={"name": PLACE.name}, auth={"mode": "None"})


def place_spec(endpoint: Endpoint, **fields: Any) -> Object:
    """Give a ComputeTarget's spec for the emulated Azure, open to the namespace demo."""
    return {
        "kind": "ACI",
        "cloud": {
            "name": "Custom",
            "resourceManager": endpoint.url,
            "authority": endpoint.url,
            "caBundle": endpoint.ca_file.read_text(),
        },
        "credentials": {"tenantId": TENANT, "clientId": CLIENT, "secretRef": {"name": "azure"}},
        "allowedNamespaces": {"matchLabels": {"team": "a"}},
        "aci": {"subscriptionId": SUBSCRIPTION, "resourceGroup": RESOURCE_GROUP, "location": REGION},
        **fields,
    }


class NoHubs:
    """Looks at hubs in a world that has none."""

    async def look(self, place: Any) -> Any:
        raise AssertionError("There is no hub here")


class Mortal:
    """Clients of Azure that kill the operator when a number of remote calls was answered."""

    def __init__(self, connection: Connection, faults: Faults) -> None:
        self._connection = connection
        self._faults = faults
        self._opened: dict[ContainerGroups, _MortalGroups] = {}
        self.calls = 0
        self.last: int | None = None
        self.asked = 0
        self.loses: int | None = None
        """Which question's answer is lost, and what aiohttp asks again."""

    async def container_groups(
        self, subscription: str, cloud: Cloud, credentials: Credentials, client_secret: str | None = None
    ) -> Any:
        opened = await self._connection.container_groups(subscription, cloud, credentials, client_secret)
        return self._opened.setdefault(opened, _MortalGroups(opened, self, self._faults))

    def count(self) -> None:
        self.calls += 1
        if self.calls == self.last:
            raise Killed

    def lose(self, faults: Faults) -> None:
        self.asked += 1
        if self.asked == self.loses:
            self.loses = None
            faults.add(LoseAnswer(), path="/subscriptions/", times=2)


class _MortalGroups:
    def __init__(self, groups: ContainerGroups, counter: Mortal, faults: Faults) -> None:
        self._groups = groups
        self._faults = faults
        self._counter = counter

    def __getattr__(self, operation: str) -> Any:
        call = getattr(self._groups, operation)

        async def counted(*args: Any) -> Any:
            self._counter.lose(self._faults)
            answer = await call(*args)
            self._counter.count()
            return answer

        return counted


class Asked:
    """Endpoints that are asked within the pass, of which each answers or none."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def answers(self, key: Key, url: str, certificate: bytes | None) -> bool:
        self._world.asked.append(url)
        self._world.trusted.append(certificate)
        return self._world.answers

    def forget(self, key: Key) -> None:
        pass


@dataclass
class World(AzureWorld, SweepObserver):
    """The ModelDeployment demo/iris on the ComputeTarget dev."""

    spec = SPEC

    azure: Azure
    endpoint: Endpoint
    connection: Connection
    clock: Clock
    cluster: StatefulCluster = field(default_factory=StatefulCluster)
    events: list[Event] = field(default_factory=list)
    answers: bool = True
    asked: list[str] = field(default_factory=list)
    trusted: list[bytes | None] = field(default_factory=list)
    served: set[str] = field(default_factory=lambda: {IRIS.namespace})
    suspected: int = 0
    swept: int = 0
    is_blind: bool = False

    def __post_init__(self) -> None:
        self.mortal = Mortal(self.connection, self.azure.faults)
        self.put(NAMESPACES, Key("", "kube-system"), {})
        self.put(NAMESPACES, Key("", IRIS.namespace), {}, labels={"team": "a"})
        self.put_data(SECRETS, Key(OPERATOR_NAMESPACE, "azure"), {"clientSecret": SECRET})
        self.put_data(CONFIG_MAPS, Key(IRIS.namespace, "iris"), {"model.onnx": "model"})
        self.put(COMPUTE_TARGETS, PLACE, {"spec": place_spec(self.endpoint)})
        self.restart()

    def restart(self) -> None:
        """Start a new operator that knows nothing but what cluster and Azure hold."""
        self.queue: WorkQueue[Key] = WorkQueue()
        self.feed = Feed(self.queue, WorkQueue())
        places = self._places()
        contents = Contents(self.cluster, OPERATOR_NAMESPACE, self.feed.stores[SECRETS])
        listings = Listings(interval=INTERVAL_SECONDS, clock=self.clock.monotonic)
        refusals = Refusals(self.clock.monotonic)
        self.probes = Asked(self)
        self.listings, self.compute_targets = listings, places
        self.target = AciTarget(
            self.cluster,
            places=places,
            contents=contents,
            listings=listings,
            refusals=refusals,
            image=IMAGE,
            golden=GoldenRequests(self.cluster, self._post, self._wake),
            probes=self.probes,
            clock=self.clock.monotonic,
        )
        self.reconciler = Reconciler(
            self.feed.stores[MODEL_DEPLOYMENTS],
            {Target.ACI: self.target},
            api=self.cluster,
            recorder=self,
            clock=self.clock.now,
        )
        self.sweeper = self._sweeper(contents)
        self.places = PlaceReconciler(
            self.cluster,
            places=places,
            contents=contents,
            listings=listings,
            refusals=refusals,
            sweeper=self.sweeper,
            hubs=NoHubs(),
            pools=NoPools(),
            users=self.feed.users,
            clock=self.clock.now,
        )

    def _places(self) -> Places:
        return Places(
            self.cluster,
            self.feed.stores[COMPUTE_TARGETS],
            self.mortal,
            OPERATOR_NAMESPACE,
            is_blind=lambda: self.is_blind,
        )

    def _sweeper(self, contents: Contents) -> Sweeper:
        return Sweeper(
            self.cluster,
            subjects=self.feed.stores[MODEL_DEPLOYMENTS],
            places=self.compute_targets,
            contents=contents,
            listings=self.listings,
            recorder=self,
            observer=self,
            serves=lambda namespace: namespace in self.served,
            grace=GRACE_SECONDS,
        )

    def follow(self, queue: WorkQueue[Key]) -> None:
        """Let the watches wake the workers of a queue, ComputeTargets among them."""
        self.queue = self.feed._queue = self.feed._places = queue

    @property
    def is_ready(self) -> bool:
        """Tell whether the status says Ready of the present generation."""
        return self.tells_ready()

    @property
    def writes(self) -> list[str]:
        """The operations that changed a group, in the order in which they were asked for."""
        return [exchange.operation.partition("_")[2] for exchange in self.azure.requests.of(*_WRITES)]

    @property
    def groups(self) -> list[str]:
        """The names of all groups in the emulated Azure."""
        return [each.name for each in self.azure.service.group_ids()]

    async def place_once(self) -> Result:
        """Run one pass over the ComputeTarget."""
        self.look()
        return await self.places.reconcile(PLACE)

    async def settle(self, passes: int = 12, key: Key = IRIS) -> None:
        """Run passes, between which time goes by in Azure and here."""
        for _ in range(passes):
            await self.attempt(key)
            self.pass_time(10)

    def _wake(self, key: Key) -> None:
        self.queue.add(key)

    def record_about(self, key: Key, uid: str, event: Event) -> None:
        self.events.append(event)

    def orphans(self, count: int) -> None:
        self.suspected = count

    def orphan_deleted(self) -> None:
        self.swept += 1

    async def _post(self, url: str, body: str, headers: Any, certificate: bytes | None) -> Answer:
        self.asked.append(url)
        return Answer(200, "[0]")

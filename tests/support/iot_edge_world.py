"""An operator's IoT half in this process, between a cluster in memory and an emulated hub over HTTPS."""

from dataclasses import dataclass, field
from typing import Any

from azure_emulator import CLIENT, SECRET, TENANT
from azure_world import IRIS, OPERATOR_NAMESPACE, AzureWorld, Clock, Killed, StatefulCluster
from container_groups import IMAGE
from iot_hub_emulator import BASE_PRIORITY, KEY, base_content
from no_pools import NoPools

from berth.api.azure import Cloud, Credentials
from berth.api.common import Target
from berth.api.iot_hub import IotEdgePlace
from berth.azure.hubs import Hubs
from berth.core.errors import Postponed
from berth.core.keys import Key
from berth.core.queue import WorkQueue
from berth.core.results import INTERVAL_SECONDS, RequeueAfter, Result
from berth.feed import Feed
from berth.places import PlaceReconciler
from berth.plan.report import Event
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS, NAMESPACES, SECRETS
from berth.reconcile import Reconciler
from berth.targets.aci_content import Contents
from berth.targets.aci_listing import Listings
from berth.targets.aci_refusals import Refusals
from berth.targets.azure import Places
from berth.targets.iot_edge import IotEdgeTarget
from berth.targets.iot_hubs import HubListings, HubLook, HubSites
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.server import Endpoint

Object = dict[str, Any]

PLACE = Key("", "plants")
MODEL = {"name": "iris", "version": "3", "uri": "https://example.org/iris.onnx", "format": "onnx"}
DEVICES = ("press-1", "press-2", "press-3")
_WRITES = ("Configuration_CreateOrUpdate", "Configuration_Delete")


def edge_spec(**fields: Any) -> Object:
    """Describe a ModelDeployment on the devices of plant-1; fields of `iotEdge` go there."""
    edge = {"targetCondition": "tags.site='plant-1'", "priority": 10, **fields.pop("iotEdge", {})}
    return {
        "target": "IoTEdge",
        "computeTargetRef": {"name": PLACE.name},
        "model": MODEL,
        "iotEdge": edge,
        **fields,
    }


def place_spec(endpoint: Endpoint, **fields: Any) -> Object:
    """Give a ComputeTarget's spec for the emulated hub, by a connection string."""
    edge = {
        "hostName": endpoint.url.removeprefix("https://"),
        "connectionStringRef": {"name": "hub"},
        **fields.pop("iotEdge", {}),
    }
    cloud = {
        "resourceManager": endpoint.url,
        "authority": endpoint.url,
        "caBundle": endpoint.ca_file.read_text(),
    }
    return {
        "kind": "IoTEdge",
        "cloud": {"name": "Custom", **cloud},
        "allowedNamespaces": {"matchLabels": {"team": "a"}},
        "iotEdge": {name: value for name, value in edge.items() if value is not None},
        **fields,
    }


class MortalClients:
    """Clients of hubs that kill the operator when a number of remote calls was answered."""

    def __init__(self, hubs: Hubs) -> None:
        self._hubs = hubs
        self._opened: dict[Any, _MortalHub] = {}
        self.calls = 0
        self.last: int | None = None

    async def container_groups(self, *args: Any) -> Any:
        raise AssertionError("No one asks for container groups here")

    async def iot_hub(
        self, place: IotEdgePlace, cloud: Cloud, credentials: Credentials, secret: str | None = None
    ) -> Any:
        opened = await self._hubs.get(place, cloud, credentials, secret)
        return self._opened.setdefault(opened, _MortalHub(opened, self))

    async def iot_hub_resource(
        self, place: IotEdgePlace, cloud: Cloud, credentials: Credentials, secret: str | None = None
    ) -> Any:
        return await self._hubs.resource(place, cloud, credentials, secret)

    def count(self) -> None:
        self.calls += 1
        if self.calls == self.last:
            raise Killed


class _MortalHub:
    def __init__(self, hub: Any, counter: MortalClients) -> None:
        self._hub = hub
        self._counter = counter

    def __getattr__(self, operation: str) -> Any:
        call = getattr(self._hub, operation)

        async def counted(*args: Any, **options: Any) -> Any:
            answer = await call(*args, **options)
            self._counter.count()
            return answer

        return counted


class NoSweep:
    """Looks for no orphans."""

    def forget(self, key: Key) -> None:
        pass


@dataclass
class EdgeWorld(AzureWorld):
    """The ModelDeployment demo/iris on the ComputeTarget plants, a hub with three devices."""

    spec = edge_spec()

    azure: Azure
    endpoint: Endpoint
    hub: Hub
    hubs: Hubs
    clock: Clock
    cluster: StatefulCluster = field(default_factory=StatefulCluster)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mortal = MortalClients(self.hubs)
        host = self.endpoint.url.removeprefix("https://")
        self.connection_string = f"HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
        self.put(NAMESPACES, Key("", "kube-system"), {})
        self.put(NAMESPACES, Key("", IRIS.namespace), {}, labels={"team": "a"})
        self.put_secret("hub", {"connectionString": self.connection_string})
        self.put_secret("azure", {"clientSecret": SECRET})
        self.put(COMPUTE_TARGETS, PLACE, {"spec": place_spec(self.endpoint)})
        self.restart()

    def restart(self) -> None:
        """Start a new operator that knows nothing but what cluster and hub hold."""
        self.feed = Feed(WorkQueue(), WorkQueue())
        places = Places(
            self.cluster,
            self.feed.stores[COMPUTE_TARGETS],
            self.mortal,
            OPERATOR_NAMESPACE,
            is_blind=lambda: False,
        )
        contents = Contents(self.cluster, OPERATOR_NAMESPACE, self.feed.stores[SECRETS])
        sites = HubSites(places, self.mortal)
        listings = HubListings(self.clock.monotonic)
        self.target = IotEdgeTarget(
            self.cluster,
            sites=sites,
            contents=contents,
            listings=listings,
            image=IMAGE,
            clock=self.clock.monotonic,
        )
        self.reconciler = Reconciler(
            self.feed.stores[MODEL_DEPLOYMENTS],
            {Target.IOT_EDGE: self.target},
            api=self.cluster,
            recorder=self,
            clock=self.now,
        )
        self.places = PlaceReconciler(
            self.cluster,
            places=places,
            contents=contents,
            listings=Listings(interval=60, clock=self.clock.monotonic),
            refusals=Refusals(self.clock.monotonic),
            sweeper=NoSweep(),  # type: ignore[arg-type]  # groups are not in this world
            hubs=HubLook(sites, contents, listings),
            pools=NoPools(),
            users=self.feed.users,
            clock=self.now,
        )

    def now(self) -> Any:
        """The hub's time, which is that of the wall for the operator too."""
        return self.azure.clock.now()

    def put_secret(self, name: str, entries: dict[str, str], namespace: str = OPERATOR_NAMESPACE) -> None:
        """Place a Secret."""
        self.put_data(SECRETS, Key(namespace, name), entries)

    def edge(self, key: Key = IRIS) -> Object:
        """The status block of the target."""
        there = self.get(key=key) or {"status": {}}
        found: Object = there["status"].get("iotEdge") or {}
        return found

    def is_ready(self, key: Key = IRIS) -> bool:
        """Tell whether the status says Ready of the present generation."""
        return self.tells_ready(key)

    @property
    def deployments(self) -> list[str]:
        """The ids of all deployments but the base."""
        return sorted(name for name in self.hub.fleet.deployments if name != "base")

    @property
    def writes(self) -> list[str]:
        """The operations that changed the hub, in the order in which they were asked for."""
        return [each.operation.partition("_")[2] for each in self.azure.requests.of(*_WRITES)]

    def module_of(self, device: str, module: str = "iris") -> Object | None:
        """What runs on a device under a name, or None."""
        lives = self.hub.device(device).situation.lives(self.hub.now)
        return dict(lives[module].spec) if module in lives else None

    def add_base(self, condition: str = "*") -> None:
        """Let the platform team give the devices their runtime."""
        body = {
            "id": "base",
            "content": {"modulesContent": base_content()},
            "targetCondition": condition,
            "priority": BASE_PRIORITY,
        }
        self.hub.put_configuration("base", body, None)

    async def place_once(self) -> Result:
        """Run one pass over the ComputeTarget."""
        self.look()
        try:
            return await self.places.reconcile(PLACE)
        except Postponed as error:
            return RequeueAfter(error.retry_after)

    async def settle(self, passes: int = 12, key: Key = IRIS) -> None:
        """Run passes, between which time goes by in Azure and here, until all is well and at rest."""
        for _ in range(passes):
            result = await self.attempt(key)
            if self.is_ready(key) and result == RequeueAfter(INTERVAL_SECONDS):
                return
            self.pass_time(15)


APPLICATION = {"tenantId": TENANT, "clientId": CLIENT, "secretRef": {"name": "azure"}}

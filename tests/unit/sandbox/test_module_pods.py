"""Modules as Pods, by a cluster in memory."""

import json
from typing import Any

import pytest

from berth_sandbox.azure.devices.backing import DevicePods
from berth_sandbox.azure.devices.device import Gateway, NetworkDevice
from berth_sandbox.azure.devices.objects import MODULE, Surroundings
from berth_sandbox.azure.iot_hub.content import Manifest
from berth_sandbox.azure.iot_hub.modules import ModuleView, RuntimeStatus
from berth_sandbox.azure.pods.api import Refusal
from berth_sandbox.azure.pods.parts import START
from berth_sandbox.azure.pods.starts import Starts

Object = dict[str, Any]

STARTED, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"
RUNNING = {"running": {"startedAt": STARTED}}
CRASHED = {"terminated": {"startedAt": STARTED, "finishedAt": ENDED, "exitCode": 3}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}
PULLING = {"waiting": {"reason": "ErrImagePull"}}
CAMERA = 'FROM /messages/modules/camera/* INTO BrokeredEndpoint("/modules/iris/inputs/amlInput")'


class Cluster:
    """Pods and Secrets of one namespace; a Pod can be told how it fares."""

    def __init__(self) -> None:
        self.objects: dict[str, list[Object]] = {"pods": [], "secrets": [], "events": []}
        self.refusing = False

    @property
    def modules(self) -> list[str]:
        return sorted(pod["metadata"]["labels"][MODULE] for pod in self.objects["pods"])

    async def create(self, kind: str, body: Object) -> None:
        if self.refusing:
            raise Refusal("no room")
        self.objects[kind].append(body)

    async def list(self, kind: str, **selectors: str) -> list[Object]:
        name = selectors["fieldSelector"].partition("=")[2]
        return [each for each in self.objects[kind] if each["metadata"]["name"] == name]

    async def delete(self, kind: str, **selectors: str) -> None:
        label, _, value = selectors["labelSelector"].partition("=")
        left = [each for each in self.objects[kind] if value not in {"", each["metadata"]["labels"][label]}]
        self.objects[kind] = left if value else []

    def fares(self, state: Object, last: Object | None = None, restarts: int = 0) -> None:
        for pod in self.objects["pods"]:
            status = {"name": "module", "state": state, "lastState": last or {}, "restartCount": restarts}
            pod["status"] = {"containerStatuses": [status]}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def pods(cluster: Cluster) -> DevicePods:
    devices = {"line-1": NetworkDevice("hub.example", "line-1", Gateway("line-1.example"))}
    return DevicePods(Starts(cluster), devices, Surroundings("helper:1"))


def told(**options: Any) -> Object:
    return {"settings": {"image": "scoring:1", "createOptions": "{}"}, **options}


def manifest(*routes: str, **registries: Object) -> Manifest:
    agent = {"runtime": {"settings": {"registryCredentials": registries}}}
    hub = {"routes": {str(number): {"route": route} for number, route in enumerate(routes)}}
    return Manifest({"$edgeAgent": agent, "$edgeHub": hub})


async def run(pods: DevicePods, **modules: Object) -> None:
    system = {"edgeAgent": told(), "edgeHub": told()}
    pods.run("line-1", {**system, **modules}, manifest(CAMERA))
    await pods.carry_out()


def view(pods: DevicePods) -> ModuleView:
    return pods.views("line-1", 0)["iris"]


async def test_each_module_but_the_runtimes_own_is_a_pod(pods: DevicePods, cluster: Cluster) -> None:
    await run(pods, iris=told(), camera=told())
    assert cluster.modules == ["camera", "iris"]
    await run(pods, iris=told(), camera=told())
    assert cluster.modules == ["camera", "iris"]


async def test_a_module_that_is_wanted_no_more_leaves_nothing(pods: DevicePods, cluster: Cluster) -> None:
    await run(pods, iris=told(), camera=told())
    await run(pods, iris=told())
    assert cluster.modules == ["iris"]
    starts = {each["metadata"]["labels"][START] for kind in cluster.objects.values() for each in kind}
    assert len(starts) == 1
    assert set(pods.views("line-1", 0)) == {"iris"}


async def test_a_module_that_changes_runs_anew(pods: DevicePods, cluster: Cluster) -> None:
    await run(pods, iris=told())
    await run(pods, iris=told(version="2"))
    cluster.fares(RUNNING)
    await run(pods, iris=told(version="2"))
    assert cluster.modules == ["iris"]
    assert view(pods).status == RuntimeStatus.RUNNING


async def test_a_pod_that_someone_deleted_is_started_again(pods: DevicePods, cluster: Cluster) -> None:
    await run(pods, iris=told())
    cluster.objects["pods"].clear()
    await pods.carry_out()
    await pods.carry_out()
    assert cluster.modules == ["iris"]


@pytest.mark.parametrize(
    ("state", "last", "policy", "status", "exit_code"),
    [
        (RUNNING, None, "always", RuntimeStatus.RUNNING, 0),
        (RUNNING, CRASHED, "always", RuntimeStatus.RUNNING, 0),
        (WAITING, CRASHED, "always", RuntimeStatus.BACKOFF, 3),
        (CRASHED, None, "always", RuntimeStatus.BACKOFF, 3),
        (CRASHED, None, "on-failure", RuntimeStatus.BACKOFF, 3),
        (CRASHED, None, "never", RuntimeStatus.FAILED, 3),
        (PULLING, None, "always", RuntimeStatus.UNKNOWN, 0),
    ],
)
async def test_what_the_agent_tells_of_a_pod(
    pods: DevicePods,
    cluster: Cluster,
    state: Object,
    last: Object | None,
    policy: str,
    status: RuntimeStatus,
    exit_code: int,
) -> None:
    await run(pods, iris=told(restartPolicy=policy))
    assert view(pods).status == RuntimeStatus.UNKNOWN
    cluster.fares(state, last, restarts=4)
    await pods.carry_out()
    assert (view(pods).status, view(pods).exit_code) == (status, exit_code)


async def test_a_module_that_is_to_be_stopped_is(pods: DevicePods, cluster: Cluster) -> None:
    await run(pods, iris=told())
    await run(pods, iris=told(status="stopped"))
    assert (cluster.modules, view(pods).status) == ([], RuntimeStatus.STOPPED)


@pytest.mark.parametrize("refused", ["options", "cluster"])
async def test_what_cannot_start_has_failed_and_disturbs_no_other(
    pods: DevicePods, cluster: Cluster, refused: str
) -> None:
    cluster.refusing = refused == "cluster"
    broken = told()
    broken["settings"]["createOptions"] = "{" if refused == "options" else "{}"
    await run(pods, iris=broken)
    cluster.refusing = False
    await run(pods, iris=broken, camera=told())
    assert (cluster.modules, view(pods).status) == (["camera"], RuntimeStatus.FAILED)


async def test_routes_are_the_edge_hubs(pods: DevicePods) -> None:
    await run(pods, iris=told())
    (route,) = pods.devices["line-1"].hub.routes
    assert (route.module, route.target, route.input) == ("camera", "iris", "amlInput")


async def test_a_route_that_cannot_be_read_leaves_those_before(pods: DevicePods) -> None:
    await run(pods, iris=told())
    pods.run("line-1", {}, manifest("FROM nowhere"))
    assert len(pods.devices["line-1"].hub.routes) == 1


async def test_registries_come_from_the_manifest(pods: DevicePods, cluster: Cluster) -> None:
    known = {"address": "team.azurecr.io", "username": "ann", "password": "s3cret"}
    pods.run("line-1", {"iris": told()}, manifest(iris=known))
    await pods.carry_out()
    kinds = {secret["type"] for secret in cluster.objects["secrets"]}
    assert "kubernetes.io/dockerconfigjson" in kinds
    assert "s3cret" not in json.dumps(cluster.objects["pods"])


def test_other_devices_are_not_backed(pods: DevicePods) -> None:
    assert (pods.backs("line-1"), pods.backs("line-2")) == (True, False)

"""ModelDeployments on exclusive devices: a real API server, whose nodes are said to offer some."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_requests import ApiServer
from deployments import MODEL
from device_pool import Pool, served
from fpga_deployments import STOCK
from kubelet_pods import crash_loop
from operator_process import Kubelet, Process, User, condition, is_ready, is_stalled, operator

from berth.core.keys import Key
from berth.plan.resources import (
    COMPUTE_TARGETS,
    DEPLOYMENTS,
    NODES,
    POD_EVENTS,
    PODS,
    PRIORITY_CLASSES,
    SERVICES,
    Resource,
)
from berth_sandbox.cluster.control_plane import ControlPlane

SETTLED_SECONDS = 1.5
BURST = 12
NONE_SERVES = {
    "replicas": 1,
    "updatedReplicas": 1,
    "availableReplicas": 0,
    "readyReplicas": 0,
    "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
}
"""What a Deployment says of which a replica did serve."""

Object = dict[str, Any]


@pytest.fixture
async def berth(
    control_plane: ControlPlane, namespace: str, tmp_path: Path, api: ApiServer
) -> AsyncIterator[Process]:
    async with operator(control_plane.kubeconfig, namespace, tmp_path / "berth-0.log") as process:
        yield process


def has(kind: str, reason: str) -> Any:
    return lambda there: condition(there, kind).get("reason") == reason


def rolling(deployment: Object) -> Object:
    found: Object = deployment["spec"]["strategy"]["rollingUpdate"]
    return found


async def test_apply_leads_to_ready_on_a_device(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    await pool.node("a", 2)
    await user.apply(served(pool))
    ready = await user.until_ready()
    host = f"iris.{user.namespace}.svc"
    assert ready["status"]["grpcEndpoint"] == f"{host}:80"
    assert ready["status"]["scoringUri"] == f"http://{host}:5001/score"
    counts = {"resourceName": pool.resource, "total": 2, "allocated": 0, "free": 2, "pending": 0}
    assert ready["status"]["fpga"]["devices"] == counts
    assert condition(ready, "DevicesAvailable")["status"] == "True"
    deployment, service = await user.get(DEPLOYMENTS), await user.get(SERVICES)
    assert deployment is not None
    assert service is not None
    limits = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {pool.resource: "1"}
    assert [port["name"] for port in service["spec"]["ports"]] == ["grpc", "http"]


async def test_what_is_ready_is_left_alone_whatever_others_do_with_their_devices(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    await pool.node("a", 3)
    await user.apply(served(pool))
    await user.until_ready()
    before = await user.get(DEPLOYMENTS)
    await pool.hold("other-1")
    await pool.hold("other-2", 2)
    full = await user.until(lambda there: there["status"]["fpga"]["devices"]["free"] == 0)
    assert is_ready(full)
    await asyncio.sleep(SETTLED_SECONDS)
    assert await user.get(DEPLOYMENTS) == before
    settled = await user.get()
    await asyncio.sleep(SETTLED_SECONDS)
    assert await user.get() == settled


async def test_a_burst_of_pods_is_not_a_write_for_each(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    await pool.node("a", BURST)
    await user.apply(served(pool))
    await user.until_ready()
    await pool.status(lambda seen: seen.get("devices", {}).get("free") == BURST)
    await asyncio.sleep(SETTLED_SECONDS)
    began, versions = time.monotonic(), set()
    for number in range(BURST):
        await pool.hold(f"other-{number}")
        await asyncio.sleep(0.15)
        for seen in (await user.get(), await user.client.get(COMPUTE_TARGETS, pool.key)):
            assert seen is not None
            versions.add((seen["kind"], seen["metadata"]["resourceVersion"]))
    seconds = time.monotonic() - began
    await user.until(lambda there: there["status"]["fpga"]["devices"]["free"] == 0)
    for kind in ("ModelDeployment", "ComputeTarget"):
        # One is what was there before; what follows comes at most once a second.
        assert [each for each, _ in versions].count(kind) <= 1 + seconds


async def test_scaling_beyond_the_devices_is_told_before_any_pod_waits(
    user: User, pool: Pool, berth: Process
) -> None:
    await pool.node("a", 2)
    await pool.hold("other")
    await user.apply(served(pool, scaling={"replicas": 3}))
    lacking = await user.until(has("DevicesAvailable", "DevicesInUse"))
    message = condition(lacking, "DevicesAvailable")["message"]
    assert f"of 2 in all 1 are allocated ({user.namespace}/other 1), 1 free" in message
    assert condition(lacking, "DevicesAvailable")["status"] == "False"
    await user.until(has("Ready", "DevicesInUse"))
    there = await user.client.list(PODS, user.namespace, labels="berth.dev/deployment=iris")
    assert there.items == []


async def test_a_node_that_comes_is_noticed_at_once(user: User, pool: Pool, berth: Process) -> None:
    await pool.put(scalesFromZero=True)
    await user.apply(served(pool))
    waits = await user.until(has("DevicesAvailable", "WaitingForCapacity"))
    assert not is_stalled(waits)
    await pool.node("a", 1)
    await user.until(has("DevicesAvailable", "DevicesAvailable"))


async def test_what_the_autoscaler_says_of_a_pod_that_waits_is_told(
    user: User, pool: Pool, berth: Process
) -> None:
    await pool.put(scalesFromZero=True)
    await user.apply(served(pool))
    await user.until(has("Ready", "WaitingForCapacity"))
    await pool.hold("iris-1", on=None)
    labels = {"app.kubernetes.io/managed-by": "berth", "berth.dev/deployment": "iris"}
    key = Key(user.namespace, "iris-1")
    waiting = await user.client.merge_patch(PODS, key, {"metadata": {"labels": labels}})
    await user.client.create(
        POD_EVENTS,
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "iris-1.1", "namespace": user.namespace},
            "involvedObject": {
                "kind": "Pod",
                "namespace": user.namespace,
                "name": "iris-1",
                "uid": waiting["metadata"]["uid"],
            },
            "reason": "NotTriggerScaleUp",
            "message": "pod didn't trigger scale-up: 1 max node group size reached",
            "lastTimestamp": "2026-11-21T12:00:00Z",
            "source": {"component": "cluster-autoscaler"},
            "type": "Normal",
        },
    )
    told = await user.until(has("DevicesAvailable", "NoCapacity"))
    assert "1 max node group size reached" in condition(told, "Ready")["message"]


async def test_the_weights_of_the_installation_serve_where_the_pool_has_none(
    control_plane: ControlPlane, user: User, pool: Pool, tmp_path: Path
) -> None:
    weights = [STOCK | {"uri": "https://example.org/of-the-installation.onnx"}]
    await pool.put(featurizers=[])
    await pool.node("a", 1)
    log = tmp_path / "berth-0.log"
    async with operator(control_plane.kubeconfig, user.namespace, log, featurizers=json.dumps(weights)):
        await user.apply(served(pool))
        deployment = await user.until(lambda there: True, DEPLOYMENTS)
    assert "of-the-installation.onnx" in json.dumps(deployment["spec"]["template"])


async def test_a_pool_without_devices_that_cannot_grow_is_an_error(
    user: User, pool: Pool, berth: Process
) -> None:
    await pool.node("a", 0)
    await user.apply(served(pool))
    await user.until(has("DevicesAvailable", "CountingDevices"))
    stalled = await user.until(is_stalled_for_want, seconds=50)
    assert "No node of the pool offers" in condition(stalled, "Ready")["message"]
    await pool.offer(f"{user.namespace}-a", 1)
    await user.until(lambda there: not condition(there, "Stalled"))


def is_stalled_for_want(there: Object) -> bool:
    return condition(there, "Stalled").get("reason") == "DeviceNotOffered"


async def test_a_drained_node_is_named_and_comes_back(user: User, pool: Pool, berth: Process) -> None:
    await pool.node("a", 1)
    await user.apply(served(pool))
    await user.until(has("DevicesAvailable", "DevicesAvailable"))
    drained = Key("", f"{user.namespace}-a")
    await user.client.merge_patch(NODES, drained, {"spec": {"unschedulable": True}})
    lacking = await user.until(has("DevicesAvailable", "DevicesInUse"))
    told = condition(lacking, "DevicesAvailable")["message"]
    assert f"not ready, cordoned or tainted: {drained.name}" in told
    assert lacking["status"]["fpga"]["devices"]["free"] == 0
    await user.client.merge_patch(NODES, drained, {"spec": {"unschedulable": None}})
    await user.until(has("DevicesAvailable", "DevicesAvailable"))


@pytest.mark.parametrize(
    ("devices", "strategy"),
    [(1, {"maxSurge": 0, "maxUnavailable": 1}), (2, {"maxSurge": 1, "maxUnavailable": 0})],
    ids=["full", "one free"],
)
async def test_a_rollout_surges_only_onto_a_free_device(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process, devices: int, strategy: Object
) -> None:
    await pool.node("a", devices)
    await pool.hold("other")
    await user.apply(served(pool))
    await user.until_ready()
    await user.apply(served(pool, model=MODEL | {"version": "4"}))
    rolled = await user.until(lambda there: there["metadata"]["generation"] > 1, DEPLOYMENTS)
    assert rolling(rolled) == strategy
    assert rolled["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 0


async def test_a_surge_onto_a_device_that_somebody_got_first_is_taken_back(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    await pool.node("a", 2)
    await pool.hold("mine-of-before")
    await user.apply(served(pool))
    await user.until_ready()
    kubelet.counts["iris"] = {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}
    await user.apply(served(pool, model=MODEL | {"version": "4"}))
    await user.until(lambda there: rolling(there)["maxSurge"] == 1, DEPLOYMENTS)
    await pool.hold("thief")
    await pool.hold("successor", on=None)
    await user.until(lambda there: rolling(there)["maxSurge"] == 0, DEPLOYMENTS)


async def test_a_pod_on_a_dead_device_ends_gently_once_another_one_is_free_and_no_other_pod_does(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    kubelet.counts["iris"] = NONE_SERVES
    await pool.node("a", 1)
    await user.apply(served(pool))
    await failing_pod(user, pool, "iris-6d5f-a", owner="iris-6d5f")
    await failing_pod(user, pool, "mine", owner="mine", devices=0)
    told = await user.until(has("Ready", "DeviceUnavailable"))
    assert condition(told, "Ready")["message"] == "no device at /dev/fpga/*/device"
    assert await endings(user) == {"iris-6d5f-a": None, "mine": None}
    await pool.offer(f"{user.namespace}-a", 1, broken=1)
    ended = await user.until(lambda there: "deletionTimestamp" in there["metadata"], PODS, "iris-6d5f-a")
    grace = ended["spec"]["terminationGracePeriodSeconds"]
    assert grace > 30
    assert await endings(user) == {"iris-6d5f-a": grace, "mine": None}
    words = f"Pod iris-6d5f-a on node {user.namespace}-a is replaced, since another device {pool.resource} is"
    await asyncio.sleep(SETTLED_SECONDS)
    assert [note.startswith(words) for reason, note in await user.events() if reason == "PodReplaced"] == [
        True
    ]


async def test_while_changes_wait_no_pod_ends(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    kubelet.counts["iris"] = NONE_SERVES
    await pool.node("a", 2)
    await user.apply(served(pool))
    await user.until(has("Ready", "RollingOut"))
    await user.apply(served(pool, suspend=True))
    await user.until(has("Suspended", "Suspended"))
    await failing_pod(user, pool, "iris-6d5f-a", owner="iris-6d5f")
    await user.apply(served(pool, suspend=True), annotations={"reconcile.berth.dev/requestedAt": "now"})
    await user.until(lambda there: there["status"].get("lastHandledReconcileAt") == "now")
    await asyncio.sleep(SETTLED_SECONDS)
    assert await endings(user) == {"iris-6d5f-a": None}
    await user.apply(served(pool))
    await user.until(lambda there: "deletionTimestamp" in there["metadata"], PODS, "iris-6d5f-a")


async def failing_pod(user: User, pool: Pool, name: str, *, owner: str, devices: int = 1) -> None:
    """Make a Pod of the present template on node `a`, whose container ends for its device again and again."""
    deployment = await user.until(lambda there: True, DEPLOYMENTS)
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"] | {"pod-template-hash": "6d5f"}
    controller = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner}
    metadata = template["metadata"] | {
        "name": name,
        "namespace": user.namespace,
        "labels": labels,
        "ownerReferences": [controller | {"controller": True}],
    }
    (container,) = template["spec"]["containers"]
    limits = {pool.resource: str(devices)}
    containers = [container | {"resources": {"limits": limits}}]
    spec = template["spec"] | {"containers": containers, "nodeName": f"{user.namespace}-a"}
    await user.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    failed = crash_loop(3, "DeviceUnavailable: no device at /dev/fpga/*/device")
    seen = {"name": "scoring", "image": "it", "imageID": "", "ready": False, **failed}
    ended = {"startedAt": "2026-11-01T12:00:00Z", "finishedAt": "2026-11-01T12:00:09Z"}
    seen["lastState"]["terminated"] |= ended
    status = {"phase": "Running", "containerStatuses": [seen]}
    await user.client.merge_patch(PODS, Key(user.namespace, f"{name}/status"), {"status": status})


async def endings(user: User) -> dict[str, int | None]:
    """Say of each Pod with which grace period it ends."""
    there = (await user.client.list(PODS, user.namespace)).items
    return {each["metadata"]["name"]: each["metadata"].get("deletionGracePeriodSeconds") for each in there}


async def test_pods_follow_the_compute_target(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    await pool.node("a", 1, pool="fpga")
    await user.apply(served(pool))
    await user.until_ready()
    await pool.put(nodeSelector={"pool": "fpga"}, tolerations=[{"key": "sku", "operator": "Exists"}])
    template = (await user.until(lambda there: there["metadata"]["generation"] > 1, DEPLOYMENTS))["spec"]
    assert template["template"]["spec"]["nodeSelector"] == {"pool": "fpga"}
    assert template["template"]["spec"]["tolerations"] == [{"key": "sku", "operator": "Exists"}]


async def test_the_compute_target_tells_what_is_used_and_free(user: User, pool: Pool, berth: Process) -> None:
    await pool.node("a", 2)
    await pool.node("b", 1)
    await pool.hold("other", 2)
    await pool.hold("more", on=None)
    found = await pool.status(lambda told: told.get("devices", {}).get("pending") == 1)
    assert found["status"]["fpga"] == {
        "nodes": 2,
        "devices": {"resourceName": pool.resource, "total": 3, "allocated": 2, "free": 1, "pending": 1},
        "holders": [{"name": f"{user.namespace}/other", "devices": 2}],
    }
    assert condition(found, "Ready")["status"] == "True"


@pytest.mark.parametrize(
    ("policy", "preemption", "is_served"),
    [
        ("Never", "Never", True),
        ("PreemptLowerPriority", "PreemptLowerPriority", True),
        ("PreemptLowerPriority", "Never", False),
    ],
)
async def test_pods_end_others_only_where_the_spec_says_so(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process, policy: str, preemption: str, is_served: bool
) -> None:
    name = f"{user.namespace}-latency"
    body = {"apiVersion": PRIORITY_CLASSES.api_version, "kind": "PriorityClass", "metadata": {"name": name}}
    await user.client.create(PRIORITY_CLASSES, body | {"value": 1000, "preemptionPolicy": policy})
    await pool.node("a", 1)
    await user.apply(served(pool, {"priorityClassName": name, "preemption": preemption}))
    if is_served:
        await user.until_ready()
    else:
        stalled = await user.until(is_stalled)
        assert condition(stalled, "Stalled")["reason"] == "PreemptionNotAllowed"
        assert await user.get(DEPLOYMENTS) is None


async def test_claims_of_a_device_class_are_made_by_a_template(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    templates = Resource("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate")
    await pool.put(resourceName=None, deviceClassName="fpga.example.com", dynamicResources=True)
    await user.apply(served(pool))
    ready = await user.until_ready()
    assert condition(ready, "DevicesAvailable")["status"] == "Unknown"
    found = (await user.client.list(templates, user.namespace)).items
    assert [each["metadata"]["ownerReferences"][0]["uid"] for each in found] == [ready["metadata"]["uid"]]
    deployment = await user.get(DEPLOYMENTS)
    assert deployment is not None
    claims = deployment["spec"]["template"]["spec"]["resourceClaims"]
    assert claims == [{"name": "device", "resourceClaimTemplateName": found[0]["metadata"]["name"]}]
    assert rolling(deployment) == {"maxSurge": 0, "maxUnavailable": 1}


async def test_the_end_waits_for_no_watch_of_devices(
    user: User, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    """Kopf waits 5 s for what was begun after it."""
    await pool.node("a", 1)
    await user.apply(served(pool))
    await user.until_ready()
    began = time.monotonic()
    assert await berth.stop() == 0
    assert time.monotonic() - began < 4


async def test_more_nodes_than_the_operator_has_connections_are_counted(
    user: User, pool: Pool, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """Each node with devices is a watch, and each watch holds a connection for as long as it lasts."""
    for number in range(40):
        await pool.node(f"n{number}", 1)
    log = tmp_path / "berth-0.log"
    async with operator(control_plane.kubeconfig, user.namespace, log, connections="10"):
        await user.apply(served(pool))
        counted = await user.until(lambda there: "devices" in there["status"].get("fpga", {}))
    assert counted["status"]["fpga"]["devices"]["free"] == 40

from datetime import UTC, datetime
from typing import Any

import pytest
from deployments import IMAGE
from device_pods import RESOURCE, claimants, node, nodes
from device_pods import pod as holding
from dra_objects import CLASS, OF_DRIVER, claim, device_class, resource_slice
from fpga_deployments import fpga_spec, fpga_subject, pool
from hypothesis import given
from hypothesis import strategies as st
from kubelet_pods import crash_loop, running, terminated
from kubelet_pods import pod as running_pod

from berth.api.conditions import ConditionStatus, Reason
from berth.core.keys import Key
from berth.plan import children
from berth.plan.cluster import Observation, Plan
from berth.plan.device_classes import Published, count_class, read_claim, read_class, read_slice
from berth.plan.devices import Room, Uncounted, count, read_node
from berth.plan.fpga_placement import FpgaSubject
from berth.plan.fpga_plan import FpgaObservation, plan
from berth.plan.fpga_recovery import replacement
from berth.plan.resources import DEPLOYMENTS, PODS
from berth.plan.steps import Remove

NOW = datetime(2026, 11, 1, 12, 1, tzinfo=UTC)
STATUS = {"observedGeneration": 1}
WORDS = "no device at /dev/fpga/*/device: was one allocated to this Pod?"
NO_DEVICE = f"DeviceUnavailable: {WORDS}"
REPLICA_SET = {
    "apiVersion": "apps/v1",
    "kind": "ReplicaSet",
    "name": "iris-6d5f",
    "uid": "uid-set",
    "controller": True,
}
OTHERS_SET = REPLICA_SET | {"name": "other-6d5f"}
DEAD = crash_loop(3, NO_DEVICE)
LATER_START = running(ready=False) | {key: DEAD[key] for key in ("lastState", "restartCount")}


def replica(
    state: Any = DEAD, *, name: str = "iris-6d5f-a", on: str = "a", owner: Any = REPLICA_SET, **metadata: Any
) -> Any:
    """Give a Pod of the Deployment iris, in whose container this goes on."""
    told = {
        "name": name,
        "uid": f"uid-{name}",
        "namespace": "demo",
        "labels": {"pod-template-hash": "6d5f"},
        "ownerReferences": [owner] if owner else [],
    } | metadata
    return running_pod(state, **told) | {"spec": {"nodeName": on} if on else {}}


def room(*found: Any, held: int = 1, others: int = 0, waiting: Any = ()) -> Room:
    """Count a pool, on whose node `a` this ModelDeployment and others hold devices."""
    own = [holding(f"iris-{number}", on="a", deployment="iris") for number in range(held)]
    foreign = [holding(f"x{number}", on="a") for number in range(others)]
    return count(nodes(*found), claimants(*own, *foreign, *waiting), RESOURCE, {}, ())


ONE_IS_FREE = room(node(devices=2))
"""The plugin has not noticed that the device is broken."""
OTHER_WILL_BE_FREE = room(node(devices=1, broken=1))


def chosen(pods: Any, counted: Room | Uncounted, of: FpgaSubject | None = None) -> str | None:
    """Name the Pod that is replaced."""
    found = replacement(of or fpga_subject(), pods, counted)
    return found.step.key.name if found else None


@pytest.mark.parametrize(
    "counted",
    [
        ONE_IS_FREE,
        OTHER_WILL_BE_FREE,
        room(node(devices=0, broken=1), node("b", 1)),
        room(node(devices=1, broken=1, unschedulable=True), node("b", 1)),
    ],
    ids=["unnoticed", "noticed", "on another node", "on another node than a cordoned one"],
)
@pytest.mark.parametrize("state", [DEAD, terminated(3, NO_DEVICE) | {"restartCount": 3}])
def test_a_pod_on_a_dead_device_goes_where_another_one_is_free(counted: Room, state: Any) -> None:
    assert chosen([replica(state)], counted) == "iris-6d5f-a"


@pytest.mark.parametrize(
    "counted",
    [
        room(node(devices=1)),
        room(node(devices=0, broken=1)),
        room(node(devices=0, broken=2)),
        room(node(devices=1, broken=1), others=1),
        room(node(devices=1, broken=1, unschedulable=True)),
        room(node(devices=2, ready=False)),
        Uncounted("nodes is forbidden"),
    ],
    ids=["no other", "none healthy", "plugin away", "held by others", "cordoned", "not ready", "uncounted"],
)
def test_without_another_device_it_keeps_its_place(counted: Room | Uncounted) -> None:
    assert chosen([replica()], counted) is None


@pytest.mark.parametrize(
    "state",
    [
        crash_loop(3, NO_DEVICE) | {"restartCount": 2},
        crash_loop(3, "ModelLoadFailed: no such operator"),
        crash_loop(3, NO_DEVICE, "OOMKilled"),
        crash_loop(1, "the last line of a log"),
        LATER_START,
        running(),
    ],
    ids=["twice only", "model", "memory", "unknown", "starts again", "serves"],
)
def test_only_a_container_that_ends_again_and_again_for_its_device_is_given_up(state: Any) -> None:
    assert chosen([replica(state)], ONE_IS_FREE) is None


@pytest.mark.parametrize("owner", [None, OTHERS_SET, REPLICA_SET | {"kind": "Job", "apiVersion": "batch/v1"}])
def test_a_pod_that_its_deployment_did_not_make_is_left_alone(owner: Any) -> None:
    assert chosen([replica(owner=owner)], ONE_IS_FREE) is None


def test_a_replica_set_of_another_template_is_not_its_own() -> None:
    assert chosen([replica(labels={"pod-template-hash": "77c9"})], ONE_IS_FREE) is None


def test_a_pod_that_ends_is_left_alone_and_the_others_until_it_has() -> None:
    ending = replica(name="iris-6d5f-b", deletionTimestamp="2026-11-01T12:00:30Z")
    counted = room(node(devices=4), held=2)
    assert chosen([ending], counted) is None
    assert chosen([ending, replica()], counted) is None


def test_of_several_dead_ones_one_goes_at_a_time() -> None:
    pods = [replica(name="iris-6d5f-a"), replica(name="iris-6d5f-b")]
    assert chosen(pods, room(node(devices=4), held=2)) == "iris-6d5f-a"


def test_the_healthy_one_beside_it_is_not_the_one_that_goes() -> None:
    pods = [replica(running(), name="iris-6d5f-b"), replica()]
    assert chosen(pods, room(node(devices=3), held=2)) == "iris-6d5f-a"


@pytest.mark.parametrize(
    ("devices", "name"), [(1, None), (2, "iris-6d5f-a")], ids=["for them alone", "for both"]
)
def test_others_that_wait_come_first(devices: int, name: str | None) -> None:
    counted = room(node(devices=devices, broken=1), waiting=[holding("y")])
    assert chosen([replica()], counted) == name


def test_a_pod_of_its_own_that_waits_may_have_the_device() -> None:
    waits = replica(name="iris-6d5f-b", on="")
    waits["status"] = {"phase": "Pending"}
    counted = room(node(devices=1, broken=1), waiting=[holding("iris-1", deployment="iris")])
    assert chosen([waits, replica()], counted) == "iris-6d5f-a"


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (node(devices=2, broken=1), "iris-6d5f-a"),
        (node(devices=3), None),
        (node(devices=4), "iris-6d5f-a"),
    ],
    ids=["one of two broken", "one free", "two free"],
)
def test_a_replica_with_two_devices_needs_two_others_or_one_for_the_broken(
    found: Any, name: str | None
) -> None:
    both = fpga_subject(fpga_spec({"device": {"count": 2}}))
    assert chosen([replica()], room(found, held=2), both) == name


@pytest.mark.parametrize(("devices", "name"), [(["acl1"], "iris-6d5f-a"), ([], None)])
def test_devices_of_a_class_are_counted_alike(devices: list[str], name: str | None) -> None:
    """The driver has left out the broken one, or put a taint on it, which comes to the same."""
    published = Published(
        classes=[read_class(device_class(OF_DRIVER))],
        slices=[read_slice(resource_slice(devices=devices))],
        claims=[each for each in [read_claim(claim("iris-6d5f-a", "acl0", deployment="iris"))] if each],
    )
    counted = count_class(CLASS, published, [read_node(node("a", None))], {}, ())
    of = fpga_subject(place=pool(resourceName=None, deviceClassName=CLASS, dynamicResources=True))
    assert chosen([replica()], counted, of) == name


def planned(
    *pods: Any, counted: Room = OTHER_WILL_BE_FREE, progressing: str = "NewReplicaSetAvailable"
) -> Plan:
    """Plan for a Deployment that is as it is wanted, and whose Pods do not serve."""
    of = fpga_subject(status=STATUS)
    made = {each.resource: each.body for each in (children.deployment(of, IMAGE, observed=None),)}
    made[DEPLOYMENTS]["metadata"]["generation"] = 1
    made[DEPLOYMENTS]["status"] = {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "conditions": [{"type": "Progressing", "status": "True", "reason": progressing}],
    }
    return plan(FpgaObservation(of, Observation(made, pods=pods), counted), IMAGE, NOW)


def test_the_plan_deletes_the_pod_by_its_uid_and_tells_device_and_pod() -> None:
    found = planned(replica())
    removals = [step for step in found.steps if isinstance(step, Remove)]
    assert removals == [Remove(PODS, Key("demo", "iris-6d5f-a"), "uid-iris-6d5f-a")]
    told = f"Pod iris-6d5f-a on node a is replaced, since another device {RESOURCE} is free: {WORDS}"
    assert [(each.reason, each.note) for each in found.events] == [("PodReplaced", told)]
    assert found.draft is not None
    ready = next(each for each in found.draft.conditions if each.type == "Ready")
    assert (ready.status, ready.reason) == (ConditionStatus.FALSE, Reason.DEVICE_UNAVAILABLE)
    assert ready.message == told


@pytest.mark.parametrize("progressing", ["ReplicaSetUpdated", "ProgressDeadlineExceeded"])
def test_the_plan_deletes_no_pod_of_a_spec_that_has_not_served(progressing: str) -> None:
    found = planned(replica(), progressing=progressing)
    assert not any(isinstance(step, Remove) for step in found.steps)
    assert list(found.events) == []


def test_the_plan_deletes_no_pod_that_only_waits_for_its_image() -> None:
    found = planned(replica(terminated(0)), counted=ONE_IS_FREE)
    assert not any(isinstance(step, Remove) for step in found.steps)
    assert list(found.events) == []


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["", "iris", "x"])), min_size=1, max_size=6),
    st.integers(0, 2),
)
def test_whoever_goes_for_a_device_that_is_told_broken_finds_a_healthy_one(
    devices: list[tuple[bool, str]], waiting: int
) -> None:
    """The scheduler knows numbers alone, the kubelet which device is healthy and which is held."""
    devices = [(False, "iris"), *devices]
    healthy = sum(is_well for is_well, _ in devices)
    held = sum(holder == "iris" for _, holder in devices)
    others = sum(holder == "x" for _, holder in devices)
    wait = [holding(f"w{number}") for number in range(waiting)]
    found = node(devices=healthy, broken=len(devices) - healthy)
    if chosen([replica()], room(found, held=held, others=others, waiting=wait)) is None:
        return
    assert healthy - (held - 1) - others >= 1 + waiting
    assert sum(is_well and not holder for is_well, holder in devices) >= 1

from typing import Any

import pytest
from device_pods import node
from dra_objects import CLASS, DRIVER, OF_DRIVER, claim, device_class, resource_slice

from berth.plan.device_classes import (
    Published,
    count_class,
    read_claim,
    read_class,
    read_ending,
    read_slice,
)
from berth.plan.devices import Room, Uncounted, read_node

BARE_NODE = node("a", None)
ARRIA10 = device_class(OF_DRIVER)


def counted(
    *slices: Any,
    claims: Any = (),
    classes: Any = (ARRIA10,),
    nodes: Any = (BARE_NODE,),
    ending: Any = (),
    selector: Any = None,
) -> Room | Uncounted:
    published = Published(
        classes=map(read_class, classes),
        slices=map(read_slice, slices or [resource_slice()]),
        claims=[each for each in map(read_claim, claims) if each is not None],
        ending=frozenset(ending),
    )
    return count_class(CLASS, published, map(read_node, nodes), selector or {}, ())


def room(*slices: Any, **given: Any) -> Room:
    found = counted(*slices, **given)
    assert isinstance(found, Room), found
    return found


def why(*slices: Any, **given: Any) -> str:
    found = counted(*slices, **given)
    assert isinstance(found, Uncounted), found
    return found.why


def test_published_devices_are_counted_less_those_that_claims_were_given() -> None:
    found = room(claims=[claim("p", "acl0"), claim("waits", asks=2)])
    assert (found.total, found.allocated, found.free, found.pending) == (2, 1, 1, 2)
    assert found.resource == CLASS
    assert (found.nodes, dict(found.held)) == (("a",), {"demo/p": 1})


def test_a_claim_of_berths_is_held_by_its_model_deployment() -> None:
    found = room(claims=[claim("iris-1", "acl0", "acl1", deployment="iris")])
    assert dict(found.held) == {"demo/iris": 2}
    assert found.nodes_of == {"demo/iris": ("a",)}


def test_a_shared_claim_is_one_device_and_one_without_a_pod_is_held_by_itself() -> None:
    shared = claim("one", "acl0")
    shared["metadata"]["ownerReferences"] = []
    shared["status"]["reservedFor"].append({"resource": "pods", "name": "two", "uid": "uid-two"})
    left = claim("gone", "acl1")
    left["metadata"]["ownerReferences"] = left["status"]["reservedFor"] = []
    found = room(claims=[shared, left])
    assert (found.allocated, dict(found.held)) == (2, {"demo/gone-device-x2x": 1, "demo/one": 1})


def test_a_named_claim_that_no_pod_waits_with_is_not_waited_for() -> None:
    named = claim("p")
    named["metadata"]["ownerReferences"] = []
    assert room(claims=[named]).pending == 0


def test_the_newest_generation_of_a_pool_counts() -> None:
    old = resource_slice("old", ["acl0", "acl1", "acl2"], generation=1)
    assert room(old, resource_slice("new", ["acl0"], generation=2)).total == 1


def test_a_pool_counts_once_all_its_slices_are_there() -> None:
    first = resource_slice("s1", ["acl0"], slices=2)
    assert f"Driver {DRIVER} has published 1 of 2 slices of pool a" in why(first)
    assert room(first, resource_slice("s2", ["acl1"], slices=2)).total == 2


def test_each_node_has_its_pool() -> None:
    on_b = resource_slice("b", ["acl0"], on="b", pool="b")
    nodes = [node("a", None), node("b", None, unschedulable=True)]
    found = room(resource_slice(), on_b, nodes=nodes, claims=[claim("p", "acl0", pool="b")])
    assert (found.total, found.allocated, found.free) == (3, 1, 2)
    assert (found.free_by_node, found.closed) == ((2,), ("b",))


def test_only_nodes_of_the_pool_are_counted() -> None:
    assert room(selector={"pool": "fpga"}).total == 0
    labelled = node("a", None, labels={"pool": "fpga"})
    assert room(selector={"pool": "fpga"}, nodes=[labelled]).total == 2


def test_a_device_that_is_gone_leaves_the_others_free() -> None:
    """The scheduler gives devices by their names here, and not by their number."""
    found = room(resource_slice(devices=["acl1"]), claims=[claim("p", "acl0")])
    assert (found.total, found.allocated, found.free) == (1, 0, 1)


@pytest.mark.parametrize(("effect", "total"), [("NoSchedule", 1), ("NoExecute", 1), ("None", 2)])
def test_a_device_with_a_taint_is_given_to_nobody(effect: str, total: int) -> None:
    ill = {"name": "acl0", "taints": [{"key": "health", "effect": effect}]}
    assert room(resource_slice(devices=[ill, "acl1"])).total == total


def test_a_pod_that_ends_frees_its_device_soon() -> None:
    ends = {"metadata": {"uid": "uid-p", "deletionTimestamp": "2026-11-01T12:00:00Z"}}
    assert read_ending(ends) == "uid-p"
    assert read_ending({"metadata": {"uid": "uid-p"}}) is None
    assert room(claims=[claim("p", "acl0")], ending=["uid-p"]).ending == 1
    assert room(claims=[claim("p", "acl0")]).ending == 0


def test_access_for_maintenance_takes_nothing() -> None:
    assert room(claims=[claim("p", "acl0", adminAccess=True)]).allocated == 0
    assert room(claims=[claim("p", adminAccess=True)]).pending == 0


def test_another_class_or_driver_is_not_this_one() -> None:
    other = device_class('device.driver == "gpu.example.com"', name="gpu")
    gpus = resource_slice("gpus", ["gpu0"], driver="gpu.example.com")
    waits = claim("p", class_name="gpu")
    found = room(resource_slice(), gpus, classes=[other, ARRIA10], claims=[waits])
    assert (found.total, found.pending) == (2, 0)


@pytest.mark.parametrize(
    ("expressions", "total"),
    [
        ([OF_DRIVER], 2),
        ([f"device.driver=='{DRIVER}'"], 2),
        ([f"  device.driver  ==  '{DRIVER}'\n"], 2),
        ([OF_DRIVER, OF_DRIVER], 2),
        ([], 2),
        (['device.driver == "gpu.example.com"'], 0),
        ([OF_DRIVER, 'device.driver == "gpu.example.com"'], 0),
    ],
)
def test_a_class_of_one_driver_is_understood(expressions: list[str], total: int) -> None:
    assert room(classes=[device_class(*expressions)]).total == total


@pytest.mark.parametrize(
    "expression",
    [
        f'{OF_DRIVER} && device.attributes["{DRIVER}"].model == "A10"',
        f'device.attributes["{DRIVER}"].model == "A10"',
        f'device.driver != "{DRIVER}"',
        r'device.driver == "fpga\x2eexample.com"',
    ],
)
def test_what_more_a_class_asks_for_is_told(expression: str) -> None:
    told = why(classes=[device_class(expression)])
    assert "chooses its devices by more than their driver" in told
    assert expression in told


def test_a_class_that_is_not_there_is_told() -> None:
    assert why(classes=[]) == f"DeviceClass {CLASS} does not exist"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"on": None, "allNodes": True}, "to several nodes at once"),
        ({"on": None, "nodeSelector": {"nodeSelectorTerms": []}}, "to several nodes at once"),
        ({"devices": [{"name": "a", "allowMultipleAllocations": True}]}, "divides devices of pool a"),
        ({"devices": [{"name": "a", "consumesCounters": [{"counterSet": "c"}]}]}, "divides devices"),
    ],
)
def test_devices_that_are_not_one_nodes_alone_are_told(given: Any, words: str) -> None:
    assert words in why(resource_slice(**given))
    elsewhere = device_class('device.driver == "gpu.example.com"')
    assert room(resource_slice(**given), classes=[elsewhere]).total == 0

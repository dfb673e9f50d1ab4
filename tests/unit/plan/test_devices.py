from typing import Any

import pytest
from device_pods import RESOURCE, claimants, container, node, nodes, pod
from hypothesis import given
from hypothesis import strategies as st

from berth.api.common import Toleration
from berth.plan.devices import Room, count, pod_requests, read_claimant, read_offering

TAINT = {"key": "sku", "value": "fpga", "effect": "NoSchedule"}


def counted(found: Any, asking: Any = (), selector: Any = None, tolerations: Any = ()) -> Room:
    return count(nodes(*found), claimants(*asking), RESOURCE, selector or {}, tolerations)


def numbers(room: Room) -> tuple[int, int, int, int]:
    return room.total, room.allocated, room.free, room.pending


def test_what_pods_ask_for_is_not_free() -> None:
    room = counted([node("a"), node("b")], [pod("p", on="a"), pod("q", 2, on="b"), pod("r")])
    assert numbers(room) == (4, 3, 1, 1)
    assert room.nodes == ("a", "b")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_holds_nothing(phase: str) -> None:
    assert numbers(counted([node()], [pod("p", on="a", phase=phase)])) == (2, 0, 2, 0)


def test_a_pod_that_ends_still_holds_its_device() -> None:
    room = counted([node()], [pod("p", on="a", ending=True)])
    assert (room.free, room.ending) == (1, 1)


def test_a_pod_that_ends_on_a_dead_node_gives_nothing_back() -> None:
    assert counted([node(ready=False)], [pod("p", on="a", ending=True)]).ending == 0


def test_room_that_is_being_made_for_a_pod_is_not_free() -> None:
    assert numbers(counted([node()], [pod("p", phase="Pending", nominatedNodeName="a")])) == (2, 1, 1, 0)


def test_a_broken_device_that_is_held_leaves_nothing_free_and_nothing_negative() -> None:
    """One of two is broken and held: the scheduler counts numbers, so the healthy one is not given either."""
    assert numbers(counted([node(devices=1)], [pod("p", on="a"), pod("q", on="a")])) == (1, 2, 0, 0)


def test_a_node_without_its_plugin_offers_nothing() -> None:
    room = counted([node(devices=0)], [pod("p", on="a")])
    assert numbers(room) == (0, 1, 0, 0)
    assert room.nodes == ()


@pytest.mark.parametrize(
    ("closed", "tolerations"),
    [
        (node(ready=False), ()),
        (node(unschedulable=True), ()),
        (node(taints=[TAINT]), ()),
        (node(taints=[TAINT]), (Toleration(key="sku", value="other"),)),
        (node(taints=[TAINT]), (Toleration(key="sku", operator="Exists", effect="NoExecute"),)),
    ],
)
def test_a_node_that_takes_no_pod_has_devices_but_none_free(closed: Any, tolerations: Any) -> None:
    room = counted([closed], tolerations=tolerations)
    assert numbers(room) == (2, 0, 0, 0)
    assert room.closed == ("a",)


@pytest.mark.parametrize(
    ("taint", "toleration"),
    [
        (TAINT, Toleration(key="sku", value="fpga")),
        (TAINT, Toleration(key="sku", operator="Exists", effect="NoSchedule")),
        (TAINT, Toleration(operator="Exists")),
        ({"key": "sku", "effect": "NoSchedule"}, Toleration(key="sku")),
    ],
)
def test_a_taint_that_is_tolerated_keeps_nobody_away(taint: Any, toleration: Toleration) -> None:
    assert counted([node(taints=[taint])], tolerations=(toleration,)).free == 2


def test_a_taint_that_only_prefers_keeps_nobody_away() -> None:
    assert counted([node(taints=[TAINT | {"effect": "PreferNoSchedule"}])]).free == 2


@pytest.mark.parametrize(
    ("selector", "pending"), [({}, 1), ({"disk": "ssd"}, 1), ({"pool": "fpga"}, 1), ({"pool": "other"}, 0)]
)
def test_a_pod_that_waits_for_another_pool_is_not_waited_for_here(selector: Any, pending: int) -> None:
    waiting = pod("p", phase="Pending")
    waiting["spec"]["nodeSelector"] = selector
    assert counted([node(labels={"pool": "fpga"})], [waiting], {"pool": "fpga"}).pending == pending


def test_only_nodes_of_the_pool_count() -> None:
    found = [node("a", labels={"pool": "fpga", "zone": "1"}), node("b", labels={"pool": "other"})]
    room = counted(found, [pod("p", on="b")], {"pool": "fpga"})
    assert numbers(room) == (2, 0, 2, 0)


def test_a_replica_needs_its_devices_on_one_node() -> None:
    room = counted([node("a", 3), node("b", 1)], [pod("p", on="a")])
    assert room.free == 3
    assert [room.replicas(devices) for devices in (1, 2, 3)] == [3, 1, 0]


def test_holders_are_named_as_users_know_them_those_with_the_most_first() -> None:
    held = [pod("x", on="a"), pod("f-1", on="a", deployment="f"), pod("f-2", on="b", deployment="f")]
    room = counted([node("a"), node("b")], held)
    assert list(room.held.items()) == [("demo/f", 2), ("demo/x", 1)]
    assert room.nodes_of["demo/f"] == ("a", "b")


def test_who_asks_for_nothing_is_not_remembered() -> None:
    assert read_claimant(pod("p", 0, on="a")) is None
    assert read_offering(node(devices=None)) is None


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        ({"containers": [container(1), container(2)]}, 3),
        ({"containers": [container(1)], "initContainers": [container(3), container(2)]}, 3),
        ({"containers": [container(1)], "initContainers": [container(2, restartPolicy="Always")]}, 3),
        (
            {
                "containers": [container(1)],
                "initContainers": [container(2, restartPolicy="Always"), container(2)],
            },
            4,
        ),
        (
            {
                "containers": [container(1)],
                "initContainers": [container(3), container(1, restartPolicy="Always")],
            },
            3,
        ),
        ({"containers": [{"name": "c", "resources": {"requests": {RESOURCE: 2}}}]}, 2),
    ],
)
def test_a_pod_asks_for_what_its_containers_need_at_most_at_one_time(spec: Any, asked: int) -> None:
    assert pod_requests(spec) == {RESOURCE: asked}


_names = st.sampled_from(["a", "b", "c"])
_nodes = st.lists(
    st.builds(
        node, _names, st.integers(0, 4), ready=st.booleans(), unschedulable=st.booleans(), taints=st.just([])
    ),
    max_size=3,
    unique_by=lambda raw: raw["metadata"]["name"],
)
_pods = st.lists(
    st.builds(
        pod,
        st.uuids().map(str),
        st.integers(0, 3),
        on=st.sampled_from(["", "a", "b", "c"]),
        phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
    ),
    max_size=8,
)


@given(_nodes, _pods)
def test_nobody_gets_more_than_there_is(found: Any, asking: Any) -> None:
    room = counted(found, asking)
    assert 0 <= room.free <= room.total
    assert sum(room.held.values()) == room.allocated
    assert room.replicas(1) == room.free
    assert room.free >= room.total - room.allocated or room.closed


@given(_nodes, _pods, st.integers(1, 3))
def test_each_pod_that_is_bound_takes_what_it_asks_for(found: Any, asking: Any, devices: int) -> None:
    before = counted(found, asking)
    open_nodes = [each.name for each in nodes(*found) if each.is_usable(())]
    for name in open_nodes:
        after = counted(found, [*asking, pod("new", devices, on=name)])
        assert before.free - devices <= after.free <= before.free
        assert after.allocated == before.allocated + devices


@given(_nodes, _pods)
def test_the_order_of_the_news_does_not_matter(found: Any, asking: Any) -> None:
    assert counted(found, asking) == counted(found[::-1], asking[::-1])

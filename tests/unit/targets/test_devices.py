"""Counting from watches: which ones there are, when the counts can be had, and who hears of news."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from device_pods import RESOURCE, node, pod
from told_watches import Watched, running, settle

from berth.api.conditions import Reason
from berth.core.errors import Postponed, Terminal
from berth.core.keys import Key
from berth.plan.devices import Room, Uncounted
from berth.plan.resources import NODES, PODS
from berth.targets.devices import Devices

UNBOUND = "spec.nodeName=,status.phase=Pending"
REFUSED = Terminal(Reason.REJECTED, "nodes is forbidden")


def on(name: str) -> str:
    return f"spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed"


class World(Watched[str]):
    """Devices, the watches that they made, and what was heard."""

    def __init__(self) -> None:
        super().__init__(lambda _, selector: selector)
        self.now = 100.0
        self.devices = Devices(self.follow, lambda: self.now)
        self.devices.tell("me", self.hear)

    def room(self, **selector: str) -> Room | Uncounted:
        return self.devices.room(RESOURCE, selector, ())

    def missing(self, who: str, **selector: str) -> float:
        room = self.room(**selector)
        assert isinstance(room, Room)
        return self.devices.missing_seconds(who, room)

    async def begin(self, *nodes: Any, waiting: Any = ()) -> None:
        """Ask, and let all watches have told what is there."""
        with pytest.raises(Postponed):
            self.room()
        self.watches[""].list(*nodes)
        self.watches[UNBOUND].list(*waiting)
        await settle()
        for each in nodes:
            if (watch := self.watches.get(on(each["metadata"]["name"]))) is not None:
                watch.list()
        await settle()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    async with running(world.devices):
        yield world


async def test_nothing_is_watched_before_someone_asks(world: World) -> None:
    assert world.running == set()
    with pytest.raises(Postponed):
        world.room()
    await settle()
    assert world.running == {"", UNBOUND}
    assert {world.watches[""].resource, world.watches[UNBOUND].resource} == {NODES, PODS}


async def test_only_pods_of_nodes_with_the_resource_are_watched(world: World) -> None:
    other = node("b", None)
    other["status"]["allocatable"]["nvidia.com/gpu"] = "1"
    await world.begin(node("a"), other, node("c", None))
    assert world.running == {"", UNBOUND, on("a")}


async def test_there_are_no_counts_before_every_watch_has_told(world: World) -> None:
    await world.begin(node("a"))
    world.watches[""].tell(node("b"))
    with pytest.raises(Postponed):
        world.room()
    await settle()
    with pytest.raises(Postponed):
        world.room()
    world.watches[on("b")].list(pod("p", on="b"))
    room = world.room()
    assert isinstance(room, Room)
    assert (room.total, room.allocated) == (4, 1)


async def test_a_pod_that_is_bound_is_counted_once(world: World) -> None:
    await world.begin(node("a"), waiting=[pod("p", phase="Pending")])
    room = world.room()
    assert isinstance(room, Room)
    assert (room.pending, room.free) == (1, 2)
    world.watches[on("a")].tell(pod("p", on="a"))
    both = world.room()
    world.watches[UNBOUND].drop(pod("p", on="a"))
    assert both == world.room()
    assert isinstance(both, Room)
    assert (both.pending, both.allocated, both.free) == (0, 1, 1)


async def test_who_asked_hears_of_news_and_of_nothing_else(world: World) -> None:
    await world.begin(node("a"))
    before = world.heard
    world.watches[on("a")].tell(pod("p", on="a"))
    await settle()
    assert world.heard == before + 1
    same = pod("p", on="a", podIP="10.0.0.7")
    world.watches[on("a")].tell(same)
    world.watches[on("a")].tell(pod("q", 0, on="a"))
    world.watches[""].tell(node("c", None))
    await settle()
    assert world.heard == before + 1
    world.watches[on("a")].tell(pod("p", on="a", phase="Succeeded"))
    await settle()
    assert world.heard == before + 2
    world.devices.forget("me")
    world.watches[""].tell(node("a", 1))
    await settle()
    assert world.heard == before + 2


async def test_nothing_is_followed_once_it_ends(world: World) -> None:
    await world.begin(node("a"))
    assert len(world.running) == 3
    world.devices.end()
    await settle()
    assert world.running == set()


async def test_a_node_that_goes_is_followed_no_more(world: World) -> None:
    await world.begin(node("a"), node("b"))
    world.watches[on("b")].tell(pod("p", on="b"))
    world.watches[""].drop(node("b"))
    await settle()
    assert world.running == {"", UNBOUND, on("a")}
    room = world.room()
    assert isinstance(room, Room)
    assert (room.total, room.allocated) == (2, 0)


async def test_what_a_new_list_lacks_is_forgotten(world: World) -> None:
    await world.begin(node("a"))
    world.watches[on("a")].list(pod("p", on="a"), pod("q", on="a"))
    world.watches[on("a")].list(pod("q", on="a"))
    room = world.room()
    assert isinstance(room, Room)
    assert room.held == {"demo/q": 1}


async def test_where_the_operator_may_not_look_nothing_is_counted(world: World) -> None:
    with pytest.raises(Postponed):
        world.room()
    for watch in (world.watches[""], world.watches[UNBOUND]):
        watch.refusal = REFUSED
        watch.settled.set()
    assert world.room() == Uncounted(f"The operator cannot look at nodes and pods: {REFUSED}")


async def test_how_long_devices_are_missing_begins_anew_when_they_were_there(world: World) -> None:
    await world.begin(node("a", 0))
    assert world.missing("me") == 0
    world.now += 40
    assert world.missing("me") == 40
    world.watches[""].tell(node("a", 1))
    await settle()
    assert world.missing("me") == 0
    world.now += 40
    assert world.missing("me") == 0
    world.watches[""].tell(node("a", 0))
    assert world.missing("me") == 0


async def test_a_full_pool_does_not_hide_that_another_with_this_resource_is_empty(world: World) -> None:
    await world.begin(node("a", 0, labels={"pool": "old"}), node("b", 2, labels={"pool": "new"}))
    for seconds in (0, 40, 80):
        assert world.missing("me", pool="old") == seconds
        assert world.missing("other", pool="new") == 0
        world.now += 40


async def test_who_comes_back_or_asks_for_another_resource_begins_anew(world: World) -> None:
    await world.begin(node("a", 0))
    assert world.missing("me") == world.missing("other") == 0
    world.now += 40
    world.devices.forget("me")
    assert world.missing("me") == 0
    assert world.missing("other") == 40
    room = world.room()
    assert isinstance(room, Room)
    another = replace(room, resource="fpga.example.com/agilex")
    assert world.devices.missing_seconds("other", another) == 0


async def test_the_pod_that_waits_can_be_asked_for(world: World) -> None:
    await world.begin(node("a"), waiting=[pod("p", phase="Pending", deployment="iris")])
    found = world.devices.waiting("demo/iris")
    assert found is not None
    assert found.key == Key("demo", "p")
    assert world.devices.waiting("demo/other") is None

"""Devices of DRA classes: which watches there are, and what is told where they cannot be."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from device_pods import node
from dra_objects import CLASS, OF_DRIVER, claim, device_class, resource_slice
from told_watches import Watched, running, settle

from berth.api.conditions import Reason
from berth.core.errors import Gone, Postponed, Terminal
from berth.core.keys import Key
from berth.plan.devices import Room, Uncounted
from berth.plan.resources import CLAIMS, DEVICE_CLASSES, NODES, PODS, SLICES, Resource
from berth.targets.device_classes import DeviceClasses

KINDS = {DEVICE_CLASSES, SLICES, CLAIMS, NODES, PODS}


class World(Watched[Resource]):
    """Classes, the watches that they made, and what was heard."""

    def __init__(self) -> None:
        super().__init__(lambda resource, _: resource)
        self.classes = DeviceClasses(self.follow, lambda: 0.0)
        self.classes.tell("me", self.hear)

    def room(self) -> Room | Uncounted:
        return self.classes.room(CLASS, {}, ())

    async def begin(self, *claims: Any) -> None:
        """Ask, and let all watches have told what is there."""
        with pytest.raises(Postponed):
            self.room()
        self.watches[DEVICE_CLASSES].list(device_class(OF_DRIVER))
        self.watches[SLICES].list(resource_slice())
        self.watches[CLAIMS].list(*claims)
        self.watches[NODES].list(node("a", None))
        self.watches[PODS].list()
        await settle()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    async with running(world.classes):
        yield world


async def test_nothing_is_watched_before_someone_asks(world: World) -> None:
    assert world.running == set()
    await world.begin()
    assert world.running == KINDS


async def test_of_pods_only_those_are_watched_that_claim_devices(world: World) -> None:
    assert world.watches[PODS].selector == "berth.dev/devices=claimed"


async def test_what_the_watches_tell_is_counted(world: World) -> None:
    await world.begin(claim("p", "acl0"))
    room = world.room()
    assert isinstance(room, Room)
    assert (room.total, room.allocated, room.free) == (2, 1, 1)
    world.watches[SLICES].tell(resource_slice(devices=["acl0", "acl1", "acl2"], generation=2))
    room = world.room()
    assert isinstance(room, Room)
    assert room.free == 2


async def test_who_asked_hears_of_news_and_of_nothing_else(world: World) -> None:
    await world.begin(claim("p", "acl0"))
    before = world.heard
    same = claim("p", "acl0")
    same["status"]["devices"] = [{"device": "acl0", "conditions": []}]
    world.watches[CLAIMS].tell(same)
    await settle()
    assert world.heard == before
    world.watches[CLAIMS].tell(claim("p"))
    await settle()
    assert world.heard == before + 1


async def test_the_pod_that_waits_can_be_asked_for(world: World) -> None:
    await world.begin(claim("p", deployment="iris"))
    found = world.classes.waiting("demo/iris")
    assert found is not None
    assert (found.key, found.uid) == (Key("demo", "p"), "uid-p")
    assert world.classes.waiting("demo/other") is None


async def test_a_cluster_without_such_devices_is_told(world: World) -> None:
    await world.begin()
    world.watches[SLICES].refuse(Gone("the server could not find the requested resource"))
    with pytest.raises(Terminal, match=r"does not serve resource\.k8s\.io/v1") as told:
        world.room()
    assert told.value.reason is Reason.TARGET_NOT_AVAILABLE


async def test_where_the_operator_may_not_look_nothing_is_counted(world: World) -> None:
    await world.begin()
    world.watches[CLAIMS].refuse(Terminal(Reason.REJECTED, "resourceclaims is forbidden"))
    found = world.room()
    assert isinstance(found, Uncounted)
    assert "resourceclaims is forbidden" in found.why

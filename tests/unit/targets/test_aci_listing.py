"""One list serves all who look at a resource group, and one that hangs holds nobody."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from container_groups import place
from virtual_time import in_virtual_time, now

from berth.core.errors import Postponed, Transient
from berth.targets.aci_listing import Listing, Listings
from berth.targets.azure import Site


@dataclass(frozen=True)
class Answer:
    body: dict[str, Any]


@dataclass(eq=False)
class Groups:
    """A subscription that answers after some seconds, or fails."""

    seconds: float = 0.1
    fails: bool = False
    asked: list[float] = field(default_factory=list)

    async def list_by_resource_group(self, _: str) -> Answer:
        self.asked.append(now())
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise Transient("ill")
        return Answer({"value": []})


def site(groups: Groups, **fields: Any) -> Site:
    return Site(place(**fields), groups)  # type: ignore[arg-type]  # it can list, and no more


def listings() -> Listings:
    return Listings(interval=60, clock=now)


@in_virtual_time
async def test_all_who_look_at_once_share_a_list() -> None:
    kept, groups = listings(), Groups()
    await asyncio.gather(*(kept.recent(site(groups)) for _ in range(16)))
    await kept.recent(site(groups))
    assert groups.asked == [0]


@in_virtual_time
async def test_it_is_asked_for_again_after_the_interval() -> None:
    kept, groups = listings(), Groups()
    for _ in range(4):
        await kept.recent(site(groups))
        await asyncio.sleep(30)
    assert groups.asked == [0, 60.1]


@in_virtual_time
async def test_another_resource_group_has_another_list() -> None:
    kept, groups = listings(), Groups()
    for name in ("models", "MODELS", "other"):
        await kept.recent(site(groups, resourceGroup=name))
    assert len(groups.asked) == 2


@in_virtual_time
async def test_a_list_that_hangs_holds_one_and_sends_the_others_away_soon() -> None:
    kept, groups = listings(), Groups(seconds=30)

    async def waited() -> float:
        began = now()
        with pytest.raises(Postponed):
            await kept.recent(site(groups))
        return now() - began

    first = asyncio.create_task(kept.recent(site(groups)))
    assert await asyncio.gather(*(waited() for _ in range(100))) == [1.0] * 100
    assert await waited() == 0
    await first
    assert len(groups.asked) == 1


@in_virtual_time
async def test_while_one_asks_the_others_go_by_the_last_list_unless_it_is_old() -> None:
    kept, groups = listings(), Groups()
    before = await kept.recent(site(groups))
    groups.seconds = 90
    await asyncio.sleep(60)
    asking = asyncio.create_task(kept.recent(site(groups)))
    await asyncio.sleep(1)
    assert await kept.recent(site(groups)) is before
    await asyncio.sleep(60)
    with pytest.raises(Postponed):
        await kept.recent(site(groups))
    assert await asking is not before


@in_virtual_time
async def test_who_comes_after_a_failure_asks_again() -> None:
    kept, groups = listings(), Groups(fails=True)
    with pytest.raises(Transient):
        await kept.recent(site(groups))
    groups.fails = False
    assert isinstance(await kept.recent(site(groups)), Listing)


@in_virtual_time
async def test_clients_that_nobody_uses_any_more_are_forgotten() -> None:
    kept = listings()
    for _ in range(10):
        await kept.recent(site(Groups()))
        await asyncio.sleep(60)
    assert len(kept._kept) == len(kept._turns) == 2

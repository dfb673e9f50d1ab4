"""One list of a hub for all who look: its age, what it must have seen, and what is refused to all."""

import asyncio
from typing import Any

import pytest
from edge_deployments import place

from berth.api.conditions import Reason
from berth.core.errors import Terminal, Transient
from berth.targets.iot_hubs import HubListings, HubSite


class CountedHub:
    """A hub that counts how often it is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self.error = error

    async def deployments(self) -> list[dict[str, Any]]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return [{"id": f"list-{self.asked}"}]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def site(hub: Any) -> HubSite:
    return HubSite(place(), hub)


async def first(listings: HubListings, where: HubSite, longest: float = 60) -> str:
    return str((await listings.recent(where, longest)).documents[0]["id"])


async def test_many_who_look_at_once_ask_once() -> None:
    hub, listings = CountedHub(), HubListings(Clock())
    seen = await asyncio.gather(*(first(listings, site(hub)) for _ in range(50)))
    assert set(seen) == {"list-1"}


async def test_each_says_how_old_it_may_be() -> None:
    hub, clock = CountedHub(), Clock()
    listings = HubListings(clock)
    await first(listings, site(hub))
    clock.now += 30
    assert await first(listings, site(hub), longest=60) == "list-1"
    assert await first(listings, site(hub), longest=10) == "list-2"


async def test_what_this_operator_changed_is_in_the_next_list() -> None:
    hub, clock = CountedHub(), Clock()
    listings = HubListings(clock)
    await first(listings, site(hub))
    clock.now += 1
    listings.changed(site(hub))
    clock.now += 1
    assert await first(listings, site(hub)) == "list-2"
    assert await first(listings, site(hub)) == "list-2"


async def test_a_list_that_was_asked_for_before_a_change_does_not_count() -> None:
    hub, clock = CountedHub(), Clock()
    listings = HubListings(clock)
    under_way = asyncio.create_task(first(listings, site(hub)))
    await asyncio.sleep(0)
    clock.now += 1
    listings.changed(site(hub))
    await under_way
    clock.now += 1
    assert await first(listings, site(hub)) == "list-2"


async def test_a_refusal_is_told_to_all_until_it_is_time_to_try_again() -> None:
    hub, clock = CountedHub(Terminal(Reason.AUTHENTICATION_FAILED, "Unauthorized", 60)), Clock()
    listings = HubListings(clock)
    for wait in (60, 50):
        with pytest.raises(Terminal) as refusal:
            await first(listings, site(hub))
        assert (refusal.value.reason, refusal.value.retry_after) == (Reason.AUTHENTICATION_FAILED, wait)
        clock.now += 10
    assert hub.asked == 1
    clock.now += 60
    hub.error = None
    assert await first(listings, site(hub)) == "list-2"


async def test_who_signs_in_otherwise_is_not_refused_for_another() -> None:
    hub, other, clock = CountedHub(Terminal(Reason.AUTHENTICATION_FAILED, "no", 60)), CountedHub(), Clock()
    listings = HubListings(clock)
    with pytest.raises(Terminal):
        await first(listings, site(hub))
    assert await first(listings, site(other)) == "list-1"


async def test_two_who_are_refused_by_one_hub_do_not_ask_for_each_other() -> None:
    pair = [CountedHub(Terminal(Reason.AUTHENTICATION_FAILED, "no", 60)) for _ in range(2)]
    listings = HubListings(Clock())
    for hub in pair * 3:
        with pytest.raises(Terminal):
            await first(listings, site(hub))
    assert [hub.asked for hub in pair] == [1, 1]


async def test_who_is_refused_gets_no_list_of_another() -> None:
    hub, refused = CountedHub(), CountedHub(Terminal(Reason.AUTHENTICATION_FAILED, "no", 60))
    listings = HubListings(Clock())
    await first(listings, site(hub))
    with pytest.raises(Terminal):
        await first(listings, site(refused))


async def test_what_goes_away_is_tried_again() -> None:
    hub = CountedHub(Transient("busy"))
    listings = HubListings(Clock())
    for _ in range(2):
        with pytest.raises(Transient):
            await first(listings, site(hub))
    assert hub.asked == 2

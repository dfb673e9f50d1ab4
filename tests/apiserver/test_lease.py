"""Electors on a real API server, in times that are shorter than in a cluster."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from faulty_proxy import FaultyProxy
from kubernetes.client import Configuration

from berth.core.keys import Key
from berth.kube.client import Api
from berth.kube.connection import Connection
from berth.kube.lease import Elector, LeaseLost
from berth.plan.resources import LEASES

Electors = Callable[..., Elector]


@pytest.fixture
def lease() -> Key:
    return Key("default", f"lease-{uuid.uuid4().hex[:10]}")


@pytest.fixture
def elector(client: Api, lease: Key) -> Electors:
    """Make a candidate for the lease of this test."""

    def make(identity: str, api: Api = client, **times: Any) -> Elector:
        defaults = {"duration": 2.0, "deadline": 1.2, "renew": 0.3, "retry": 0.1}
        return Elector(api, lease, identity, **(defaults | times))

    return make


@pytest.fixture
async def proxied(proxy: FaultyProxy) -> AsyncIterator[Api]:
    connection = Connection(Configuration(host=proxy.url))
    yield Api(connection)
    await connection.close()


async def waits(coroutine: Any, seconds: float) -> bool:
    """Tell whether something is not finished after so many seconds."""
    try:
        await asyncio.wait_for(coroutine, seconds)
    except TimeoutError:
        return True
    return False


async def test_the_first_candidate_leads_and_says_so(elector: Electors, client: Api, lease: Key) -> None:
    first = elector("first")
    assert not first.leading
    await first.acquire()
    assert first.leading
    spec = (await client.get(LEASES, lease))["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("first", 2, 0)


async def test_the_second_one_waits_as_long_as_the_first_one_renews(elector: Electors) -> None:
    first, second = elector("first"), elector("second")
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    assert await waits(second.acquire(), 3)
    assert first.leading
    assert not second.leading
    holding.cancel()


async def test_a_lease_that_is_released_is_handed_over_at_once(
    elector: Electors, client: Api, lease: Key
) -> None:
    first, second = elector("first"), elector("second", duration=60.0)
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0.3)
    await first.release()
    assert not first.leading
    await asyncio.wait_for(waiting, 1)
    spec = (await client.get(LEASES, lease))["spec"]
    assert spec["holderIdentity"] == "second"
    assert spec["leaseTransitions"] >= 1


async def test_a_lease_whose_holder_died_is_taken_when_it_expired_and_not_before(elector: Electors) -> None:
    await elector("dead").acquire()
    heir = elector("heir")
    assert await waits(heir.acquire(), 1.5)
    await asyncio.wait_for(heir.acquire(), 3)
    assert heir.leading


async def test_a_holder_that_was_paused_finds_out_that_it_lost(elector: Electors) -> None:
    clock = {"skipped": 0.0}
    loop = asyncio.get_running_loop()
    paused = elector("paused", clock=lambda: loop.time() + clock["skipped"])
    other = elector("other")
    await paused.acquire()
    clock["skipped"] = 60
    assert not paused.leading
    with pytest.raises(LeaseLost):
        await paused.hold()
    await asyncio.wait_for(other.acquire(), 5)
    assert other.leading


async def test_a_holder_that_renews_after_another_took_over_loses(elector: Electors) -> None:
    first = elector("first", duration=60.0, deadline=50.0, renew=3.0)
    await first.acquire()
    thief = elector("thief", duration=1.0)
    thief._is_free = lambda: True  # type: ignore[method-assign]  # as if its clock ran wild
    await thief.acquire()
    with pytest.raises(LeaseLost, match="thief"):
        await asyncio.wait_for(first.hold(), 10)
    assert not first.leading


async def test_a_holder_without_a_connection_stops_before_the_lease_expires(
    elector: Electors, proxied: Api, proxy: FaultyProxy
) -> None:
    cut_off = elector("cut-off", proxied)
    await cut_off.acquire()
    holding = asyncio.create_task(cut_off.hold())
    await asyncio.sleep(0.5)
    proxy.cut()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(LeaseLost, match="not renewed"):
        await holding
    assert loop.time() - began < 2.0
    proxy.resume()


async def test_a_short_failure_of_the_server_costs_no_leadership(
    elector: Electors, proxied: Api, proxy: FaultyProxy
) -> None:
    first = elector("first", proxied)
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    proxy.fault = lambda _: 503
    await asyncio.sleep(0.7)
    proxy.fault = lambda _: None
    await asyncio.sleep(1.5)
    assert first.leading
    assert not holding.done()
    holding.cancel()


async def test_a_lease_that_someone_deleted_is_made_again(elector: Electors, client: Api, lease: Key) -> None:
    first = elector("first")
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    made = await client.get(LEASES, lease)
    await client.delete(LEASES, lease, uid=made["metadata"]["uid"])
    await asyncio.sleep(1)
    assert (await client.get(LEASES, lease))["spec"]["holderIdentity"] == "first"
    assert not holding.done()
    holding.cancel()


async def test_of_many_candidates_one_leads(elector: Electors) -> None:
    candidates = [elector(f"candidate-{number}") for number in range(6)]
    attempts = [asyncio.create_task(candidate.acquire()) for candidate in candidates]
    await asyncio.sleep(1)
    assert sum(candidate.leading for candidate in candidates) == 1
    for attempt in attempts:
        attempt.cancel()


async def test_a_replica_that_restarts_under_its_name_leads_at_once(elector: Electors) -> None:
    await elector("pod-0").acquire()
    again = elector("pod-0")
    await asyncio.wait_for(again.acquire(), 1)
    assert again.leading


async def test_who_does_not_lead_releases_nothing(elector: Electors, client: Api, lease: Key) -> None:
    await elector("first").acquire()
    await elector("second").release()
    assert (await client.get(LEASES, lease))["spec"]["holderIdentity"] == "first"

"""Endpoints are asked beside the passes, in virtual time."""

import asyncio
from collections import Counter

import pytest
from virtual_time import in_virtual_time, now

from berth.core.keys import Key
from berth.targets.aci_probes import Probes

IRIS, OTHER = Key("demo", "iris"), Key("demo", "other")
URL, SILENT = "http://here/readyz", "http://nowhere/readyz"
TIMEOUT = 3.0


class Network:
    """Endpoints that answer after a moment, or not at all."""

    def __init__(self, *, interval: float = 30.0, at_once: int = 32) -> None:
        self.is_up: dict[str, bool] = {}
        self.delay = 0.01
        self.asked: Counter[str] = Counter()
        self.certificates: list[bytes | None] = []
        self.woken: list[tuple[Key, float]] = []
        self.running = self.most = 0
        self.probes = Probes(self.ask, self.wake, interval=interval, at_once=at_once)

    def wake(self, key: Key) -> None:
        self.woken.append((key, now()))

    async def ask(self, url: str, certificate: bytes | None) -> bool:
        self.asked[url] += 1
        self.certificates.append(certificate)
        self.running += 1
        self.most = max(self.most, self.running)
        is_up = self.is_up.get(url, False)
        await asyncio.sleep(self.delay if is_up else TIMEOUT)
        self.running -= 1
        return is_up


async def passing(network: Network, seconds: float, key: Key = IRIS, url: str = URL) -> None:
    """Let passes of a settled group go by, one each minute."""
    for _ in range(int(seconds // 60)):
        await asyncio.sleep(60)
        await network.probes.answers(key, url)


@in_virtual_time
async def test_who_answers_is_known_within_the_first_pass() -> None:
    network = Network()
    network.is_up[URL] = True
    assert await network.probes.answers(IRIS, URL)
    assert now() == pytest.approx(0.01)
    await asyncio.sleep(10)
    assert network.woken == []


@in_virtual_time
async def test_a_pass_waits_only_a_moment_for_one_that_is_silent() -> None:
    network = Network()
    assert not await network.probes.answers(IRIS, SILENT)
    assert now() == pytest.approx(0.5)
    began = now()
    assert not await network.probes.answers(IRIS, SILENT)
    assert now() == began


@in_virtual_time
async def test_a_pass_is_brought_when_a_silent_one_answers() -> None:
    network = Network()
    await network.probes.answers(IRIS, URL)
    await asyncio.sleep(50)
    assert network.woken == []
    network.is_up[URL] = True
    await asyncio.sleep(10)
    assert network.woken[0][0] == IRIS
    assert await network.probes.answers(IRIS, URL)


@in_virtual_time
async def test_a_settled_endpoint_is_asked_twice_a_minute_and_wakes_nobody() -> None:
    network = Network()
    network.is_up[URL] = True
    await network.probes.answers(IRIS, URL)
    await passing(network, 600)
    assert network.asked[URL] == pytest.approx(20, abs=1)
    assert network.woken == []


@in_virtual_time
async def test_silence_brings_a_pass_within_a_minute_even_where_packets_vanish() -> None:
    network = Network()
    network.is_up[URL] = True
    await network.probes.answers(IRIS, URL)
    await asyncio.sleep(1)
    began = now()
    network.is_up[URL] = False
    await asyncio.sleep(60)
    key, at = network.woken[0]
    assert key == IRIS
    assert at - began < 45
    assert not await network.probes.answers(IRIS, URL)


@in_virtual_time
async def test_one_change_brings_one_pass_whoever_listens() -> None:
    network = Network()
    network.is_up[URL] = True
    await network.probes.answers(IRIS, URL)
    network.is_up[URL] = False
    await asyncio.sleep(140)
    assert len(network.woken) == 1


@in_virtual_time
async def test_a_packet_that_is_lost_is_no_crash() -> None:
    network = Network()
    network.is_up[URL] = True
    await network.probes.answers(IRIS, URL)
    await asyncio.sleep(29)
    network.is_up[URL] = False
    await asyncio.sleep(4)  # the timeout of one question
    network.is_up[URL] = True
    await asyncio.sleep(20)
    assert network.woken == []
    assert await network.probes.answers(IRIS, URL)


@in_virtual_time
async def test_the_longer_the_silence_the_rarer_the_question() -> None:
    network = Network()
    counts = []
    for _ in range(10):
        await network.probes.answers(IRIS, SILENT)
        await asyncio.sleep(60)
        counts.append(network.asked.total())
        network.asked.clear()
    assert counts[0] >= 10
    assert counts[-1] <= 3


@in_virtual_time
async def test_many_silent_ones_delay_nobody_and_are_not_asked_all_at_once() -> None:
    network = Network(at_once=8)
    for number in range(100):
        await network.probes.answers(Key("demo", str(number)), f"{SILENT}/{number}")
    network.is_up[URL] = True
    await network.probes.answers(OTHER, URL)
    began = now()
    while not await network.probes.answers(OTHER, URL):
        await asyncio.sleep(1)
        for number in range(100):
            await network.probes.answers(Key("demo", str(number)), f"{SILENT}/{number}")
    assert now() - began < 60
    assert network.most == 8


@in_virtual_time
async def test_who_is_forgotten_is_asked_no_more() -> None:
    network = Network()
    network.is_up[URL] = True
    await network.probes.answers(IRIS, URL)
    network.probes.forget(IRIS)
    network.asked.clear()
    await asyncio.sleep(300)
    assert network.asked.total() == 0


@in_virtual_time
async def test_at_the_end_nobody_is_asked_any_more() -> None:
    network = Network()
    network.is_up |= {URL: True, SILENT: True}
    await network.probes.answers(IRIS, SILENT)
    await network.probes.answers(IRIS, URL)
    network.probes.end()
    network.asked.clear()
    await asyncio.sleep(300)
    assert network.asked.total() == 0


@in_virtual_time
async def test_an_address_that_no_pass_speaks_of_any_more_is_asked_no_more() -> None:
    network = Network()
    network.is_up |= {URL: True, SILENT: True}
    await network.probes.answers(IRIS, SILENT)
    await network.probes.answers(IRIS, URL)
    await passing(network, 300)
    network.asked.clear()
    await passing(network, 300)
    assert network.asked[SILENT] == 0
    assert network.asked[URL] >= 9
    assert await network.probes.answers(IRIS, SILENT)


@in_virtual_time
async def test_another_certificate_is_another_question() -> None:
    network = Network()
    network.is_up[URL] = True
    for certificate in (b"first", b"second", None):
        assert await network.probes.answers(IRIS, URL, certificate)
    assert network.certificates == [b"first", b"second", None]


@in_virtual_time
async def test_a_defect_is_not_kept_quiet_and_does_not_last() -> None:
    network = Network()
    network.is_up[URL] = True
    await network.probes.answers(IRIS, URL)
    network.is_up = None  # type: ignore[assignment]  # so that to ask fails
    await asyncio.sleep(60)
    with pytest.raises(AttributeError):
        await network.probes.answers(IRIS, URL)
    network.is_up = {URL: True}
    assert await network.probes.answers(IRIS, URL)

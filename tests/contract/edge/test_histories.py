"""Faults in any order lose no message."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from edge_world import Scorer, World, until

from berth_sandbox.azure.edge_hub.messages import Identity, Message

MESSAGES = 500
ECHO = """
    import time
    def init(): ...
    def run(data):
        time.sleep(0.005)
        return [data]
"""


async def kill(world: World, scorer: Scorer) -> None:
    await scorer.kill()
    await scorer.start()


async def cut(world: World, scorer: Scorer) -> None:
    world.hub.cut("scorer")


async def forget(world: World, scorer: Scorer) -> None:
    world.hub.forget_subscriptions("scorer")  # Microsoft's SDK would stay deaf


async def lose_an_acknowledgement(world: World, scorer: Scorer) -> None:
    world.hub.faults.lose_acknowledgements["scorer"] = 1


async def slow_down(world: World, scorer: Scorer) -> None:
    world.hub.faults.slow_seconds = 0.1 - world.hub.faults.slow_seconds


async def freeze(world: World, scorer: Scorer) -> None:
    world.hub.faults.flowing.clear()
    await asyncio.sleep(0.5)
    world.hub.faults.flowing.set()


FAULTS: list[Callable[[World, Scorer], Awaitable[None]]] = [
    kill,
    cut,
    forget,
    lose_an_acknowledgement,
    slow_down,
    freeze,
]


@pytest.mark.parametrize("seed", [1, 2])
async def test_faults_in_any_order_lose_no_message(world: World, seed: int) -> None:
    chosen = random.Random(seed)
    scorer = await world.scorer(ECHO, edge={"tokenSeconds": 6})
    for number in range(MESSAGES):
        body = str(number).encode()
        world.hub.deliver(Message(Identity("dev1", "producer"), "readings", {"$.mid": f"m{number}"}, body))
    for fault in chosen.sample(FAULTS * 2, len(FAULTS) * 2):
        await asyncio.sleep(chosen.uniform(0.2, 1))
        await fault(world, scorer)
    await until(
        lambda: not world.hub.sessions["scorer"].stored and not world.hub.sessions["sink"].stored, 120
    )
    await until(lambda: {int(each["body"]) for each in world.results} == set(range(MESSAGES)))
    repeated = Counter(each["id"] for each in world.results).total() - MESSAGES
    assert repeated <= len(FAULTS) * 2

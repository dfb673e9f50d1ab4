"""What goes wrong on a device loses no message."""

import asyncio
import socket
from collections import Counter

from edge_world import World, own_address, until

from berth_sandbox.azure.edge_hub.device import PORT, EdgeServices

MESSAGES = 200
ECHO = """
    import time
    def init(): ...
    def run(data):
        time.sleep(0.005)
        return [data]
"""


def numbers(results: list[dict[str, str]]) -> Counter[int]:
    return Counter(int(each["body"]) for each in results)


async def send_numbers(world: World, count: int = MESSAGES) -> None:
    for number in range(count):
        world.send(str(number), id=f"m{number}")
    await world.sent()


async def all_numbers(world: World, count: int = MESSAGES) -> Counter[int]:
    """Wait until the hub keeps nothing any more, and return how often each number has arrived."""
    sessions = world.hub.sessions
    try:
        await until(lambda: not sessions["scorer"].stored and not sessions["sink"].stored)
    except AssertionError as error:
        raise AssertionError(world.scorers[0].log) from error
    await until(lambda: len(numbers(world.results)) == count)
    return numbers(world.results)


async def test_a_killed_module_loses_none_of_its_messages(world: World) -> None:
    scorer = await world.scorer(ECHO)
    await send_numbers(world)
    for kills in range(1, 4):
        await world.arrived(50 * kills)
        await scorer.kill()
        await scorer.start()
        await world.listening(kills + 1)
    arrived = await all_numbers(world)
    assert set(arrived) == set(range(MESSAGES))
    assert arrived.total() <= MESSAGES + 3  # a message that was answered, but not acknowledged, comes again


async def test_cut_connections_lose_none_and_repeat_few(world: World) -> None:
    scorer = await world.scorer(ECHO)
    await send_numbers(world)
    for cuts in range(1, 6):
        await world.arrived(30 * cuts)
        world.hub.cut("scorer")
        await world.listening(cuts + 1)
    arrived = await all_numbers(world)
    assert set(arrived) == set(range(MESSAGES))
    assert arrived.total() <= MESSAGES + 5
    assert await scorer.metric("berth_scoring_edge_connections_total") == 6


async def test_an_answer_that_comes_twice_has_the_same_id(world: World) -> None:
    await world.scorer(ECHO)
    world.hub.faults.lose_acknowledgements["scorer"] = 1
    world.send("1", id="m1")
    arrived = await world.arrived(2)
    assert {each["id"] for each in arrived} == {"m1:0"}


async def test_an_input_is_acknowledged_only_when_its_outputs_are(world: World) -> None:
    await world.scorer(
        """
        def init(): ...
        def run(data): return ["1", "2", "3"]
        """
    )
    world.hub.faults.slow_seconds = 1.0
    world.send("0")
    await world.arrived(3)  # the hub has them, but has not said so
    assert len(world.hub.sessions["scorer"].stored) == 1
    await until(lambda: not world.hub.sessions["scorer"].stored)
    assert len(world.results) == 3


async def test_a_slow_hub_gets_each_message_once(world: World) -> None:
    await world.scorer(ECHO)
    world.hub.faults.slow_seconds = 0.2
    await send_numbers(world, 20)
    arrived = await all_numbers(world, 20)
    assert arrived.total() == 20


async def test_an_input_that_is_sent_again_while_in_hand_is_answered_once(world: World) -> None:
    world.hub.sessions["scorer"].ack_seconds = 0.3
    scorer = await world.scorer(
        """
        import time
        def init(): ...
        def run(data):
            time.sleep(1)
            return [data]
        """
    )
    world.send("1")
    await all_numbers(world, 1)
    assert world.hub.sessions["scorer"].repeated >= 2
    assert len(world.results) == 1
    assert await scorer.metric('berth_scoring_edge_dropped_total{reason="repeated"}') >= 2


async def test_a_token_is_renewed_before_it_expires(world: World) -> None:
    await world.scorer(ECHO, edge={"tokenSeconds": 4})
    signed = world.services.workload.signatures
    for number in range(100):
        world.send(str(number))
        await asyncio.sleep(0.1)
    arrived = await all_numbers(world, 100)
    assert arrived.total() == 100
    assert world.services.workload.signatures - signed >= 2
    assert world.hub.connections["scorer"] >= 3
    assert not world.hub.refusals


async def test_a_token_that_cannot_be_renewed_yet_is_used_to_its_end(world: World) -> None:
    scorer = await world.scorer(ECHO, edge={"tokenSeconds": 5})
    world.services.workload.broken = True
    await world.listening(2)
    assert "The token is not renewed yet" in scorer.log
    world.services.workload.broken = False
    world.send("1")
    await world.arrived(1)
    await world.listening(3)
    world.send("2")
    await world.arrived(2)


async def test_a_refused_login_is_tried_again_with_a_new_token_and_in_growing_steps(world: World) -> None:
    world.hub.faults.refuse = 5
    scorer = await world.scorer(ECHO, start=False)
    await scorer.start()
    await until(lambda: world.hub.refusals["dev1/scorer"] >= 3)
    refusals, signed = world.hub.refusals["dev1/scorer"], world.services.workload.signatures
    assert signed >= refusals
    world.hub.faults.refuse = 0
    world.send("1")
    await world.arrived(1)
    assert world.hub.refusals["dev1/scorer"] <= refusals + 1


async def test_subscriptions_that_the_hub_has_lost_are_made_again(world: World) -> None:
    await world.scorer(ECHO)
    world.hub.forget_subscriptions("scorer")
    await world.listening(2)
    world.send("1")
    await world.arrived(1)


async def test_a_device_without_its_services_answers_requests(world: World) -> None:
    world.services.workload.broken = True
    scorer = await world.scorer(ECHO, start=False)
    await scorer.start()
    await scorer.ready()
    assert await scorer.get("/score", b"5") == (200, '["5"]')
    assert await scorer.metric("berth_scoring_edge_connected") == 0
    world.services.workload.broken = False
    world.send("1")
    await world.arrived(1)


async def test_messages_wait_for_a_module_that_is_not_there_yet(world: World) -> None:
    await send_numbers(world, 10)
    await world.scorer(ECHO)
    assert set(await all_numbers(world, 10)) == set(range(10))


async def test_a_module_that_is_told_to_stop_finishes_what_it_has_in_hand(world: World) -> None:
    scorer = await world.scorer(ECHO.replace("0.005", "1"))
    world.send("1")
    await until(lambda: world.hub.sessions["scorer"].stored)
    await asyncio.sleep(0.3)
    assert await scorer.stop() == 0
    assert not world.hub.sessions["scorer"].stored
    assert numbers(await world.arrived(1)) == {1: 1}


async def test_a_module_that_waits_for_a_hub_can_be_stopped(world: World) -> None:
    mute = own_address()
    scorer = await world.scorer(ECHO, start=False)
    with socket.create_server((mute, PORT)):  # takes connections and never reads from them
        await scorer.start(IOTEDGE_GATEWAYHOSTNAME=mute)
        await scorer.ready()
        assert await scorer.stop() == 0


async def test_a_hub_that_the_device_does_not_vouch_for_gets_no_token(world: World) -> None:
    impostor = EdgeServices(
        hub="hub.example", device="dev1", modules=["scorer"], address=own_address(), folder=world.folder
    )
    scorer = await world.scorer(ECHO, start=False)
    async with impostor.hub_served():
        gateway = impostor.environment("scorer")["IOTEDGE_GATEWAYHOSTNAME"]
        await scorer.start(IOTEDGE_GATEWAYHOSTNAME=gateway)
        await until(lambda: "certificate verify failed" in scorer.log)
        assert not impostor.hub.connections
        assert not impostor.hub.refusals


async def test_two_modules_with_one_identity_do_not_hammer_the_hub(world: World) -> None:
    await world.scorer(ECHO)
    await world.scorer(ECHO)
    before = world.hub.connections["scorer"]
    await asyncio.sleep(5)
    assert world.hub.connections["scorer"] - before <= 8


async def test_a_message_that_ends_the_process_is_the_only_one_that_comes_again(world: World) -> None:
    scorer = await world.scorer(
        """
        import os, pathlib
        def init(): ...
        def run(data):
            once = pathlib.Path("once")
            if data == "2" and not once.exists():
                once.touch()
                os.kill(os.getpid(), 9)
            return [data]
        """
    )
    await send_numbers(world, 5)
    assert scorer.process is not None
    await asyncio.wait_for(scorer.process.wait(), 20)
    await scorer.start()
    assert await all_numbers(world, 5) == dict.fromkeys(range(5), 1)

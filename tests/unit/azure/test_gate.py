"""What a call goes through, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from azure.core.exceptions import ServiceRequestError
from azure_clients import Heard
from virtual_time import in_virtual_time, now

from berth.api.conditions import Reason
from berth.azure.gate import Answer, Gate
from berth.azure.limits import Breaker, Budget, Limiter, Rate
from berth.core.errors import Postponed, Terminal, Transient

FINE = Answer(200, {"name": "iris"}, {"reads": 7})


def gate(heard: Heard | None = None, *, at_once: int = 8, breaker: Breaker | None = None) -> Gate:
    clock = asyncio.get_running_loop().time
    return Gate("sub", heard, breaker=breaker, at_once=at_once, deadline=30, clock=clock)


def after(seconds: float, outcome: Answer | Exception = FINE) -> Callable[[], Awaitable[Answer]]:
    async def send() -> Answer:
        await asyncio.sleep(seconds)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return send


async def failing(through: Gate, error: Exception, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Transient):
            await through.call("get", Budget.READS, after(0, error))


UNREACHABLE = ServiceRequestError("no route")


@in_virtual_time
async def test_an_answer_comes_through_and_is_heard_of() -> None:
    heard = Heard()

    assert await gate(heard).call("get", Budget.READS, after(1)) is FINE
    assert heard.calls == [("sub", "get", "200")]
    assert heard.counters == {"reads": 7}


@in_virtual_time
async def test_no_call_lasts_longer_than_its_deadline() -> None:
    heard = Heard()

    with pytest.raises(Transient, match="did not answer in time"):
        await gate(heard).call("get", Budget.READS, after(3600))

    assert now() == 30
    assert heard.calls == [("sub", "get", "<error>")]


@in_virtual_time
async def test_who_may_not_call_does_not_wait() -> None:
    through = gate(at_once=2)
    running = [asyncio.create_task(through.call("get", Budget.READS, after(10))) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(Postponed) as caught:
        await through.call("get", Budget.READS, after(0))

    assert now() == 0
    assert 1 <= caught.value.retry_after <= 5
    await asyncio.gather(*running)
    await through.call("get", Budget.READS, after(0))


@in_virtual_time
async def test_a_cancelled_call_leaves_its_place() -> None:
    through = gate(at_once=1)
    for _ in range(3):
        task = asyncio.create_task(through.call("get", Budget.READS, after(10)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await through.call("get", Budget.READS, after(0))


@in_virtual_time
async def test_a_try_that_is_cancelled_or_cannot_sign_in_lets_another_try() -> None:
    through = gate(breaker=Breaker(failures=2, cooldown=10))
    await failing(through, UNREACHABLE, 2)
    await asyncio.sleep(10)
    task = asyncio.create_task(through.call("get", Budget.READS, after(5)))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(Terminal):
        await through.call("get", Budget.READS, after(0, Terminal(Reason.AUTHENTICATION_FAILED, "no")))

    await through.call("get", Budget.READS, after(0))


@in_virtual_time
async def test_a_try_that_the_limiter_holds_lets_another_try() -> None:
    clock = asyncio.get_running_loop().time
    limiter = Limiter({Budget.READS: Rate(2, 0.01), Budget.WRITES: Rate(2, 1)}, share=1.0)
    through = Gate("sub", limiter=limiter, breaker=Breaker(failures=2, cooldown=10), clock=clock)
    await failing(through, UNREACHABLE, 2)
    await asyncio.sleep(10)

    with pytest.raises(Postponed, match="as many reads were made as Azure takes"):
        await through.call("get", Budget.READS, after(0))

    await through.call("put", Budget.WRITES, after(0))


@in_virtual_time
async def test_an_error_of_our_own_is_no_failure_of_azures() -> None:
    through = gate(breaker=Breaker(failures=1))
    with pytest.raises(KeyError):
        await through.call("get", Budget.READS, after(0, KeyError("a fault of the program")))

    await through.call("get", Budget.READS, after(0))


@in_virtual_time
async def test_the_state_of_the_circuit_and_each_wait_are_heard_of() -> None:
    heard = Heard()
    through = gate(heard, breaker=Breaker(failures=2, cooldown=10))
    await failing(through, UNREACHABLE, 2)
    assert heard.circuits == [False, True]
    await asyncio.sleep(4)
    with pytest.raises(Transient):
        await through.call("get", Budget.READS, after(0))
    assert heard.waits == [6]
    await asyncio.sleep(6)
    await through.call("get", Budget.READS, after(0))
    assert heard.circuits == [False, True, False]

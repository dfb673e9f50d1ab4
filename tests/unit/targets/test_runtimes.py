"""What pipelines say that they run on: asked once for each rollout, and never by a pass itself."""

import asyncio
from collections.abc import Mapping

from virtual_time import in_virtual_time, now

from berth.core.errors import Transient
from berth.core.keys import Key
from berth.plan.fpga_plan import Runtime
from berth.targets.runtimes import Runtimes

KEY = Key("demo", "flowers")
ROOT = "http://10.96.0.7:5001"
CPU = {"x-berth-device": "cpu", "x-berth-execution-provider": "CPUExecutionProvider"}
NOBODY = Transient("cannot be reached")


class World:
    """A pipeline that answers as it is told."""

    def __init__(self, *answers: Mapping[str, str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[float, str]] = []
        self.woken: list[float] = []
        self.runtimes = Runtimes(self._ask, lambda key: self.woken.append(now()))

    async def _ask(self, url: str) -> Mapping[str, str]:
        self.asked.append((now(), url))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def told(self, serving: str = "new") -> Runtime | None:
        return self.runtimes.told(KEY, ROOT, serving)


@in_virtual_time
async def test_a_pass_learns_it_later_and_the_pipeline_is_asked_once() -> None:
    world = World(CPU)
    assert world.told() is None
    await asyncio.sleep(3600)
    for _ in range(3):
        assert world.told() == Runtime("cpu", "CPUExecutionProvider")
    assert world.asked == [(0, f"{ROOT}/")]
    assert world.woken == [0]


@in_virtual_time
async def test_another_rollout_is_asked_anew() -> None:
    world = World(CPU, CPU | {"x-berth-device": "vitisai"})
    world.told("old")
    await asyncio.sleep(1)
    assert world.told("new") is None
    await asyncio.sleep(1)
    assert world.told("new") == Runtime("vitisai", "CPUExecutionProvider")


@in_virtual_time
async def test_who_does_not_answer_is_asked_ever_more_slowly() -> None:
    world = World(NOBODY)
    for _ in range(4):
        assert world.told() is None
        await asyncio.sleep(500)
    times = [moment for moment, _ in world.asked]
    assert times == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111, 1411, 1711]
    assert world.woken == []


@in_virtual_time
async def test_who_says_nothing_of_it_is_asked_no_more() -> None:
    world = World({"server": "another"})
    world.told()
    await asyncio.sleep(3600)
    assert world.told() is None
    assert len(world.asked) == 1


@in_virtual_time
async def test_nobody_is_asked_once_it_is_of_no_interest() -> None:
    world = World(NOBODY)
    world.told()
    await asyncio.sleep(0.5)
    world.runtimes.forget(KEY)
    await asyncio.sleep(3600)
    assert len(world.asked) == 1


def test_only_a_short_answer_is_taken() -> None:
    said = Runtime.said("x" * 9999, "y" * 9999)
    assert (len(said.device), len(said.provider)) == (64, 64)


def test_the_cpu_is_called_by_its_name() -> None:
    assert str(Runtime("cpu", "CPUExecutionProvider")) == "on the CPU, by CPUExecutionProvider"
    assert str(Runtime("vitisai", "VitisAIExecutionProvider")) == "on vitisai, by VitisAIExecutionProvider"

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import pytest
from deployments import spec, subject
from kubelet_pods import pod, running
from simulated_cluster import SimulatedCluster
from virtual_time import in_virtual_time, now

from berth.api.conditions import ConditionStatus
from berth.api.serving import Expectation
from berth.core.errors import Transient
from berth.core.keys import Key
from berth.plan.children import SERVING
from berth.plan.resources import PODS, SECRETS
from berth.plan.subject import Subject
from berth.plan.validation import Golden
from berth.targets.golden import Answer, GoldenRequests, judge

KEY = Key("demo", "iris")
ROOT = "http://10.96.0.7:80"
OPEN = {"auth": {"mode": "None"}}
VALIDATED = subject(spec(**OPEN, validation={"request": {"body": "{}"}, "expect": {"body": "[0]"}}))
GOOD = Answer(200, "[0]")
UNREACHABLE = Transient("http://10.96.0.7:80/score cannot be reached")


class World:
    """A model that answers as it is told, and golden requests that ask it."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.cluster = SimulatedCluster()
        self.answers = list(answers)
        self.asked: list[tuple[float, str]] = []
        self.headers: Mapping[str, str] = {}
        self.woken: list[float] = []
        self.golden = GoldenRequests(self.cluster, self._call, lambda key: self.woken.append(now()))

    def outcome(self, of: Subject = VALIDATED, root: str = ROOT, serving: str = "new") -> Golden | None:
        return self.golden.outcome(of, root, serving)

    @property
    def times(self) -> list[float]:
        """When the model was asked."""
        return [moment for moment, _ in self.asked]

    async def _call(
        self, url: str, body: str, headers: Mapping[str, str], certificate: bytes | None
    ) -> Answer:
        self.asked.append((now(), url))
        self.headers = headers
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def replica(name: str, serving: str, *, ready: bool = True) -> dict[str, Any]:
    condition = {"type": "Ready", "status": str(ready)}
    told = {"name": name, "namespace": "demo", "labels": {"berth.dev/deployment": "iris"}}
    return pod(running(), conditions=(condition,), **told, annotations={SERVING: serving})


@in_virtual_time
async def test_a_pass_learns_the_outcome_later_and_the_model_is_asked_once() -> None:
    world = World(GOOD)
    assert world.outcome() is None
    await asyncio.sleep(3600)
    assert world.outcome() == Golden(ConditionStatus.TRUE, "The golden request passed")
    assert world.asked == [(0, "http://10.96.0.7:80/score")]
    assert world.woken == [0]


@pytest.mark.parametrize("nothing", [UNREACHABLE, Answer(502, ""), Answer(503, "draining"), Answer(504, "")])
def test_a_model_that_does_not_answer_yet_is_asked_ever_more_slowly(nothing: Answer | Exception) -> None:
    @in_virtual_time
    async def run() -> None:
        world = World(nothing)
        world.outcome()
        await asyncio.sleep(75)
        outcome = world.outcome()
        assert outcome
        assert outcome.status is ConditionStatus.UNKNOWN
        assert world.times == [0, 1, 3, 7, 15, 31, 51, 71]
        assert world.woken == [0]

    run()


@in_virtual_time
async def test_a_wrong_answer_counts_until_a_right_one_comes() -> None:
    world = World(Answer(200, "[1]"), Answer(200, "[1]"), GOOD)
    world.outcome()
    await asyncio.sleep(2)
    assert world.outcome() == Golden(ConditionStatus.FALSE, "The golden request got [1] instead of [0]")
    await asyncio.sleep(2)
    assert world.outcome() == Golden(ConditionStatus.TRUE, "The golden request passed")
    assert world.woken == [0, 3]


@in_virtual_time
async def test_an_answer_that_takes_too_long_is_none() -> None:
    world = World(GOOD)

    async def never(url: str, body: str, headers: Mapping[str, str], certificate: bytes | None) -> Answer:
        await asyncio.sleep(3600)
        return GOOD

    world.golden = GoldenRequests(world.cluster, never, lambda key: None)
    world.outcome()
    await asyncio.sleep(11)
    assert world.outcome() == Golden(ConditionStatus.UNKNOWN, "The golden request got no answer within 10 s")


@in_virtual_time
async def test_nothing_is_asked_while_a_replica_of_an_earlier_spec_still_answers() -> None:
    world = World(GOOD)
    world.cluster.put(PODS, replica("iris-new", "new"))
    world.cluster.put(PODS, replica("iris-old", "old"))
    world.outcome()
    await asyncio.sleep(2)
    outcome = world.outcome()
    assert outcome
    assert outcome.status is ConditionStatus.UNKNOWN
    assert "iris-old" in outcome.message
    assert world.asked == []
    world.cluster.put(PODS, replica("iris-old", "old", ready=False))
    await asyncio.sleep(2)
    assert world.times == [3]


@in_virtual_time
async def test_where_a_container_group_answers_no_pods_are_looked_at() -> None:
    world = World(GOOD)
    world.cluster.put(PODS, replica("iris-old", "old"))
    certificate = b"\x01" * 32
    world.golden.outcome_of_group(VALIDATED, "https://198.18.0.1", "new", certificate)
    await asyncio.sleep(2)
    outcome = world.golden.outcome_of_group(VALIDATED, "https://198.18.0.1", "new", certificate)
    assert outcome == Golden(ConditionStatus.TRUE, "The golden request passed")
    assert world.asked == [(0, "https://198.18.0.1/score")]


CHANGES: dict[str, dict[str, Any]] = {
    "generation": {"of": VALIDATED.model_copy(update={"metadata": subject(generation=2).metadata})},
    "uid": {"of": VALIDATED.model_copy(update={"metadata": subject(uid="uid-2").metadata})},
    "template": {"serving": "newer"},
    "address": {"root": "http://10.96.0.8:80"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_outcome_is_about_one_generation_at_one_address(change: dict[str, Any]) -> None:
    @in_virtual_time
    async def run() -> None:
        world = World(Answer(200, "[1]"))
        world.outcome()
        await asyncio.sleep(100)
        before = len(world.asked)
        assert world.outcome(**change) is None
        await asyncio.sleep(100)
        url = f"{change.get('root', ROOT)}/score"
        assert [asked for _, asked in world.asked[before:]] == [url] * before

    run()


@in_virtual_time
async def test_what_is_forgotten_is_asked_no_more() -> None:
    world = World(UNREACHABLE)
    world.outcome()
    await asyncio.sleep(0.5)
    world.golden.forget(KEY)
    world.golden.forget(KEY)
    await asyncio.sleep(100)
    assert world.times == [0]


@in_virtual_time
async def test_a_defect_fails_the_pass_and_the_next_one_asks_again() -> None:
    world = World(RuntimeError("a defect"), GOOD)
    world.outcome()
    await asyncio.sleep(1)
    with pytest.raises(RuntimeError, match="a defect"):
        world.outcome()
    assert world.outcome() is None
    await asyncio.sleep(1)
    outcome = world.outcome()
    assert outcome
    assert outcome.status is ConditionStatus.TRUE


@in_virtual_time
async def test_the_first_key_opens_the_endpoint_and_a_missing_one_is_awaited() -> None:
    guarded = subject(spec(validation={"request": {"body": "{}", "contentType": "text/csv"}}))
    world = World(GOOD)
    world.outcome(guarded)
    await asyncio.sleep(0.5)
    assert world.asked == []
    data = {"primaryKey": base64.b64encode(b"first\n").decode()}
    world.cluster.put(SECRETS, {"metadata": {"name": "iris-keys", "namespace": "demo"}, "data": data})
    await asyncio.sleep(1)
    assert world.headers == {"Content-Type": "text/csv", "Authorization": "Bearer first"}


@in_virtual_time
async def test_a_generation_that_has_passed_is_not_asked() -> None:
    passed = {"type": "Validated", "status": "True", "reason": "ValidationPassed", "message": "passed"}
    times = {"lastTransitionTime": "2026-11-01T12:00:00Z", "observedGeneration": 1}
    world = World(GOOD)
    known = subject(
        spec(**OPEN, validation={"request": {"body": "{}"}}), status={"conditions": [passed | times]}
    )
    assert world.outcome(known) is None
    await asyncio.sleep(100)
    assert world.asked == []


@pytest.mark.parametrize(
    ("expected", "answer", "status"),
    [
        ({}, Answer(200, "whatever"), "True"),
        ({"body": '{"a": 1, "b": 2}'}, Answer(200, '{"b":2,"a":1}'), "True"),
        ({"body": "yes"}, Answer(200, "yes"), "True"),
        ({"body": "yes"}, Answer(200, "yes\n"), "False"),
        ({"statusCode": 307}, Answer(307, ""), "True"),
        ({"statusCode": 503}, Answer(503, ""), "True"),
        ({"statusCode": 503}, Answer(200, ""), "False"),
        ({}, Answer(500, ""), "False"),
        ({}, Answer(503, ""), "Unknown"),
    ],
)
def test_an_answer_is_judged_by_what_is_expected(
    expected: dict[str, Any], answer: Answer, status: str
) -> None:
    assert judge(Expectation.model_validate(expected), answer).status == status


def test_a_long_answer_is_shown_in_part() -> None:
    assert len(judge(Expectation(), Answer(400, "x" * 1000)).message) < 300

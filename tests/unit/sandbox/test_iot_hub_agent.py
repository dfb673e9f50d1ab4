"""What the agent of an emulated device does and reports."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iot_hub_emulator import base_content, module

from berth_sandbox.azure.iot_hub.agent import DELIVERY_SECONDS, PERIOD, Conditions, Situation, Told
from berth_sandbox.azure.iot_hub.content import Manifest
from berth_sandbox.azure.iot_hub.manifest_rules import own_rules
from berth_sandbox.azure.iot_hub.modules import ModuleBehaviour

ONLINE, OFFLINE = Conditions(), Conditions(online=False)
NOTHING = Told(Manifest({}))
PULL, START = ONLINE.otherwise.pull_seconds, ONLINE.otherwise.start_seconds
RUNTIME = 2 * (PULL + START)


def told(**modules: dict[str, Any]) -> Told:
    desired = base_content(**modules)["$edgeAgent"]["properties.desired"]
    return Told(Manifest({"$edgeAgent": desired}))


def registered(conditions: Conditions = ONLINE) -> Situation:
    return Situation(0.0, NOTHING, conditions, own_rules)


def running(situation: Situation, now: float) -> dict[str, str]:
    report = situation.report(now)
    assert report
    return {
        name: life.spec["settings"]["image"]
        for name, (life, _) in report.views.items()
        if name not in {"edgeAgent", "edgeHub"}
    }


def test_a_device_that_was_never_in_touch_reports_nothing() -> None:
    assert registered(OFFLINE).report(10**6) is None
    assert registered().report(0.5) is None


def test_before_its_first_deployment_an_agent_reports_that_there_is_none() -> None:
    report = registered().report(100)

    assert report
    assert (report.version, report.status[0], report.views) == (0, 417, {})


def test_what_an_agent_is_told_is_reported_step_by_step() -> None:
    situation = registered().then(100.0, told(iris=module("iris:1")), ONLINE)
    done = 100 + DELIVERY_SECONDS + RUNTIME + PULL + START

    assert (situation.version, situation.report(done - 0.1).version) == (2, 0)  # type: ignore[union-attr]
    assert situation.report(done).version == 2  # type: ignore[union-attr]
    assert running(situation, done) == {}
    assert running(situation, done + PERIOD) == {"iris": "iris:1"}


def test_modules_are_started_in_their_order() -> None:
    late, early = module("late:1", startupOrder=2), module("early:1", startupOrder=1)
    situation = registered().then(100.0, told(a=late, z=early, unordered=module("last:1")), ONLINE)

    lives = situation.lives(1000)

    names = sorted(set(lives) - {"edgeAgent", "edgeHub"}, key=lambda name: lives[name].begin)
    assert names == ["z", "a", "unordered"]


def test_a_module_that_did_not_change_is_left_alone() -> None:
    first = registered().then(100.0, told(iris=module("iris:1"), wine=module("wine:1")), ONLINE)
    second = first.then(1000.0, told(iris=module("iris:1"), wine=module("wine:2")), ONLINE)

    assert second.lives(2000)["iris"] is first.lives(900)["iris"]
    assert second.lives(2000)["wine"].begin > 1000


def test_a_module_whose_options_changed_starts_anew_without_a_pull() -> None:
    first = registered().then(100.0, told(iris=module("iris:1")), ONLINE)
    second = first.then(1000.0, told(iris=module("iris:1", env={"A": {"value": "1"}})), ONLINE)

    assert second.lives(2000)["iris"].begin == 1000 + DELIVERY_SECONDS + START


def test_what_is_told_while_the_agent_is_busy_waits_and_only_the_latest_counts() -> None:
    first = registered().then(100.0, told(iris=module("iris:1")), ONLINE)
    skipped = first.then(105.0, told(iris=module("iris:2")), ONLINE)
    last = skipped.then(106.0, told(iris=module("iris:3")), ONLINE)
    done = 100 + DELIVERY_SECONDS + RUNTIME + PULL + START

    assert last.plan().start == done
    assert running(last, 1000) == {"iris": "iris:3"}
    assert last.report(1000).version == 4  # type: ignore[union-attr]
    assert last.plan().done == done + PULL + START


def test_a_device_offline_goes_on_with_what_it_was_told_and_reports_it_later() -> None:
    begun = registered().then(100.0, told(iris=module("iris:1")), ONLINE)
    offline = begun.then(103.0, begun.told, OFFLINE)
    missed = offline.then(200.0, told(iris=module("iris:2")), OFFLINE)
    back = missed.then(1000.0, missed.told, ONLINE)

    assert offline.lives(500)["iris"].spec["settings"]["image"] == "iris:1"
    assert missed.report(900).version == 0  # type: ignore[union-attr]
    assert (missed.last_heard(900), back.last_heard(1100)) == (103.0, 1100)
    assert running(back, 2000) == {"iris": "iris:2"}


def test_what_was_asked_at_an_earlier_time_is_answered_as_it_was() -> None:
    first = registered().then(100.0, told(iris=module("iris:1")), ONLINE)
    second = first.then(1000.0, told(), ONLINE)

    assert second.by(999.0) is first
    assert second.by(50.0).parent is None
    assert running(second, 1100) == {}
    assert running(second.by(900.0), 900.0) == {"iris": "iris:1"}


def test_devices_with_the_same_past_share_their_situation() -> None:
    root, manifest = registered(), told(iris=module("iris:1"))

    assert root.then(100.0, manifest, ONLINE) is root.then(100.0, manifest, ONLINE)
    assert root.then(100.0, manifest, ONLINE) is not root.then(101.0, manifest, ONLINE)


def test_a_long_past_is_no_burden() -> None:
    situation, manifests = registered(), [told(iris=module(f"iris:{number}")) for number in range(3)]
    for number in range(5000):
        conditions = OFFLINE if number % 7 == 0 else ONLINE
        situation = situation.then(100.0 + number, manifests[number % 3], conditions)

    assert running(situation, 10**6) == {"iris": f"iris:{4999 % 3}"}


@given(
    st.lists(
        st.tuples(st.floats(0.1, 60), st.integers(0, 3), st.booleans(), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_happened_a_device_that_is_online_comes_to_run_what_it_was_told(
    events: list[tuple[float, int, bool, bool]],
) -> None:
    broken = Conditions(behaviours={"iris:1": ModuleBehaviour(pull_error="no")})
    manifests = [told(), *(told(iris=module(f"iris:{number}")) for number in (1, 2, 3))]
    situation, now, numbers = registered(), 10.0, list[int]()
    for seconds, chosen, online, can_pull in events:
        now += seconds
        conditions = (ONLINE if can_pull else broken) if online else OFFLINE
        situation = situation.then(now, manifests[chosen], conditions)
        report = situation.report(now)
        assert report
        numbers.append(report.number)
        assert report.version <= situation.version
    situation = situation.then(now + 1, situation.told, ONLINE)

    report = situation.report(now + 1000)

    assert report
    assert (report.version, report.status[0]) == (situation.version, 200)
    wanted = situation.told.manifest.agent["modules"]
    assert running(situation, now + 1000) == {
        name: spec["settings"]["image"] for name, spec in wanted.items()
    }
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("number", range(3))
def test_reports_count_up(number: int) -> None:
    situation = registered().then(100.0, told(iris=module("iris:1")), ONLINE)
    for step in range(number):
        situation = situation.then(1000.0 * (step + 1), told(iris=module(f"iris:{step + 2}")), ONLINE)

    counts = [report.number for now in range(0, 5000, 7) if (report := situation.report(now))]

    assert counts == sorted(counts)

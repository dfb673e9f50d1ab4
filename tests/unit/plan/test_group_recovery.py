"""When a group that Azure gave up is made again."""

import itertools
from typing import Any

import pytest
from container_groups import aci_spec, desired, shown
from deployments import subject
from hypothesis import given
from hypothesis import strategies as st

from berth.plan.group_changes import Way, update
from berth.plan.group_recovery import (
    FIRST_PAUSE_FOR_IMAGES_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Setback,
    has_ended,
    is_due,
    is_given_up,
    pause,
    setback,
)
from berth.plan.report import REQUESTED_AT

WANTED = desired()
FAILED = shown(WANTED, "Pending", provisioningState="Failed")
ENDED = shown(WANTED, "Failed")
RUNNING = shown(WANTED)
SUBJECT = subject(aci_spec())
NEVER_PULLED = {
    "name": "Failed",
    "message": 'Failed to pull image "a": unauthorized',
    "lastTimestamp": "2026-11-01T12:00:30Z",
}


def pulling() -> dict[str, Any]:
    group = shown(WANTED, "Pending", provisioningState="Failed")
    for container in group["properties"]["containers"]:
        container["properties"]["instanceView"] = {
            "currentState": {"state": "Waiting", "detailStatus": "ImagePullBackOff"},
            "events": [NEVER_PULLED],
        }
    return group


def asking(value: str, handled: str | None) -> Any:
    status = {"observedGeneration": 1, **({"lastHandledReconcileAt": handled} if handled else {})}
    return subject(aci_spec(), annotations={REQUESTED_AT: value}, status=status)


def test_what_azure_gave_up_and_what_ended_are_told_apart() -> None:
    assert [is_given_up(each) for each in (FAILED, ENDED, RUNNING)] == [True, False, False]
    assert [has_ended(each) for each in (FAILED, ENDED, RUNNING)] == [False, True, False]


def test_it_takes_no_update_any_more() -> None:
    changed = desired(aci_spec(env=[{"name": "A", "value": "b"}]))
    assert update(changed, RUNNING).way is Way.IN_PLACE
    assert update(changed, FAILED).way is Way.RECREATE
    assert update(changed, ENDED).way is Way.RECREATE
    assert update(WANTED, FAILED).way is Way.NOTHING


def attempts(group: dict[str, Any], hours: float) -> list[float]:
    """Give the times at which passes, one each minute, make a group again that always fails."""
    times, known = [], None
    for now in (60.0 * minute for minute in range(int(60 * hours))):
        known = setback(known, WANTED.fingerprint, now)
        if is_due(SUBJECT, group, known, now):
            times.append(now)
            known = known.again(now)
    return times


def test_each_attempt_waits_longer_than_the_last_and_none_for_hours() -> None:
    times = [0.0, *attempts(FAILED, 8)]
    pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert pauses[0] == FIRST_PAUSE_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert len(attempts(FAILED, 24)) <= 60


def test_an_image_is_asked_for_less_often() -> None:
    assert pause(pulling(), 0) == FIRST_PAUSE_FOR_IMAGES_SECONDS
    assert len(attempts(pulling(), 1)) < len(attempts(FAILED, 1))


@given(st.integers(0, 100_000))
def test_no_number_of_attempts_leads_out_of_bounds(number: int) -> None:
    assert FIRST_PAUSE_SECONDS <= pause(FAILED, number) <= LONGEST_PAUSE_SECONDS


def test_a_new_wish_has_a_new_chance() -> None:
    worn = Setback(WANTED.fingerprint, 100.0, attempts=9)
    assert setback(worn, WANTED.fingerprint, 500.0) == worn
    assert setback(worn, "another", 500.0) == Setback("another", 500.0)


@pytest.mark.parametrize(
    ("group", "handled", "answer"),
    [
        (FAILED, None, True),
        (FAILED, "first", True),
        (FAILED, "now", False),
        (ENDED, "first", True),
        (ENDED, "now", False),
    ],
)
def test_who_asks_for_it_is_served_once(group: dict[str, Any], handled: str | None, answer: bool) -> None:
    known = Setback(WANTED.fingerprint, 0.0)
    assert is_due(asking("now", handled), group, known, 1.0) is answer


def test_what_ended_as_its_restart_policy_says_stays_so() -> None:
    known = Setback(WANTED.fingerprint, 0.0)
    assert not is_due(SUBJECT, ENDED, known, 1_000_000.0)

from datetime import datetime, timedelta
from typing import Any

import pytest
from compute_targets import BASE
from hypothesis import given
from hypothesis import strategies as st

from berth.api.conditions import Condition, Reason
from berth.core.keys import Key
from berth.plan.azure_errors import AzureError, Verdict, classify, classify_sign_in
from berth.plan.compute_target_status import (
    NEWS_SECONDS,
    Place,
    PlaceObservation,
    compute_target_status,
    may_go,
)
from berth.plan.group_quota import Room, Usage

NOW = datetime.fromisoformat("2026-11-01T12:00:00Z")
ROOM = Room("eastus", 1, 20, Usage(3, 100), Usage(4, 100))
SECRET = classify_sign_in(AzureError(401, "", "AADSTS7000215: Invalid client secret provided."))
OFFLINE = classify_sign_in(AzureError(None, "", "Cannot connect to host login.microsoftonline.com:443"))
FORBIDDEN = classify(AzureError(403, "AuthorizationFailed", "no role"))
NO_GROUP = classify(AzureError(404, "ResourceGroupNotFound", "none"))
DISABLED = classify(AzureError(409, "ReadOnlyDisabledSubscription", "disabled"))
THROTTLED = classify(AzureError(429, "SubscriptionRequestsThrottled", "slow down", 9))
NO_CAPACITY = classify(AzureError(409, "ServiceUnavailable", "nothing free"))
USERS = [Key("team-a", f"model-{number}") for number in range(7)]


def place(status: Any = None, **metadata: Any) -> Place:
    body = {"metadata": {"name": "dev", "uid": "u", "generation": 2} | metadata, "spec": BASE}
    return Place.model_validate(body | ({"status": status} if status else {}))


def conditions(seen: PlaceObservation, of: Place | None = None) -> dict[str, Condition]:
    return {each.type: each for each in compute_target_status(of or place(), seen, NOW).conditions or ()}


def test_a_place_that_answers_is_ready_and_tells_what_is_used() -> None:
    status = compute_target_status(place(), PlaceObservation(ROOM), NOW)
    told = {
        each.type: (each.status, each.reason, each.observed_generation) for each in status.conditions or ()
    }
    assert told == {
        "Ready": ("True", "Ready", 2),
        "CredentialsAccepted": ("True", "CredentialsAccepted", 2),
        "RegionAvailable": ("True", "RegionAvailable", 2),
    }
    assert status.observed_generation == 2
    assert status.last_seen == "2026-11-01T12:00:00Z"
    assert status.aci
    assert status.aci.model_dump() == {
        "container_groups": {"own": 1, "used": 3, "limit": 20},
        "cores": {"used": 4, "limit": 100},
    }


def test_a_place_that_was_not_asked_says_so() -> None:
    status = compute_target_status(place(), PlaceObservation(), NOW)
    assert {each.reason for each in status.conditions or ()} == {"Looking"}
    assert status.last_seen is None


@pytest.mark.parametrize(
    ("seen", "verdict", "credentials", "region"),
    [
        (PlaceObservation(sign_in=SECRET), ("Stalled", "AuthenticationFailed"), "False", "Unknown"),
        (PlaceObservation(sign_in=OFFLINE), ("Reconciling", "ProgressingWithRetry"), "Unknown", "Unknown"),
        (PlaceObservation(refusal=FORBIDDEN), ("Stalled", "AuthorizationFailed"), "False", "Unknown"),
        (PlaceObservation(ROOM, refusal=NO_GROUP), ("Stalled", "ResourceGroupNotFound"), "True", "True"),
        (
            PlaceObservation(ROOM, refusal=DISABLED),
            ("Stalled", "ReadOnlyDisabledSubscription"),
            "True",
            "True",
        ),
        (PlaceObservation(ROOM, refusal=THROTTLED), ("Reconciling", "ProgressingWithRetry"), "True", "True"),
        (
            PlaceObservation(ROOM, refusal=NO_CAPACITY),
            ("Reconciling", "CapacityUnavailable"),
            "True",
            "False",
        ),
    ],
)
def test_each_refusal_has_its_verdict(
    seen: PlaceObservation, verdict: tuple[str, str], credentials: str, region: str
) -> None:
    told = conditions(seen)
    assert told["Ready"].status == "False"
    assert (told["Ready"].reason, told[verdict[0]].reason) == (verdict[1], verdict[1])
    assert told["CredentialsAccepted"].status == credentials
    assert told["RegionAvailable"].status == region


def test_it_recovers_when_what_was_wrong_is_mended() -> None:
    broken = compute_target_status(place(), PlaceObservation(sign_in=SECRET), NOW)
    mended = conditions(PlaceObservation(ROOM), place(broken.model_dump(mode="json", by_alias=True)))
    assert mended["Ready"].status == "True"
    assert "Stalled" not in mended


def test_what_was_last_seen_stays_while_azure_does_not_answer() -> None:
    known = compute_target_status(place(), PlaceObservation(ROOM), NOW)
    later = place(known.model_dump(mode="json", by_alias=True))
    status = compute_target_status(later, PlaceObservation(refusal=THROTTLED), NOW + timedelta(hours=1))
    assert (status.aci, status.last_seen) == (known.aci, known.last_seen)


@pytest.mark.parametrize(
    ("seconds", "is_news"), [(1, False), (NEWS_SECONDS - 1, False), (NEWS_SECONDS, True)]
)
def test_a_look_without_news_is_seldom_written_down(seconds: int, is_news: bool) -> None:
    known = compute_target_status(place(), PlaceObservation(ROOM), NOW)
    later = place(known.model_dump(mode="json", by_alias=True))
    again = compute_target_status(later, PlaceObservation(ROOM), NOW + timedelta(seconds=seconds))
    assert (again != known) is is_news


def test_news_are_written_down_at_once() -> None:
    known = compute_target_status(place(), PlaceObservation(ROOM), NOW)
    later = place(known.model_dump(mode="json", by_alias=True))
    fuller = Room("eastus", 2, 20, Usage(4, 100), Usage(5, 100))
    again = compute_target_status(later, PlaceObservation(fuller), NOW + timedelta(seconds=1))
    assert again.last_seen == "2026-11-01T12:00:01Z"


def test_who_uses_it_keeps_it() -> None:
    leaving = place(deletionTimestamp="2026-11-01T11:00:00Z")
    told = conditions(PlaceObservation(ROOM, users=USERS), leaving)["InUse"]
    assert told.reason == Reason.IN_USE
    assert told.message.endswith(
        ": team-a/model-0, team-a/model-1, team-a/model-2, team-a/model-3, team-a/model-4 and 2 more"
    )
    assert not may_go(leaving, USERS)
    assert may_go(leaving, [])
    assert not may_go(place(), [])
    assert "InUse" not in conditions(PlaceObservation(ROOM, users=USERS))


verdicts = st.none() | st.sampled_from(
    [SECRET, OFFLINE, FORBIDDEN, NO_GROUP, DISABLED, THROTTLED, NO_CAPACITY]
)


@given(st.none() | st.just(ROOM), verdicts, verdicts)
def test_exactly_one_of_the_three_is_true(
    room: Room | None, sign_in: Verdict | None, refusal: Verdict | None
) -> None:
    told = conditions(PlaceObservation(room, sign_in, refusal))
    assert (
        sum(told[kind].status == "True" for kind in ("Ready", "Reconciling", "Stalled") if kind in told) == 1
    )

"""The conditions and fields of a ModelDeployment on Azure, from what GET shows."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from azure_specs import DESCRIPTIONS, MISSING, examples, recording
from container_groups import aci_spec, desired, shown
from deployments import CREATED, MODEL, subject
from hypothesis import given
from hypothesis import strategies as st

from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from berth.plan.group_changes import Way
from berth.plan.group_quota import Ahead, Room, Usage
from berth.plan.group_status import DEADLINE_SECONDS, Observation, group_draft, slow_event
from berth.plan.report import Draft, next_status
from berth.plan.subject import Subject
from berth.plan.validation import Golden

START = datetime.fromisoformat(CREATED)
RUNNING = {"currentState": {"state": "Running"}, "restartCount": 2, "events": []}
CRASHED = {"currentState": {"state": "Terminated", "exitCode": 3}, "restartCount": 0, "events": []}
WAITING = {"currentState": {"state": "Waiting"}, "events": []}
FETCHED = {"currentState": {"state": "Terminated", "exitCode": 0}, "events": []}
FULL = Room("eastus", 20, 20, Usage(20, 100))
ADDRESS = {"ip": "20.0.0.1", "fqdn": "iris-demo-1a2b3c4d.eastus.azurecontainer.io"}


def group(scoring: Any, provisioning: str = "Succeeded", state: str = "Running") -> dict[str, Any]:
    there = shown(desired(), state, provisioningState=provisioning)
    there["properties"]["containers"][0]["properties"]["instanceView"] = scoring
    there["properties"]["initContainers"][0]["properties"]["instanceView"] = FETCHED
    there["properties"]["ipAddress"] |= ADDRESS
    return there


def draft(seen: Observation, of: Subject | None = None, after: float = 1.0) -> Draft:
    return group_draft(of or subject(aci_spec()), seen, START + timedelta(seconds=after))


def conditions(of: Draft) -> dict[str, Condition]:
    return {each.type: each for each in of.conditions}


def verdict(of: Draft) -> tuple[str, Reason]:
    told = conditions(of)
    kinds = [kind for kind in (ConditionType.RECONCILING, ConditionType.STALLED) if kind in told]
    return (kinds[0] if kinds else ConditionType.READY), Reason(told[ConditionType.READY].reason)


def at_work(reason: str = "RollingOut", kind: str = "Reconciling") -> Subject:
    """Give a ModelDeployment whose stored status says since when work goes on."""
    since = {"observedGeneration": 1, "lastTransitionTime": CREATED, "reason": reason, "message": "x"}
    known = [{"type": "Ready", "status": "False", **since}, {"type": kind, "status": "True", **since}]
    return subject(aci_spec(), status={"observedGeneration": 1, "conditions": known})


SERVING = Observation(group(RUNNING))
STARTING = Observation(group(WAITING, "Creating", "Pending"))


def test_a_group_that_runs_serves() -> None:
    told = draft(SERVING)
    assert {each.type: (each.status, each.reason) for each in told.conditions} == {
        "Ready": ("True", "Ready"),
        "ModelAvailable": ("True", "ModelServed"),
        "EndpointReady": ("True", "EndpointReady"),
        "QuotaAvailable": ("True", "QuotaAvailable"),
    }


def test_the_address_is_told_in_full() -> None:
    fields = draft(SERVING).fields
    assert fields["scoring_uri"] == f"http://{ADDRESS['fqdn']}/score"
    assert fields["swagger_uri"] == f"http://{ADDRESS['fqdn']}/swagger.json"
    assert (fields["replicas"], fields["ready_replicas"]) == (1, 1)
    assert fields["aci"].model_dump(exclude={"resource_id"}) == {
        "location": "eastus",
        "provisioning_state": "Succeeded",
        "state": "Running",
        "restarts": 2,
        **ADDRESS,
    }


def test_an_own_server_has_no_description_of_berths() -> None:
    assert draft(SERVING, subject(aci_spec(image="a:1"))).fields["swagger_uri"] is None


def test_a_private_address_will_do() -> None:
    there = group(RUNNING)
    there["properties"]["ipAddress"] = {"type": "Private", "ip": "10.0.0.4", "ports": [{"port": 5001}]}
    assert draft(Observation(there)).fields["scoring_uri"] == "http://10.0.0.4/score"


def test_without_an_address_nobody_can_ask() -> None:
    there = group(RUNNING)
    del there["properties"]["ipAddress"]
    told = conditions(draft(Observation(there)))
    assert told["EndpointReady"].reason == Reason.WAITING_FOR_ADDRESS
    assert draft(Observation(there)).fields["scoring_uri"] is None


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Observation(), ("Reconciling", "RollingOut")),
        (Observation(room=Room("eastus", 1, 20, Usage(1, 100))), ("Reconciling", "RollingOut")),
        (Observation(room=FULL), ("Stalled", "QuotaExceeded")),
        (STARTING, ("Reconciling", "RollingOut")),
        (Observation(group(RUNNING), way=Way.IN_PLACE), ("Reconciling", "RollingOut")),
        (Observation(group(RUNNING), way=Way.RECREATE), ("Reconciling", "RollingOut")),
        (Observation(group(RUNNING), way=Way.TAGS), ("Ready", "Ready")),
        (Observation(group(RUNNING), answers=True), ("Ready", "Ready")),
        (Observation(group(RUNNING), answers=False), ("Reconciling", "RollingOut")),
        (Observation(group(RUNNING, "Creating")), ("Reconciling", "RollingOut")),
        (Observation(group(RUNNING, "Succeeded", "Pending")), ("Reconciling", "RollingOut")),
        (Observation(group(CRASHED)), ("Reconciling", "ContainerFailed")),
        (
            Observation(group(CRASHED), logs={"scoring": "ScriptInitFailed: no"}),
            ("Reconciling", "ScriptInitFailed"),
        ),
        (Observation(group(CRASHED, "Succeeded", "Failed")), ("Stalled", "ContainerFailed")),
        (Observation(group(FETCHED, "Succeeded", "Succeeded")), ("Stalled", "ContainerFailed")),
        (Observation(group(WAITING, "Failed", "Pending")), ("Stalled", "ContainerFailed")),
        (Observation(group(WAITING, "Succeeded", "Stopped")), ("Reconciling", "RollingOut")),
    ],
)
def test_each_state_has_its_verdict(seen: Observation, expected: tuple[str, str]) -> None:
    assert verdict(draft(seen)) == expected


def test_what_cannot_be_mended_by_waiting_is_told_at_once() -> None:
    crashed = group(WAITING, "Creating", "Pending")
    crashed["properties"]["initContainers"][0]["properties"]["instanceView"] = CRASHED
    told = draft(Observation(crashed, logs={"fetch": "ModelDigestMismatch: wanted a, got b"}))
    assert verdict(told) == ("Stalled", Reason.MODEL_DIGEST_MISMATCH)
    assert conditions(told)["ModelAvailable"].message == "wanted a, got b"


def test_the_message_has_azures_words() -> None:
    assert conditions(draft(STARTING))["Ready"].message == "Azure says: provisioning Creating, group Pending"
    told = conditions(draft(Observation(group(WAITING, "Failed", "Pending"))))
    words = "Azure says: provisioning Failed, group Pending; it is made again, later each time"
    assert told["Stalled"].message == words


def test_who_waits_for_room_is_told_how_many_are_before() -> None:
    told = conditions(draft(Observation(room=FULL, ahead=Ahead(in_resource_group=2))))
    assert told["QuotaAvailable"].status is ConditionStatus.FALSE
    assert told["QuotaAvailable"].message.endswith("; 2 wait before this one")


@pytest.mark.parametrize(
    ("after", "kind"), [(DEADLINE_SECONDS, "Reconciling"), (DEADLINE_SECONDS + 1, "Stalled")]
)
def test_the_deadline_ends_the_wait(after: float, kind: str) -> None:
    told = draft(STARTING, at_work(), after)
    assert verdict(told)[0] == kind
    crashing = draft(Observation(group(CRASHED)), at_work(), after)
    assert verdict(crashing) == (kind, Reason.CONTAINER_FAILED)


def test_what_has_stalled_for_a_reason_stays_so_while_the_reason_does() -> None:
    of = at_work(reason="ProgressDeadlineExceeded", kind="Stalled")
    assert verdict(draft(STARTING, of)) == ("Stalled", Reason.PROGRESS_DEADLINE_EXCEEDED)
    assert verdict(draft(Observation(group(CRASHED)), of))[0] == "Reconciling"
    assert verdict(draft(SERVING, of))[0] == "Ready"


@pytest.mark.parametrize(("after", "is_slow"), [(300, False), (301, True)])
def test_more_than_five_minutes_are_told(after: float, is_slow: bool) -> None:
    told = draft(STARTING, at_work(), after)
    assert conditions(told)["Ready"].message.endswith("; it takes longer than 300 s already") is is_slow
    assert (slow_event(at_work(), told) is not None) is is_slow


def test_slowness_is_news_only_once() -> None:
    of, first = at_work(), draft(STARTING, at_work(), 301)
    later = of.model_copy(update={"status": next_status(of, first, START + timedelta(seconds=301))})
    assert slow_event(later, draft(STARTING, later, 361)) is None
    assert slow_event(later, draft(SERVING, later, 361)) is None


def test_ready_says_that_it_was_slow_and_goes_on_saying_so() -> None:
    of = at_work()
    first = draft(SERVING, of, 301)
    assert conditions(first)["Ready"].message == "The current spec serves; it took longer than 300 s"
    stored = of.model_copy(update={"status": next_status(of, first, START + timedelta(seconds=301))})
    assert stored.status.deploy_duration_seconds == 301
    assert conditions(draft(SERVING, stored, 9000))["Ready"] == conditions(first)["Ready"]


def test_a_status_that_is_told_again_is_the_same() -> None:
    of = at_work()
    now = START + timedelta(seconds=20)
    once = of.model_copy(update={"status": next_status(of, draft(SERVING, of, 20), now)})
    again = next_status(once, draft(SERVING, once, 5000), now + timedelta(hours=1))
    assert again == once.status


def test_the_digest_is_the_one_that_was_fetched_or_pinned() -> None:
    log = f"fetched model iris:3 in 1.2 s, sha256:{'0a' * 32}\n"
    assert (
        draft(Observation(group(RUNNING), logs={"fetch": log})).fields["model"].digest
        == f"sha256:{'0a' * 32}"
    )
    pinned = subject(aci_spec(model=MODEL | {"sha256": "0b" * 32}))
    assert draft(SERVING, pinned).fields["model"].digest == f"sha256:{'0b' * 32}"
    assert "model" not in draft(STARTING, pinned).fields


def test_a_model_that_was_fetched_is_available_before_it_serves() -> None:
    log = f"fetched model iris:3 in 1.2 s, sha256:{'0a' * 32}\n"
    told = draft(Observation(group(WAITING, "Creating", "Pending"), logs={"fetch": log}))
    assert conditions(told)["ModelAvailable"].reason == Reason.MODEL_FETCHED


@pytest.mark.skipif(not DESCRIPTIONS.exists(), reason=MISSING)
def test_the_official_answers_are_understood() -> None:
    failed = examples()["ContainerGroupsGet_Failed"].answers[200]
    assert verdict(draft(Observation(failed))) == ("Stalled", Reason.VOLUME_FAILED)
    for example in examples().values():
        for answer in example.answers.values():
            if answer and "containers" in answer.get("properties", {}):
                assert draft(Observation(answer)).conditions


@pytest.mark.skipif(not DESCRIPTIONS.exists(), reason=MISSING)
def test_the_recorded_group_came_up() -> None:
    pending, running = (recording()[number]["responseBody"] for number in (0, 3))
    assert verdict(draft(Observation(pending))) == ("Reconciling", Reason.ROLLING_OUT)
    assert verdict(draft(Observation(running))) == ("Ready", Reason.READY)


@given(
    st.sampled_from(["Pending", "Creating", "Succeeded", "Failed", "Repairing", "Unhealthy", None]),
    st.sampled_from(["Pending", "Running", "Stopped", "Succeeded", "Failed", None]),
    st.sampled_from([RUNNING, CRASHED, WAITING, {}]),
    st.sampled_from([True, False, None]),
    st.integers(0, 9000),
)
def test_ready_is_only_said_of_what_runs(
    provisioning: Any, state: Any, scoring: Any, answers: bool | None, after: int
) -> None:
    told = draft(Observation(group(scoring, provisioning, state), answers=answers), at_work(), after)
    serves = (provisioning, state, scoring) == ("Succeeded", "Running", RUNNING) and answers is not False
    is_ready = conditions(told)["Ready"].status is ConditionStatus.TRUE
    assert is_ready is serves
    assert sum(kind in conditions(told) for kind in ("Reconciling", "Stalled")) == int(not serves)


@pytest.mark.parametrize(
    ("golden", "expected"),
    [
        (None, ("Reconciling", "Validating")),
        (Golden(ConditionStatus.TRUE, "passed"), ("Ready", "Ready")),
        (Golden(ConditionStatus.FALSE, "got [1]"), ("Stalled", "ValidationFailed")),
        (Golden(ConditionStatus.UNKNOWN, "no answer"), ("Reconciling", "Validating")),
    ],
)
def test_ready_waits_for_the_golden_request(golden: Golden | None, expected: tuple[str, str]) -> None:
    of = subject(aci_spec(validation={"request": {"body": "[]"}}))
    told = draft(Observation(group(RUNNING), golden=golden), of)
    assert verdict(told) == expected
    assert ConditionType.VALIDATED in conditions(told)

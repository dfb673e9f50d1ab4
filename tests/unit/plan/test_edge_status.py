"""What is said of a fleet: every count, each cause in its order, and when to look again."""

from datetime import timedelta
from typing import Any

import pytest
from deployments import subject
from edge_deployments import CLUSTER, NOW, desired, edge_spec, place, shown

from berth.api.conditions import Reason
from berth.api.iot_edge import Rollout, RolloutStage
from berth.api.status import FailingDevice
from berth.core.results import INTERVAL_SECONDS, RequeueAfter
from berth.plan.edge_fleet import (
    Counts,
    Live,
    counted,
    failing_devices,
    fails,
    overruled_devices,
    own_deployments,
    rivals,
    untold_devices,
)
from berth.plan.edge_plan import BUSY_SECONDS, SOON_SECONDS, Sight, plan
from berth.plan.edge_rollout import REFUSED, WHOLE, Create, Stage
from berth.plan.edge_status import Fleet, known_stage
from berth.plan.group_names import Owner
from berth.plan.hub_room import HubRoom
from berth.plan.report import next_status

WANTED = desired()
OWNER = Owner.of(subject(edge_spec()), CLUSTER)
CREATED = shown(WANTED, None, Create(WANTED.id, WHOLE, 10))
WELL = Counts(3, 3, 3, 0, 0)
BROKEN = FailingDevice(device_id="press-2", runtime_status="backoff", exit_code=7, description="exited")
LATER = NOW + timedelta(seconds=301)


def say(
    counts: Counts,
    *,
    spec: dict[str, Any] | None = None,
    later: bool = False,
    status: Any = None,
    **fleet: Any,
) -> Any:
    """Say how a deployment fares that was made a minute, or more than five, before."""
    seen = Sight(WANTED, [Live(CREATED)], Fleet(counts, **fleet))
    moment = LATER if later else NOW + timedelta(seconds=61)
    return plan(subject(spec or edge_spec(), status=status), seen, moment)


def verdict(told: Any) -> tuple[str, str, str]:
    ready = next(each for each in told.draft.conditions if each.type == "Ready")
    kinds = {each.type for each in told.draft.conditions}
    word = "Stalled" if "Stalled" in kinds else "Reconciling" if "Reconciling" in kinds else str(ready.status)
    return word, ready.reason, ready.message


@pytest.mark.parametrize(
    ("counts", "later", "word", "reason"),
    [
        (WELL, False, "True", Reason.READY),
        (Counts(), False, "Reconciling", Reason.COUNTING_DEVICES),
        (Counts(3, 3), False, "Reconciling", Reason.COUNTING_DEVICES),
        (Counts(1, 3, 3, 0, 0), False, "Reconciling", Reason.COUNTING_DEVICES),
        (Counts(3, 3, 3, 0), False, "Reconciling", Reason.COUNTING_DEVICES),
        (Counts(0, 0), False, "Reconciling", Reason.NO_DEVICES),
        (Counts(0, 0), True, "Stalled", Reason.NO_DEVICES),
        (Counts(3, 0, 0, 0, 0), False, "Reconciling", Reason.ROLLING_OUT),
        (Counts(3, 0, 0, 0, 0), True, "Stalled", Reason.BASE_DEPLOYMENT_MISSING),
        (Counts(3, 2, 2, 0, 0), True, "Stalled", Reason.BASE_DEPLOYMENT_MISSING),
        (Counts(3, 3, 1, 0, 0), False, "Reconciling", Reason.ROLLING_OUT),
        (Counts(3, 3, 2, 1, 0), False, "Stalled", Reason.DEVICES_FAILING),
        (Counts(3, 3, 2, 0, 1), False, "True", Reason.READY),
        (Counts(3, 3, 0, 0, 3), False, "Reconciling", Reason.ROLLING_OUT),
    ],
)
def test_each_count_has_its_verdict(counts: Counts, later: bool, word: str, reason: Reason) -> None:
    assert verdict(say(counts, later=later))[:2] == (word, reason)


@pytest.mark.parametrize(
    ("minutes", "word", "reason"),
    [
        (29, "Reconciling", Reason.ROLLING_OUT),
        (31, "Stalled", Reason.PROGRESS_DEADLINE_EXCEEDED),
    ],
)
def test_a_stage_whose_devices_neither_run_nor_fail_has_a_deadline(
    minutes: int, word: str, reason: Reason
) -> None:
    rollout = Rollout(stages=(RolloutStage(target_condition="tags.line='1'"),))
    first = shown(WANTED, rollout, Create(WANTED.id, Stage(0), 10))
    spec = edge_spec(iotEdge={"rollout": {"stages": [{"targetCondition": "tags.line='1'"}]}})
    seen = Sight(WANTED, [Live(first)], Fleet(Counts(3, 3, 1, 0, 0)))
    told = plan(subject(spec), seen, NOW + timedelta(minutes=minutes))
    assert verdict(told) == (word, reason, "Stage 1 of 1: 1/3 devices run the current spec")


def test_what_the_hub_never_counts_has_a_deadline() -> None:
    seen = Sight(WANTED, [Live(CREATED)], Fleet(Counts(3, 3)))
    words = [verdict(plan(subject(edge_spec()), seen, NOW + timedelta(minutes=m)))[:2] for m in (29, 31)]
    assert words == [("Reconciling", Reason.COUNTING_DEVICES), ("Stalled", Reason.COUNTING_DEVICES)]


def test_what_the_hub_counted_before_a_change_makes_nothing_ready() -> None:
    many = Counts(500, 500, 500, 0, 0, is_close=False)
    made_before = {**CREATED, "createdTimeUtc": (NOW - timedelta(days=1)).isoformat()}
    for document, until in ((CREATED, 60), (made_before, 330)):
        words = []
        for seconds in (until - 1, until + 1):
            told = plan(
                subject(edge_spec()),
                Sight(WANTED, [Live(document)], Fleet(many)),
                NOW + timedelta(seconds=seconds),
            )
            words.append(verdict(told)[:2])
        assert words == [("Reconciling", Reason.COUNTING_DEVICES), ("True", Reason.READY)]


def test_enough_is_what_the_spec_says_of_the_devices_that_are_seen() -> None:
    most = edge_spec(iotEdge={"minHealthyPercent": 66})
    assert verdict(say(Counts(3, 3, 2, 1, 0), spec=most))[0] == "True"
    assert verdict(say(Counts(4, 4, 2, 1, 1), spec=most))[0] == "True"
    assert verdict(say(Counts(4, 4, 2, 2, 0), spec=most))[0] == "Stalled"


def test_the_message_counts_what_is_not_well() -> None:
    told = say(Counts(5, 5, 2, 1, 2), failing=(BROKEN,))
    assert verdict(told)[2] == (
        "2/5 devices run the current spec, 1 failing, 2 offline; press-2: backoff, exit code 7, exited"
    )


def test_a_rival_is_named() -> None:
    assert "someone-elses claims the same module" in verdict(say(WELL, rivals=("someone-elses",)))[2]


def test_counts_that_are_unknown_are_left_out() -> None:
    told = say(Counts(3, 3)).draft.fields["iot_edge"]
    assert (told.targeted, told.applied, told.running, told.failed, told.offline) == (3, 3, None, None, None)
    assert told.out_of_date is None


def test_who_was_not_told_is_named_only_when_it_lasts() -> None:
    untold = (FailingDevice(device_id="press-9", description="Not applied"),)
    early, late = (say(Counts(3, 2, 2, 0, 0), later=later, untold=untold) for later in (False, True))
    assert early.draft.fields["iot_edge"].failing_devices is None
    assert [each.device_id for each in late.draft.fields["iot_edge"].failing_devices] == ["press-9"]


def test_a_fleet_that_is_offline_stays_as_ready_as_it_was() -> None:
    given = subject(edge_spec())
    status = next_status(given, say(WELL).draft, NOW).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    assert verdict(say(Counts(3, 3, 0, 0, 3), status=status))[:2] == ("True", Reason.READY)


def test_a_full_hub_is_asked_for_nothing() -> None:
    full = Fleet(room=HubRoom(3, 100, 100))
    told = plan(subject(edge_spec()), Sight(WANTED, [], full), NOW)
    assert told.steps == []
    assert verdict(told)[:2] == ("Stalled", Reason.QUOTA_EXCEEDED)
    assert "100 of the 100 deployments that the hub takes" in verdict(told)[2]


def test_the_quota_of_the_platform_team_counts_berths_own() -> None:
    room = HubRoom.of(place(quota={"deployments": 3}), own=3, used=40)
    assert (room.free, room.told()) == (0, "3 of the 3 deployments that the ComputeTarget allows are used")
    assert HubRoom.of(place(tier="Free"), own=3, used=9).free == 1


def test_a_secret_that_changed_is_no_deployment_that_is_gone() -> None:
    status = next_status(subject(edge_spec()), say(WELL).draft, NOW)
    known = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    given = subject(edge_spec(), status=known)
    rotated = desired(edge_spec(env=[{"name": "KEY", "value": "rotated"}]))
    assert [each.reason for each in plan(given, Sight(WANTED), NOW).events] == ["DeploymentMissing"]
    assert plan(given, Sight(rotated, [Live(CREATED)]), NOW).events == []


def test_it_looks_soon_after_a_change_and_seldom_at_rest() -> None:
    assert plan(subject(edge_spec()), Sight(WANTED), NOW).result == RequeueAfter(SOON_SECONDS)
    assert say(Counts(3, 3, 1, 0, 0)).result == RequeueAfter(BUSY_SECONDS)
    assert say(WELL).result == RequeueAfter(INTERVAL_SECONDS)


def test_the_stage_is_remembered_for_its_generation_only() -> None:
    status = {
        "observedGeneration": 1,
        "iotEdge": {"stage": "2 of 3", "stageHealthySince": "2026-11-21T12:00:00Z"},
    }
    assert known_stage(subject(edge_spec(), status=status)).stage == "1"
    assert known_stage(subject(edge_spec(), status=status, generation=2)).stage is None


def test_a_stage_is_told_by_its_number() -> None:
    spec = edge_spec(iotEdge={"rollout": {"stages": [{"percent": 10}, {"percent": 50}]}})
    wanted = desired(spec)
    given = subject(spec)
    rollout = given.spec.iot_edge.rollout if given.spec.iot_edge else None
    first = Live(shown(wanted, rollout, Create(wanted.id, Stage(0), 10), ids=("a", "b")))
    told = plan(given, Sight(wanted, [first], Fleet(Counts(1, 1, 0, 0, 0))), NOW)
    assert verdict(told)[2] == "Stage 1 of 2: 0/1 devices run the current spec"
    assert told.draft.fields["iot_edge"].stage == "1 of 2"


def test_after_a_way_back_the_words_of_who_failed_remain() -> None:
    words = "Too many devices failed; press-2: backoff"
    problem = {"status": "True", "reason": "RolledBack", "message": words, "observedGeneration": 1}
    moment = {"lastTransitionTime": "2026-11-21T12:00:00Z"}
    status = {"observedGeneration": 1, "conditions": [{"type": "Stalled", **problem, **moment}]}
    base = Live({**CREATED, "id": "earlier", "labels": {**CREATED["labels"], REFUSED: WANTED.attempt}})
    told = plan(subject(edge_spec(), status=status), Sight(WANTED, [base]), NOW)
    assert verdict(told) == ("Stalled", Reason.ROLLED_BACK, words)
    assert told.draft.fields["iot_edge"].stage is None


# What is read of twins and deployments.


def twin(device: str, *, online: bool = True, code: int = 200, lag: int = 0, **module: Any) -> dict[str, Any]:
    seen = {"version": WANTED.version, "runtimeStatus": "running", "restartCount": 0, **module}
    return {
        "deviceId": device,
        "connectionState": "Connected" if online else "Disconnected",
        "properties": {
            "desired": {"$version": 5},
            "reported": {
                "lastDesiredVersion": 5 - lag,
                "lastDesiredStatus": {"code": code, "description": "Could not pull"},
                "modules": {"iris": seen} if seen["version"] else {},
            },
        },
    }


TWINS = [
    twin("well"),
    twin("older", version="0" * 12),
    twin("away", online=False),
    twin("crashing", runtimeStatus="backoff", exitCode=3, statusDescription="exited"),
    twin("restless", restartCount=9),
    twin("pull", version=None, code=500),
    twin("busy", version=None, code=500, lag=1),
]


def test_twins_are_counted_like_queries() -> None:
    chosen = [*TWINS, {"deviceId": "untold"}]
    counts = counted(chosen, [*TWINS, twin("chosen-before")], WANTED)
    assert counts == Counts(targeted=8, applied=7, running=1, failed=3, offline=1)
    assert counts.out_of_date == 2
    assert [each["deviceId"] for each in TWINS if fails(each, WANTED)] == ["crashing", "restless", "pull"]


def test_a_device_that_fails_is_told_with_the_best_words_there_are() -> None:
    crashing, pull = failing_devices([TWINS[3], TWINS[5]], "iris")
    assert (crashing.runtime_status, crashing.exit_code, crashing.description) == ("backoff", 3, "exited")
    assert (pull.runtime_status, pull.exit_code, pull.description) == (None, None, "Could not pull")


def test_a_device_that_was_told_another_module_of_this_name_is_named() -> None:
    assert [each.device_id for each in overruled_devices(TWINS, WANTED)] == ["older"]


def test_ten_devices_are_named_and_no_more() -> None:
    many = [twin(f"d{number}", runtimeStatus="failed") for number in range(30)]
    assert len(failing_devices(many, "iris")) == 10
    assert len(untold_devices(many, [])) == 10


def test_a_deployment_that_lost_its_labels_is_known_by_its_id() -> None:
    bare = {**CREATED, "labels": {}}
    stranger = {**CREATED, "labels": {**CREATED["labels"], "berth-uid": "another"}}
    assert [live.id for live in own_deployments(OWNER, [bare])] == [WANTED.id]
    assert own_deployments(OWNER, [stranger, {"id": "base", "labels": None}]) == ()


def test_a_rival_is_who_claims_the_module_in_a_layer_or_a_base() -> None:
    layer = {
        "id": "layer",
        "content": {"modulesContent": {"$edgeAgent": {"properties.desired.modules.iris": {}}}},
    }
    base = {
        "id": "base",
        "content": {"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {"iris": {}}}}}},
    }
    other = {
        "id": "other",
        "content": {"modulesContent": {"$edgeAgent": {"properties.desired.modules.x": {}}}},
    }
    assert list(rivals(OWNER, "iris", [CREATED, layer, base, other, {"id": "adm", "content": None}])) == [
        "layer",
        "base",
    ]


def test_of_another_content_what_the_hub_counted_is_not_taken_for_this_one() -> None:
    results = {"results": {"berthRunning": 90, "berthFailed": 4, "berthOffline": 6}}
    system = {"results": {"targetedCount": 100, "appliedCount": 100}}
    live = Live({**CREATED, "systemMetrics": system, "metrics": results})
    assert live.counts_of(WANTED) == Counts(100, 100, 90, 4, 6, is_close=False)
    other = live.counts_of(desired(edge_spec(model={**edge_spec()["model"], "version": "9"})))
    assert other == Counts(100, 100, 0, 0, 6, is_close=False)
    assert other.out_of_date == 94

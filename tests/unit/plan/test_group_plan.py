"""What a pass over a container group begins, and when the next one comes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from container_groups import aci_spec, desired, shown
from deployments import subject

from berth.api.status import AciStatus
from berth.core.results import RequeueAfter
from berth.plan.container_group import Desired
from berth.plan.group_changes import Update, Way, update
from berth.plan.group_names import tags_of
from berth.plan.group_plan import Delete, Plan, Put, Sight, Start, Tag, plan
from berth.plan.group_quota import Ahead, Room, Usage
from berth.plan.group_slots import REFUSED, RETIRES
from berth.plan.group_status import Observation
from berth.plan.subject import Subject

NOW = datetime(2026, 11, 1, 12, 1, tzinfo=UTC)
WANTED = desired()
SUBJECT = subject(aci_spec(auth={"mode": "None"}))
READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 1}
SERVED = subject(
    aci_spec(auth={"mode": "None"}),
    status={
        "observedGeneration": 1,
        "conditions": [READY | {"lastTransitionTime": "2026-11-01T12:00:30Z"}],
    },
)


def running(wanted: Desired = WANTED, state: str = "Running", **tags: str) -> dict[str, Any]:
    group = shown(wanted, state)
    for container in group["properties"]["containers"]:
        container["properties"]["instanceView"] = {"currentState": {"state": "Running"}}
    return group | {"tags": tags_of(group) | tags}


def planned(
    group: dict[str, Any] | None, of: Subject = SERVED, *, strays: tuple[Any, ...] = (), **seen: Any
) -> Plan:
    change = update(WANTED, group) if group else Update(Way.NOTHING)
    return plan(of, Sight(WANTED, change, Observation(group, change.way, **seen), strays), NOW)


def room(used: int) -> Room:
    return Room("eastus", own=0, quota=None, groups=Usage(used, 5))


def test_what_is_not_there_is_made() -> None:
    assert planned(None, room=room(4)).steps == [Put(WANTED.name, WANTED.body)]


@pytest.mark.parametrize(("used", "ahead"), [(5, 0), (4, 1)])
def test_who_has_no_room_or_is_not_next_waits(used: int, ahead: int) -> None:
    waiting = planned(None, room=room(used), ahead=Ahead(in_region=ahead))
    assert waiting.steps == []
    assert waiting.result == RequeueAfter(30)


def test_what_is_as_it_is_wanted_is_looked_at_each_minute() -> None:
    settled = planned(running(), answers=True)
    assert settled.steps == []
    assert settled.result == RequeueAfter(60)
    assert settled.events == []


def test_tags_of_others_stay_where_the_group_is_tagged_anew() -> None:
    group = running(cost="7")
    group["tags"].pop("berth-generation")
    assert planned(group).steps == [Tag(WANTED.name, WANTED.tags | {"cost": "7"})]


def test_tags_of_others_stay_where_the_group_is_put_in_place() -> None:
    group = running(desired(aci_spec(env=[{"name": "A", "value": "b"}])), cost="7")
    (put,) = planned(group).steps
    assert isinstance(put, Put)
    assert put.body == WANTED.body | {"tags": WANTED.tags | {"cost": "7"}}


def test_what_has_to_be_made_anew_is_deleted_and_looked_at_soon() -> None:
    anew = planned(running(desired(aci_spec(resources={"requests": {"cpu": 2}}))))
    assert anew.steps == [Delete(WANTED.name)]
    assert anew.result == RequeueAfter(3)


def test_what_was_stopped_is_started_and_told() -> None:
    started = planned(running(state="Stopped"))
    assert started.steps == [Start(WANTED.name)]
    assert [event.reason for event in started.events] == ["GroupStopped"]


def other(**tags: str) -> dict[str, Any]:
    return running() | {"name": "other", "tags": tags}


def told(name: str) -> Subject:
    """Give a ModelDeployment whose callers know this group."""
    status = SERVED.status.model_copy(update={"aci": AciStatus(resource_id=f"/groups/{name}")})
    return SERVED.model_copy(update={"status": status})


def test_another_group_is_marked_and_goes() -> None:
    steps = planned(running(), told(WANTED.name), strays=(other(),), answers=True).steps
    assert steps == [Tag("other", {RETIRES: "2026-11-01T12:01:00+00:00"}), Delete("other")]


@pytest.mark.parametrize(("since", "is_over"), [("11:59", True), ("12:02", False)])
def test_who_was_replaced_stays_for_a_moment(since: str, is_over: bool) -> None:
    group = other(**{RETIRES: f"2026-11-01T{since}:00+00:00"})
    steps = planned(running(), told(WANTED.name), strays=(group,), answers=True).steps
    assert steps == ([Delete("other")] if is_over else [])


def test_nothing_goes_before_callers_know_where_to_go() -> None:
    assert planned(running(), told("other"), strays=(other(),), answers=True).steps == []


def test_what_was_refused_once_is_forgotten_when_it_is_wanted_no_more() -> None:
    assert planned(running(**{REFUSED: "x ImagePullFailed"})).steps == [Tag(WANTED.name, WANTED.tags)]


def test_a_group_that_served_and_is_gone_is_told() -> None:
    assert [event.reason for event in planned(None).events] == ["GroupMissing"]
    assert planned(None, SUBJECT).events == []

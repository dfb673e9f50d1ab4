"""What is seen of a Pod, as Azure shows it of a container group."""

from datetime import UTC, datetime
from typing import Any

from kubelet_pods import BACK_OFF, NOT_FOUND, waiting

from berth_sandbox.azure.backing import ContainerState, Observation, State
from berth_sandbox.azure.pods.view import log_lines, observation

Object = dict[str, Any]

STARTED, FINISHED = "2026-11-01T12:00:09Z", "2026-11-01T12:00:12Z"
START, FINISH = datetime(2026, 11, 1, 12, 0, 9, tzinfo=UTC), datetime(2026, 11, 1, 12, 0, 12, tzinfo=UTC)


def pod(scoring: Object, fetch: Object | None = None, **status: Any) -> Object:
    init = [{"name": "fetch", **fetch}] if fetch else []
    containers = [{"name": "scoring", "restartCount": 0, **scoring}]
    return {"status": {"initContainerStatuses": init, "containerStatuses": containers, **status}}


def running() -> Object:
    return {"state": {"running": {"startedAt": STARTED}}}


def ended(code: int, reason: str) -> Object:
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": STARTED, "finishedAt": FINISHED}}


def event(name: str, message: str, last: str = FINISHED, **fields: Any) -> Object:
    return {
        "reason": name,
        "message": message,
        "type": "Normal",
        "count": 1,
        "firstTimestamp": STARTED,
        "lastTimestamp": last,
        "involvedObject": {"fieldPath": "spec.containers{scoring}"},
        **fields,
    }


def of_pod(name: str, message: str, **fields: Any) -> Object:
    return event(name, message, involvedObject={}, **fields)


def test_a_pod_that_no_node_has_taken_shows_nothing() -> None:
    assert observation({"status": {"phase": "Pending"}}, []) == Observation()


def test_a_container_that_is_being_made_waits_without_a_word() -> None:
    seen = observation(pod(waiting("PodInitializing"), running()), [])
    assert seen.containers["scoring"].current_state == ContainerState(State.WAITING)
    assert seen.containers["scoring"].first_started is None
    assert seen.containers["fetch"].current_state == ContainerState(State.RUNNING, START)


def test_a_running_group_has_the_address_of_its_pod() -> None:
    seen = observation(pod(running(), podIP="10.0.0.7"), [])
    assert seen.address == "10.0.0.7"
    assert seen.containers["scoring"].first_started == START


def test_a_crash_is_told_with_its_exit_code_and_how_often() -> None:
    crashing = waiting("CrashLoopBackOff", BACK_OFF) | {"lastState": ended(3, "Error"), "restartCount": 2}
    view = observation(pod(crashing), []).containers["scoring"]
    text = "CrashLoopBackOff: Back-off restarting failed container"
    assert view.current_state == ContainerState(State.WAITING, detail_status=text)
    assert view.previous_state == ContainerState(State.TERMINATED, START, FINISH, 3, "Error")
    assert (view.restart_count, view.first_started) == (2, START)


def test_a_container_without_memory_is_told_so() -> None:
    view = observation(pod({"state": ended(137, "OOMKilled")}), []).containers["scoring"]
    assert view.current_state == ContainerState(State.TERMINATED, START, FINISH, 137, "OOMKilled")


def test_earlier_starts_of_the_group_are_restarts() -> None:
    restarted = running() | {"restartCount": 1}
    assert observation(pod(restarted), [], restarts=2).containers["scoring"].restart_count == 3


def test_an_image_that_cannot_be_had_is_told_with_the_registrys_words() -> None:
    failed = event("Failed", f'Failed to pull image "scoring:1": {NOT_FOUND}', type="Warning")
    noise = event("Failed", "Error: ErrImagePull", type="Warning")
    view = observation(pod(waiting("ErrImagePull", NOT_FOUND)), [noise, failed]).containers["scoring"]
    assert view.current_state
    assert view.current_state.detail_status == f"ErrImagePull: {NOT_FOUND}"
    assert [(each.message, each.type) for each in view.events] == [(failed["message"], "Warning")]


def test_events_belong_to_their_container_in_the_order_of_their_times() -> None:
    events = [
        event("Started", "Started container scoring", "2026-11-01T12:00:20Z", count=2),
        event("Pulled", "Container image is there"),
        event("Pulled", "of another", involvedObject={"fieldPath": "spec.initContainers{fetch}"}),
    ]
    seen = observation(pod(running(), running()), events)
    assert [(each.name, each.count) for each in seen.containers["scoring"].events] == [
        ("Pulled", 1),
        ("Started", 2),
    ]
    assert [each.message for each in seen.containers["fetch"].events] == ["of another"]


def test_a_back_off_does_not_speak_of_pods() -> None:
    text = "Back-off restarting failed container scoring in pod iris-5eed_groups(0a1b)"
    (told,) = observation(pod(running()), [event("BackOff", text)]).containers["scoring"].events
    assert told.message == "Back-off restarting failed container"


def test_the_group_tells_what_goes_wrong_with_it_alone() -> None:
    scheduled = of_pod("Scheduled", "Successfully assigned iris to a node")
    mount = of_pod("FailedMount", 'secret "model" not found', type="Warning")
    seen = observation(pod(running()), [scheduled, mount])
    assert [(each.name, each.message) for each in seen.events] == [("FailedMount", mount["message"])]
    assert seen.containers["scoring"].events == ()


def test_an_event_of_the_scheduler_has_other_times() -> None:
    told = of_pod(
        "FailedScheduling", "0/1 nodes are available", type="Warning", count=None, eventTime=STARTED
    )
    (seen,) = observation(pod(running()), [told | {"firstTimestamp": None, "lastTimestamp": None}]).events
    assert (seen.first, seen.last, seen.count) == (START, START, 1)


def test_the_lines_of_a_log_have_times_to_the_nanosecond() -> None:
    first, empty = log_lines(f"{STARTED[:-1]}.123456789Z loading the model\n{FINISHED} \n")
    assert (first.time, first.text) == (START.replace(microsecond=123456), "loading the model")
    assert (empty.time, empty.text) == (FINISH, "")

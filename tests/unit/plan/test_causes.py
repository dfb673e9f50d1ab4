import json
from typing import Any

import pytest
from kubelet_pods import (
    IMAGE,
    NOT_FOUND,
    UNSCHEDULABLE,
    crash_loop,
    pod,
    running,
    terminated,
    unscheduled,
    waiting,
)

from berth.plan.causes import Cause, cause_from_events, fetched, first_cause, model_failed, starting_pod

PULL_FAILED = Cause("ImagePullFailed", f"Image {IMAGE} cannot be pulled: {NOT_FOUND}")


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        pytest.param(pod(waiting("ErrImagePull", NOT_FOUND)), PULL_FAILED, id="pull failed"),
        pytest.param(
            pod(waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {NOT_FOUND}')),
            PULL_FAILED,
            id="pull backs off",
        ),
        pytest.param(
            pod(waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"')),
            Cause("ImagePullFailed", f"Image {IMAGE} cannot be pulled"),
            id="pull backs off, old kubelet",
        ),
        pytest.param(
            pod(waiting("CreateContainerConfigError", 'secret "settings" not found')),
            Cause("CreateContainerConfigError", 'Container scoring: secret "settings" not found'),
            id="missing secret",
        ),
        pytest.param(
            pod(waiting("RunContainerError", "exec: no such file")),
            Cause("RunContainerError", "Container scoring: exec: no such file"),
            id="no entry point",
        ),
        pytest.param(
            pod(crash_loop(3, "ScriptInitFailed: Traceback\n  File score.py\nKeyError: 'model'\n")),
            Cause("ScriptInitFailed", "Traceback\n  File score.py\nKeyError: 'model'"),
            id="script fails",
        ),
        pytest.param(
            pod(fetch=crash_loop(1, "ModelFetchFailed: https://example.org/iris.onnx answers 404")),
            Cause("ModelFetchFailed", "https://example.org/iris.onnx answers 404"),
            id="fetch fails",
        ),
        pytest.param(
            pod(fetch=terminated(1, "ModelDigestMismatch: expected a, got b.")),
            Cause("ModelDigestMismatch", "expected a, got b"),
            id="fetch failed just now",
        ),
        pytest.param(
            pod(crash_loop(137, reason="OOMKilled")),
            Cause(
                "OutOfMemory",
                "Container scoring used more memory than it may: raise spec.resources.limits.memory",
            ),
            id="out of memory",
        ),
        pytest.param(
            pod(crash_loop(139)),
            Cause("ContainerFailed", "Container scoring ended with exit code 139"),
            id="no last words",
        ),
        pytest.param(
            pod(crash_loop(1, "INFO: started\nERROR: port in use")),
            Cause(
                "ContainerFailed",
                "Container scoring ended with exit code 1; its last words: INFO: started\nERROR: port in use",
            ),
            id="words of another image",
        ),
        pytest.param(
            pod(crash_loop(0)),
            Cause("ContainerFailed", "Container scoring ended with exit code 0"),
            id="ends at once without failing",
        ),
        pytest.param(unscheduled(), Cause("Unschedulable", UNSCHEDULABLE.rstrip(".")), id="unschedulable"),
        pytest.param(pod(), None, id="initialising"),
        pytest.param(pod(waiting("ContainerCreating")), None, id="creating"),
        pytest.param(pod(running()), None, id="runs"),
        pytest.param({"metadata": {"name": "iris-1"}}, None, id="without status"),
    ],
)
def test_a_pod_tells_its_cause(seen: dict[str, Any], cause: Cause | None) -> None:
    assert first_cause([seen]) == cause


def test_a_cause_stays_while_the_container_starts_again() -> None:
    ended = {"lastState": terminated(3, "ModelLoadFailed: no such tensor")["state"]}
    states = [
        terminated(3, "ModelLoadFailed: no such tensor"),
        crash_loop(3, "ModelLoadFailed: no such tensor"),
        running(ready=False) | ended,
    ]
    assert {first_cause([pod(state)]) for state in states} == {Cause("ModelLoadFailed", "no such tensor")}


def test_a_container_that_recovered_has_no_cause() -> None:
    assert first_cause([pod(running() | {"lastState": terminated(137)["state"]})]) is None


def test_the_newest_pod_is_heard_first() -> None:
    older = pod(crash_loop(1, "ModelFetchFailed: old"), created="2026-11-01T12:00:00Z")
    newer = pod(crash_loop(1, "ModelFetchFailed: new"), created="2026-11-01T12:00:01Z")
    assert first_cause([older, newer]) == Cause("ModelFetchFailed", "new")


def test_a_pod_that_is_being_deleted_is_not_heard() -> None:
    assert first_cause([pod(crash_loop(1), deletionTimestamp="2026-11-01T12:01:00Z")]) is None


def test_the_init_container_is_heard_before_the_one_that_waits_for_it() -> None:
    both = pod(waiting("ErrImagePull", NOT_FOUND), fetch=crash_loop(1, "CodeFetchFailed: x"))
    assert first_cause([both]) == Cause("CodeFetchFailed", "x")


def test_long_last_words_keep_their_end() -> None:
    cause = first_cause([pod(crash_loop(3, "ScriptInitFailed: " + "x" * 4000 + "ValueError: here"))])
    assert cause is not None
    assert cause.message.endswith("ValueError: here")
    assert len(cause.message) <= 801


@pytest.mark.parametrize(
    ("reason", "final"),
    [
        ("ModelDigestMismatch", True),
        ("InvalidImageName", True),
        ("ModelFetchFailed", False),
        ("Evicted", False),
    ],
)
def test_waiting_helps_against_some_causes(reason: str, final: bool) -> None:
    assert Cause(reason, "").is_final is final


@pytest.mark.parametrize(
    ("reason", "of_the_model"),
    [
        ("ModelLoadFailed", True),
        ("ScriptInitFailed", True),
        ("CodeFetchFailed", True),
        ("ImagePullFailed", False),
    ],
)
def test_causes_of_the_model_are_told_from_those_of_the_endpoint(reason: str, of_the_model: bool) -> None:
    assert model_failed(Cause(reason, "")) is of_the_model


REPORT = json.dumps({"models": [{"name": "iris", "version": "3", "digest": "sha256:ab"}], "code": None})


def test_the_digests_are_those_of_the_newest_fetch_that_ended_well() -> None:
    older = pod(fetch=terminated(0, REPORT.replace("ab", "cd")), created="2026-11-01T12:00:00Z")
    newer = pod(fetch=terminated(0, REPORT), created="2026-11-01T12:00:01Z")
    failing = pod(fetch=crash_loop(1), created="2026-11-01T12:00:02Z")
    found = fetched([older, failing, newer])
    assert found is not None
    assert found.digests == {"iris": "sha256:ab"}


@pytest.mark.parametrize("message", ["", "done", "[]", "{}", '{"models": [{}]}', '{"models": [3]}'])
def test_a_fetch_that_reports_nothing_readable_is_no_report(message: str) -> None:
    assert fetched([pod(fetch=terminated(0, message))]) is None


def test_the_newest_pod_that_starts_is_asked_for_its_events() -> None:
    starting = pod(waiting("ContainerCreating"), uid="pod-2", created="2026-11-01T12:00:09Z")
    found = starting_pod([pod(running()), starting])
    assert found is not None
    assert found["metadata"]["uid"] == "pod-2"
    assert starting_pod([pod(running())]) is None


def test_the_newest_warning_is_the_cause() -> None:
    mount = 'MountVolume.SetUp failed for volume "model-0": configmap "iris" not found'
    events = [
        {
            "type": "Normal",
            "reason": "Scheduled",
            "message": "assigned",
            "lastTimestamp": "2026-11-01T12:00:09Z",
        },
        {
            "type": "Warning",
            "reason": "FailedMount",
            "message": mount,
            "lastTimestamp": "2026-11-01T12:00:08Z",
        },
        {"type": "Warning", "reason": "Old", "message": "old", "eventTime": "2026-11-01T12:00:01.000000Z"},
        {"type": "Warning", "reason": "Timeless", "message": "x", "lastTimestamp": None, "eventTime": None},
    ]
    assert cause_from_events(events) == Cause("FailedMount", mount)
    assert cause_from_events(events[:1]) is None

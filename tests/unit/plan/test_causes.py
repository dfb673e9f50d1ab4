import json
import re
from pathlib import Path
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

import berth_scoring
from berth.api.conditions import Reason
from berth.plan.causes import (
    TOLD_BY_CONTAINERS,
    Cause,
    cause_from_events,
    fetched,
    first_cause,
    model_failed,
    starting_pod,
)
from berth_scoring.fetch.errors import FetchError

PULL_FAILED = Cause(Reason.IMAGE_PULL_FAILED, f"Image {IMAGE} cannot be pulled: {NOT_FOUND}")


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
            Cause(Reason.IMAGE_PULL_FAILED, f"Image {IMAGE} cannot be pulled"),
            id="pull backs off, old kubelet",
        ),
        pytest.param(
            pod(waiting("CreateContainerConfigError", 'secret "settings" not found')),
            Cause(
                Reason.CONTAINER_CONFIG_FAILED,
                'Container scoring: CreateContainerConfigError: secret "settings" not found',
            ),
            id="missing secret",
        ),
        pytest.param(
            pod(waiting("RunContainerError", "exec: no such file")),
            Cause(Reason.CONTAINER_FAILED, "Container scoring: RunContainerError: exec: no such file"),
            id="no entry point",
        ),
        pytest.param(
            pod(waiting("SomeNewWord")),
            Cause(Reason.CONTAINER_FAILED, "Container scoring: SomeNewWord"),
            id="a word of a later Kubernetes",
        ),
        pytest.param(
            pod(waiting("InvalidImageName", "couldn't parse image name")),
            Cause(
                Reason.INVALID_IMAGE_NAME, "Container scoring: InvalidImageName: couldn't parse image name"
            ),
            id="no image has this name",
        ),
        pytest.param(
            pod(waiting("ErrImageNeverPull", "it is not present with pull policy of Never")),
            Cause(
                Reason.IMAGE_PULL_FAILED,
                f"Image {IMAGE} cannot be pulled: it is not present with pull policy of Never",
            ),
            id="never pulled",
        ),
        pytest.param(
            pod(crash_loop(3, "ScriptInitFailed: Traceback\n  File score.py\nKeyError: 'model'\n")),
            Cause(Reason.SCRIPT_INIT_FAILED, "Traceback\n  File score.py\nKeyError: 'model'"),
            id="script fails",
        ),
        pytest.param(
            pod(fetch=crash_loop(1, "ModelFetchFailed: https://example.org/iris.onnx answers 404")),
            Cause(Reason.MODEL_FETCH_FAILED, "https://example.org/iris.onnx answers 404"),
            id="fetch fails",
        ),
        pytest.param(
            pod(fetch=terminated(1, "ModelDigestMismatch: expected a, got b.")),
            Cause(Reason.MODEL_DIGEST_MISMATCH, "expected a, got b"),
            id="fetch failed just now",
        ),
        pytest.param(
            pod(crash_loop(137, reason="OOMKilled")),
            Cause(
                Reason.OUT_OF_MEMORY,
                "Container scoring used more memory than it may: raise spec.resources.limits.memory",
            ),
            id="out of memory",
        ),
        pytest.param(
            pod(crash_loop(139)),
            Cause(Reason.CONTAINER_FAILED, "Container scoring ended with exit code 139"),
            id="no last words",
        ),
        pytest.param(
            pod(crash_loop(1, "INFO: started\nERROR: port in use")),
            Cause(
                Reason.CONTAINER_FAILED,
                "Container scoring ended with exit code 1; its last words: INFO: started\nERROR: port in use",
            ),
            id="words of another image",
        ),
        pytest.param(
            pod(crash_loop(1, "Ready: not at all")),
            Cause(
                Reason.CONTAINER_FAILED,
                "Container scoring ended with exit code 1; its last words: Ready: not at all",
            ),
            id="another image cannot choose the reason",
        ),
        pytest.param(
            pod(crash_loop(0)),
            Cause(Reason.CONTAINER_FAILED, "Container scoring ended with exit code 0"),
            id="ends at once without failing",
        ),
        pytest.param(
            unscheduled(), Cause(Reason.UNSCHEDULABLE, UNSCHEDULABLE.rstrip(".")), id="unschedulable"
        ),
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
    assert {first_cause([pod(state)]) for state in states} == {
        Cause(Reason.MODEL_LOAD_FAILED, "no such tensor")
    }


def test_a_container_that_recovered_has_no_cause() -> None:
    assert first_cause([pod(running() | {"lastState": terminated(137)["state"]})]) is None


def test_the_newest_pod_is_heard_first() -> None:
    older = pod(crash_loop(1, "ModelFetchFailed: old"), created="2026-11-01T12:00:00Z")
    newer = pod(crash_loop(1, "ModelFetchFailed: new"), created="2026-11-01T12:00:01Z")
    assert first_cause([older, newer]) == Cause(Reason.MODEL_FETCH_FAILED, "new")


def test_a_node_that_refuses_a_pod_is_told_while_no_newer_pod_is_there() -> None:
    message = "Pod was rejected: Allocate failed due to rpc error: device busy, which is unexpected"
    failed = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": message}
    refused = {
        "metadata": {"name": "iris-1", "creationTimestamp": "2026-11-01T12:00:00Z"},
        "status": failed,
    }
    assert first_cause([refused]) == Cause(Reason.POD_PENDING, f"UnexpectedAdmissionError: {message}")
    assert first_cause([refused, pod(running(), created="2026-11-01T12:01:00Z")]) is None


def test_a_pod_that_is_being_deleted_is_not_heard() -> None:
    assert first_cause([pod(crash_loop(1), deletionTimestamp="2026-11-01T12:01:00Z")]) is None


def test_the_init_container_is_heard_before_the_one_that_waits_for_it() -> None:
    both = pod(waiting("ErrImagePull", NOT_FOUND), fetch=crash_loop(1, "CodeFetchFailed: x"))
    assert first_cause([both]) == Cause(Reason.CODE_FETCH_FAILED, "x")


def test_long_last_words_keep_their_end() -> None:
    cause = first_cause([pod(crash_loop(3, "ScriptInitFailed: " + "x" * 4000 + "ValueError: here"))])
    assert cause is not None
    assert cause.message.endswith("ValueError: here")
    assert len(cause.message) <= 801


@pytest.mark.parametrize(
    ("reason", "final"),
    [
        (Reason.MODEL_DIGEST_MISMATCH, True),
        (Reason.INVALID_IMAGE_NAME, True),
        (Reason.MODEL_FETCH_FAILED, False),
        (Reason.CONTAINER_FAILED, False),
    ],
)
def test_waiting_helps_against_some_causes(reason: Reason, final: bool) -> None:
    assert Cause(reason, "").is_final is final


@pytest.mark.parametrize(
    ("reason", "of_the_model"),
    [
        (Reason.MODEL_LOAD_FAILED, True),
        (Reason.SCRIPT_INIT_FAILED, True),
        (Reason.CODE_FETCH_FAILED, True),
        (Reason.IMAGE_PULL_FAILED, False),
    ],
)
def test_causes_of_the_model_are_told_from_those_of_the_endpoint(reason: Reason, of_the_model: bool) -> None:
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
    assert cause_from_events(events) == Cause(Reason.VOLUME_FAILED, f"FailedMount: {mount}")
    assert cause_from_events(events[:1]) is None


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("FailedAttachVolume", Reason.VOLUME_FAILED),
        ("FailedScheduling", Reason.UNSCHEDULABLE),
        ("FailedCreatePodSandBox", Reason.POD_PENDING),
    ],
)
def test_a_warning_has_one_of_our_reasons_and_keeps_its_own_word(word: str, reason: Reason) -> None:
    assert cause_from_events([{"type": "Warning", "reason": word, "message": "x"}]) == Cause(
        reason, f"{word}: x"
    )


def test_every_reason_that_the_scoring_containers_tell_is_known() -> None:
    names = ("startup.py", "serve.py", "tls.py", "privileges.py", "fetch/command.py")
    names += ("fpga/assembly.py", "fpga/device.py")
    written = "".join((Path(berth_scoring.__file__).parent / name).read_text() for name in names)
    told = re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)+)(?:: |",|"\))', written)
    ends = [each.cause for each in (FetchError, *FetchError.__subclasses__())]
    fetched = [f"{kind}{end}" for kind in ("Model", "Code") for end in ends]
    assert {*told, *fetched} == TOLD_BY_CONTAINERS

"""Why a container group does not serve, as GET and the logs tell it."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from azure_specs import DESCRIPTIONS, MISSING, examples, recording
from container_groups import desired, shown
from hypothesis import given
from hypothesis import strategies as st

from berth.api.conditions import Reason
from berth.plan.group_causes import fetched, first_cause, telling

DIGEST = f"sha256:{'0a' * 32}"
RUNNING = {"state": "Running", "startTime": "2026-11-01T12:00:40Z", "detailStatus": ""}
WAITING = {"state": "Waiting", "detailStatus": ""}
DONE = {"state": "Terminated", "exitCode": 0, "detailStatus": "Completed"}
BACK_OFF = {"state": "Waiting", "detailStatus": "CrashLoopBackOff: Back-off restarting failed"}

View = dict[str, Any]


def ended(code: int, detail: str = "Error") -> View:
    return {"state": "Terminated", "exitCode": code, "detailStatus": detail}


def event(name: str, message: str, second: int = 0, kind: str = "Normal") -> View:
    time = f"2026-11-01T12:00:{second:02}Z"
    return {
        "count": 1,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "name": name,
        "message": message,
        "type": kind,
    }


def view(current: View, previous: View | None = None, events: list[View] | None = None) -> View:
    seen = {"restartCount": 0, "currentState": current, "events": events or []}
    return seen | ({"previousState": previous} if previous else {})


def group(scoring: View, fetch: View | None = None, events: list[View] | None = None) -> dict[str, Any]:
    there = shown(desired())
    properties = there["properties"]
    properties["containers"][0]["properties"]["instanceView"] = scoring
    properties["initContainers"][0]["properties"]["instanceView"] = fetch or view(DONE)
    properties["instanceView"]["events"] = events or []
    return there


def cause(there: dict[str, Any], **logs: str) -> tuple[Reason, str] | None:
    found = first_cause(there, logs)
    return (found.reason, found.message) if found else None


def test_what_runs_has_no_cause() -> None:
    assert cause(group(view(RUNNING))) is None


def test_what_waits_without_a_word_has_no_cause() -> None:
    assert cause(group(view(WAITING), view(RUNNING))) is None


@pytest.mark.parametrize("scoring", [view(ended(3)), view(BACK_OFF, ended(3)), view(RUNNING, ended(3))])
def test_the_scoring_server_tells_why_it_ended(scoring: View) -> None:
    log = "loading\nValueError: no\nScriptInitFailed: ValueError: no\nTraceback ...\n  in init\n"
    assert cause(group(scoring), scoring=log) == (
        Reason.SCRIPT_INIT_FAILED,
        "ValueError: no\nTraceback ...\n  in init",
    )


def test_the_last_word_counts() -> None:
    log = "ModelLoadFailed: at first\nModelLoadFailed: at last\n"
    assert cause(group(view(ended(3))), scoring=log) == (Reason.MODEL_LOAD_FAILED, "at last")


def test_the_fetch_container_goes_first() -> None:
    there = group(view(WAITING), view(ended(1)))
    log = "fetched model a:1 in 0.1 s, x\nModelFetchFailed: model iris:3: https://a.test/m: HTTP 404\n"
    assert cause(there, fetch=log, scoring="ScriptInitFailed: old") == (
        Reason.MODEL_FETCH_FAILED,
        "model iris:3: https://a.test/m: HTTP 404",
    )
    assert [each.name for each in telling(there)] == ["fetch"]


def test_an_unknown_end_is_told_with_its_last_lines() -> None:
    log = "".join(f"line {number}\n" for number in range(9))
    assert cause(group(view(ended(2))), scoring=log) == (
        Reason.CONTAINER_FAILED,
        "Container scoring ended with exit code 2; its last words: line 4\nline 5\nline 6\nline 7\nline 8",
    )
    assert cause(group(view(ended(2)))) == (
        Reason.CONTAINER_FAILED,
        "Container scoring ended with exit code 2",
    )


@pytest.mark.parametrize("state", [ended(137), ended(137, "OOMKilled"), ended(1, "OOMKilled")])
def test_a_model_too_large_for_memory(state: View) -> None:
    found = cause(group(view(BACK_OFF, state)), scoring="loading\n")
    assert found
    assert found[0] is Reason.OUT_OF_MEMORY
    assert "raise spec.resources.requests.memory" in found[1]


def test_a_container_that_azure_ended_did_not_run_out_of_memory() -> None:
    killed = view(RUNNING, ended(137), [event("Killing", "Container scoring failed liveness probe")])
    assert cause(group(killed)) == (Reason.CONTAINER_FAILED, "Container scoring ended with exit code 137")


PULL = 'Failed to pull image "registry.test/berth-scoring:1": unauthorized'


def test_an_image_that_cannot_be_pulled() -> None:
    waiting = view(
        {"state": "Waiting", "detailStatus": "ImagePullBackOff"},
        events=[
            event("Pulling", "pulling image", 1),
            event("BackOff", 'Back-off pulling image "registry.test/berth-scoring:1"', 3, "Warning"),
            event("Failed", PULL, 2, "Warning"),
        ],
    )
    assert cause(group(waiting)) == (
        Reason.IMAGE_PULL_FAILED,
        f"Image registry.test/berth-scoring:1 cannot be pulled: {PULL}",
    )


def test_a_pull_that_failed_and_then_succeeded_is_over() -> None:
    events = [event("Failed", PULL, 1, "Warning"), event("Pulled", "Successfully pulled image", 9)]
    assert cause(group(view(WAITING, events=events))) is None


def test_a_volume_that_cannot_be_mounted_is_told_by_the_group() -> None:
    there = group(view(WAITING), events=[event("FailedMount", "Output: mount error(2): Permission denied")])
    assert cause(there) == (Reason.VOLUME_FAILED, "FailedMount: Output: mount error(2): Permission denied")


@pytest.mark.parametrize("of_fetch", [True, False], ids=["fetch", "scoring"])
def test_a_volume_that_was_mounted_late_is_over_once_a_container_has_started(of_fetch: bool) -> None:
    mount = event("FailedMount", "failed to sync secret cache", 5)
    started, pending = view(RUNNING, events=[event("Started", "Started container", 5)]), view(WAITING)
    views = (pending, started) if of_fetch else (started, view(DONE))
    assert cause(group(*views, events=[mount])) is None
    later = event("FailedMount", "no such share", 6)
    told = cause(group(*views, events=[mount, later]))
    assert told == (Reason.VOLUME_FAILED, "FailedMount: no such share")


@pytest.mark.skipif(not DESCRIPTIONS.exists(), reason=MISSING)
def test_the_official_failure_is_told() -> None:
    there = examples()["ContainerGroupsGet_Failed"].answers[200]
    assert cause(there) == (Reason.VOLUME_FAILED, "FailedMount: Output: mount error(2): Permission denied")


@pytest.mark.skipif(not DESCRIPTIONS.exists(), reason=MISSING)
def test_nothing_in_the_recorded_session_is_a_cause() -> None:
    groups = [each["responseBody"] for each in recording() if "properties" in (each["responseBody"] or {})]
    seen = [each for each in groups if "containers" in each["properties"]]
    assert len(seen) == 3
    assert [first_cause(each, {}) for each in seen] == [None] * 3


def test_what_was_fetched_is_read_once_it_is_whole() -> None:
    log = f"fetched model iris:3 in 1.2 s, {DIGEST}\nfetched code in 0.1 s, {DIGEST}\n"
    found = fetched(group(view(RUNNING)), {"fetch": log})
    assert found
    assert found.digests == {"iris": DIGEST}
    assert fetched(group(view(WAITING), view(ended(1))), {"fetch": log}) is None
    assert fetched(group(view(RUNNING)), {}) is None


def test_the_fetch_containers_own_words_are_understood(tmp_path: Path) -> None:
    """Azure shows no termination message, so what `berth-scoring fetch` logs is what the operator reads."""
    (tmp_path / "model.onnx").write_bytes(b"model")
    pinned = {"name": "iris", "version": "3", "uri": f"file://{tmp_path}/model.onnx", "format": "onnx"}
    found = fetched(group(view(RUNNING)), {"fetch": log_of_fetch(tmp_path, pinned)})
    assert found
    assert found.digests == {"iris": f"sha256:{sha256(b'model').hexdigest()}"}
    failing = group(view(WAITING), view(ended(1)))
    told = cause(failing, fetch=log_of_fetch(tmp_path, pinned | {"sha256": "0a" * 32}))
    assert told
    assert told[0] is Reason.MODEL_DIGEST_MISMATCH
    assert "iris:3" in told[1]


def log_of_fetch(folder: Path, model: dict[str, Any]) -> str:
    """Run the real fetch and give what it logged."""
    config = json.dumps({"name": "iris", "namespace": "demo", "target": "ACI", "models": [model]})
    environment = {
        "BERTH_SCORING_CONFIG": config,
        "BERTH_APP_ROOT": str(folder / "app"),
        "BERTH_TERMINATION_LOG": str(folder / "log"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "berth_scoring", "fetch"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def test_the_logs_of_what_runs_are_not_asked_for() -> None:
    assert telling(group(view(RUNNING))) == []
    assert [each.name for each in telling(group(view(BACK_OFF, ended(1))))] == ["scoring"]


states = st.sampled_from([RUNNING, WAITING, DONE, BACK_OFF, ended(1), ended(137), {}])
events = st.lists(
    st.builds(
        event,
        st.sampled_from(["Failed", "BackOff", "FailedMount", "Pulled", "Started", "Killing", "Other"]),
        st.text(max_size=20),
        st.integers(0, 59),
    ),
    max_size=4,
)


@given(st.builds(view, states, st.none() | states, events), st.builds(view, states), events, st.text())
def test_whatever_azure_shows_a_cause_has_a_reason_and_words(
    scoring: View, fetch: View, of_group: list[View], log: str
) -> None:
    found = first_cause(group(scoring, fetch, of_group), {"scoring": log, "fetch": log})
    assert found is None or (found.reason in Reason and found.message)

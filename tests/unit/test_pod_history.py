"""The judge of rollouts on exclusive devices is not blind."""

import json
from pathlib import Path
from typing import Any

import pytest
from pod_history import PodHistory, overlaps

FIRST, SECOND = "2026-11-01T12:00:00Z", "2026-11-01T12:00:09Z"


def event(name: str, *, ready: bool, ended: str = "", kind: str = "MODIFIED", start: str = FIRST) -> str:
    times = {"startedAt": start} | ({"finishedAt": ended} if ended else {})
    state: Any = {"terminated" if ended else "running": times}
    pod = {
        "metadata": {"name": name, "uid": name},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"state": state}],
        },
    }
    return json.dumps({"type": kind, "object": pod}, indent=4)


def history(folder: Path, *events: str) -> PodHistory:
    (folder / "log").write_text("\n".join(events))
    return PodHistory(folder / "log")


@pytest.mark.parametrize(
    ("ended", "shared"),
    [(SECOND, []), ("2026-11-01T12:00:10Z", ["acl0"]), ("", ["acl0"])],
    ids=["before the other starts", "after it", "never"],
)
def test_two_containers_on_one_device_are_seen(tmp_path: Path, ended: str, shared: list[str]) -> None:
    told = history(
        tmp_path,
        event("a", ready=True),
        event("a", ready=False, ended=ended),
        event("b", ready=True, start=SECOND),
    )
    assert overlaps(told.runs(), {"a": "acl0", "b": "acl0"}) == shared
    assert overlaps(told.runs(), {"a": "acl0", "b": "acl1"}) == []


def test_the_moment_with_the_fewest_ready_pods_counts_once_all_are_known(tmp_path: Path) -> None:
    both = [event(name, ready=True, kind="ADDED") for name in "ab"]
    gone = [event(name, ready=True, kind="DELETED") for name in "ab"]
    assert history(tmp_path, *both).fewest_ready() == 2
    assert history(tmp_path, *both, gone[0]).fewest_ready() == 1
    assert history(tmp_path, *both, *gone, *both).fewest_ready() == 0


def test_an_event_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    whole = event("a", ready=True)
    assert len(list(history(tmp_path, whole, whole[:40]).events())) == 1

"""Pods with the statuses that a kubelet and the scheduler of Kubernetes 1.34 write, word by word."""

from typing import Any

Object = dict[str, Any]

IMAGE = "registry.test/berth-scoring:1"
NOT_FOUND = (
    'rpc error: code = NotFound desc = failed to pull and unpack image "registry.test/berth-scoring:1": '
    'failed to resolve reference "registry.test/berth-scoring:1": registry.test/berth-scoring:1: not found'
)
BACK_OFF = "back-off 20s restarting failed container=scoring pod=iris-6d5f-x2x_demo(0a1b)"
UNSCHEDULABLE = (
    "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: true}. "
    "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod."
)


def pod(
    scoring: Object | None = None,
    fetch: Object | None = None,
    *,
    created: str = "2026-11-01T12:00:05Z",
    conditions: tuple[Object, ...] = (),
    **metadata: Any,
) -> Object:
    """Give a Pod whose containers are in these states."""
    status = {
        "initContainerStatuses": [_status("fetch", fetch or terminated(0), ready=fetch is None)],
        "containerStatuses": [_status("scoring", scoring or waiting("PodInitializing"))],
        "conditions": list(conditions),
    }
    return {
        "metadata": {"name": "iris-1", "uid": "pod-1", "creationTimestamp": created} | metadata,
        "status": status,
    }


def unscheduled() -> Object:
    """Give a Pod that no node takes."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": UNSCHEDULABLE,
    }
    return {
        "metadata": {"name": "iris-1", "uid": "pod-1"},
        "status": {"phase": "Pending", "conditions": [condition]},
    }


def waiting(reason: str, message: str = "") -> Object:
    """Give the state of a container that waits."""
    return {"state": {"waiting": {"reason": reason} | ({"message": message} if message else {})}}


def running(*, ready: bool = True) -> Object:
    """Give the state of a container that runs."""
    return {"state": {"running": {"startedAt": "2026-11-01T12:00:09Z"}}, "ready": ready}


def terminated(code: int, message: str = "", reason: str = "") -> Object:
    """Give the state of a container that ended."""
    told = {"exitCode": code, "reason": reason or ("Completed" if code == 0 else "Error")}
    return {"state": {"terminated": told | ({"message": message} if message else {})}}


def crash_loop(code: int, message: str = "", reason: str = "") -> Object:
    """Give the state of a container that ended and waits for its next start."""
    last = terminated(code, message, reason)["state"]
    return {**waiting("CrashLoopBackOff", BACK_OFF), "lastState": last, "restartCount": 3}


def _status(name: str, state: Object, *, ready: bool = False) -> Object:
    return {"name": name, "image": IMAGE, "lastState": {}, "ready": ready, "restartCount": 0} | state

"""What Pods tell: why a rollout waits or fails, in words for the user, and what the fetch container found."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

FETCH_CONTAINER = "fetch"
SCORING_CONTAINER = "scoring"

_MESSAGE_LIMIT = 800
_REASON_LINE = re.compile(r"^((?:Model|Code|Weights|Script|Keys|Port)[A-Z][A-Za-z]{2,60}): (.+)$", re.DOTALL)
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})
_PULL_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff"})
_WITHOUT_REMEDY_BY_WAITING = frozenset(
    {
        "ErrImageNeverPull",
        "InvalidImageName",
        "ModelArchiveUnsafe",
        "ModelDigestMismatch",
        "CodeDigestMismatch",
    }
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a container does not run: a CamelCase reason and a message that stays while the cause does."""

    reason: str
    message: str

    @property
    def is_final(self) -> bool:
        """Tell whether waiting cannot help."""
        return self.reason in _WITHOUT_REMEDY_BY_WAITING


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the fetch container found, as it wrote it when it ended well."""

    digests: Mapping[str, str]
    """`sha256:...` by model name."""


def first_cause(pods: Sequence[Mapping[str, Any]]) -> Cause | None:
    """Return the first real cause among the Pods that do not run, the newest Pod first."""
    for pod in newest_first(pods):
        for cause in _causes_of(pod):
            return cause
    return None


def fetched(pods: Sequence[Mapping[str, Any]]) -> Fetched | None:
    """Return what the newest finished fetch reported."""
    for pod in newest_first(pods):
        for status in _statuses(pod, "initContainerStatuses"):
            terminated = status.get("state", {}).get("terminated")
            if status["name"] == FETCH_CONTAINER and terminated and terminated.get("exitCode") == 0:
                return _parse_fetched(terminated.get("message", ""))
    return None


def model_failed(cause: Cause) -> bool:
    """Tell whether the model itself could not be had or loaded, rather than the endpoint not run."""
    return cause.reason.startswith(("Model", "Code", "Script"))


def starting_pod(pods: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the newest Pod whose containers are still being made: its Events tell what it waits for."""
    for pod in newest_first(pods):
        for status in _all_statuses(pod):
            if status.get("state", {}).get("waiting", {}).get("reason") in _STARTING:
                return pod
    return None


def cause_from_events(events: Sequence[Mapping[str, Any]]) -> Cause | None:
    """Return the newest warning that the node or the scheduler gave about a Pod."""
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return None
    newest = max(warnings, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return Cause(newest.get("reason", "PodStarting"), _shorten(newest.get("message", "")))


def newest_first(pods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the Pods that are not being deleted, the newest first."""
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return sorted(alive, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)


def _causes_of(pod: Mapping[str, Any]) -> Iterator[Cause]:
    for status in _all_statuses(pod):
        cause = _container_cause(status)
        if cause is not None:
            yield cause
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield Cause(condition.get("reason", "Unschedulable"), _shorten(condition.get("message", "")))


def _container_cause(status: Mapping[str, Any]) -> Cause | None:
    state = status.get("state", {})
    terminated = state.get("terminated") or status.get("lastState", {}).get("terminated")
    waiting = state.get("waiting", {})
    reason = waiting.get("reason", "")
    if reason in _PULL_REASONS:
        return Cause("ImagePullFailed", _pull_message(status.get("image", ""), waiting.get("message", "")))
    if reason and reason not in _STARTING and reason != "CrashLoopBackOff":
        return Cause(reason, _shorten(f"Container {status['name']}: {waiting.get('message', reason)}"))
    failed = terminated and (terminated.get("exitCode", 0) != 0 or reason == "CrashLoopBackOff")
    if failed and not status.get("ready"):
        return _terminated_cause(status["name"], terminated)
    return None


def _terminated_cause(container: str, terminated: Mapping[str, Any]) -> Cause:
    message = terminated.get("message", "").strip()
    if terminated.get("reason") == "OOMKilled":
        return Cause(
            "OutOfMemory",
            f"Container {container} used more memory than it may: raise spec.resources.limits.memory",
        )
    told = _REASON_LINE.match(message)
    if told:
        return Cause(told[1], _shorten(told[2]))
    code = terminated.get("exitCode")
    ended = f"Container {container} ended with exit code {code}"
    return Cause("ContainerFailed", _shorten(f"{ended}; its last words: {message}" if message else ended))


def _pull_message(image: str, message: str) -> str:
    detail = message.rpartition("ErrImagePull: ")[2]
    if not detail or detail.startswith("Back-off"):
        return f"Image {image} cannot be pulled"
    return _shorten(f"Image {image} cannot be pulled: {detail}")


def _parse_fetched(message: str) -> Fetched | None:
    try:
        report = orjson.loads(message)
        return Fetched({model["name"]: model["digest"] for model in report["models"]})
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _all_statuses(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _statuses(pod, "initContainerStatuses")
    yield from _statuses(pod, "containerStatuses")


def _statuses(pod: Mapping[str, Any], kind: str) -> Sequence[Mapping[str, Any]]:
    statuses: Sequence[Mapping[str, Any]] = pod.get("status", {}).get(kind, ())
    return statuses


def _shorten(message: str) -> str:
    """Keep the end: an error's last lines say what it is."""
    text = message.strip().rstrip(".")
    return text if len(text) <= _MESSAGE_LIMIT else "…" + text[-_MESSAGE_LIMIT:]

"""What Pods tell: why a rollout waits or fails, in words for the user, and what the fetch container found."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from berth.api.conditions import Reason

FETCH_CONTAINER = "fetch"
SCORING_CONTAINER = "scoring"

_MESSAGE_LIMIT = 800
_REASON_LINE = re.compile(r"^([A-Z][A-Za-z]{2,60}): (.+)$", re.DOTALL)
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})
_PULL_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"})
_WAITING = {
    "InvalidImageName": Reason.INVALID_IMAGE_NAME,
    "CreateContainerConfigError": Reason.CONTAINER_CONFIG_FAILED,
}
_WARNINGS = {
    "FailedAttachVolume": Reason.VOLUME_FAILED,
    "FailedMount": Reason.VOLUME_FAILED,
    "FailedScheduling": Reason.UNSCHEDULABLE,
}
_OF_THE_MODEL = frozenset(
    {
        Reason.MODEL_FETCH_FAILED,
        Reason.MODEL_DIGEST_MISMATCH,
        Reason.MODEL_ARCHIVE_UNSAFE,
        Reason.MODEL_ARCHIVE_DAMAGED,
        Reason.MODEL_LOAD_FAILED,
        Reason.CLASSIFIER_MISMATCH,
        Reason.CODE_FETCH_FAILED,
        Reason.CODE_DIGEST_MISMATCH,
        Reason.CODE_ARCHIVE_UNSAFE,
        Reason.CODE_ARCHIVE_DAMAGED,
        Reason.SCORING_SCRIPT_MISSING,
        Reason.SCRIPT_LOAD_FAILED,
        Reason.SCRIPT_INIT_FAILED,
    }
)
TOLD_BY_CONTAINERS = _OF_THE_MODEL | {
    Reason.CERTIFICATE_INVALID,
    Reason.CONFIG_INVALID,
    Reason.KEYS_MISSING,
    Reason.PORT_UNAVAILABLE,
    Reason.SWAGGER_INVALID,
    Reason.DEVICE_UNAVAILABLE,
}
"""What Berth's own containers begin their last words with."""
_WITHOUT_REMEDY_BY_WAITING = frozenset(
    {
        Reason.DEVICE_NOT_OFFERED,
        Reason.INVALID_IMAGE_NAME,
        Reason.MODEL_ARCHIVE_UNSAFE,
        Reason.MODEL_DIGEST_MISMATCH,
        Reason.CODE_ARCHIVE_UNSAFE,
        Reason.CODE_DIGEST_MISMATCH,
    }
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a container does not run; the message stays while the cause does."""

    reason: Reason
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
    alive = newest_first(pods)
    for pod in alive:
        for cause in _causes_of(pod):
            return cause
    return _refused_by_node(alive[0]) if alive else None


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
    return cause.reason in _OF_THE_MODEL


def refusal(message: str) -> Reason:
    """Return why the API server refused an object."""
    return Reason.QUOTA_EXCEEDED if "exceeded quota" in message else Reason.REJECTED


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
    word = newest.get("reason", "")
    message = _told(word, newest.get("message", ""))
    return Cause(_WARNINGS.get(word, Reason.POD_PENDING), shorten(message))


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
            yield Cause(Reason.UNSCHEDULABLE, shorten(condition.get("message", "")))


def _refused_by_node(pod: Mapping[str, Any]) -> Cause | None:
    """Say why a Pod failed before its containers were made; such Pods stay, so that only the newest tells."""
    status = pod.get("status", {})
    if status.get("phase") != "Failed" or not status.get("reason"):
        return None
    return Cause(Reason.POD_PENDING, shorten(_told(status["reason"], status.get("message", ""))))


def _container_cause(status: Mapping[str, Any]) -> Cause | None:
    state = status.get("state", {})
    terminated = state.get("terminated") or status.get("lastState", {}).get("terminated")
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULL_REASONS:
        return Cause(Reason.IMAGE_PULL_FAILED, _pull_message(status.get("image", ""), message))
    if reason and reason not in _STARTING and reason != "CrashLoopBackOff":
        told = f"Container {status['name']}: {_told(reason, message)}"
        return Cause(_WAITING.get(reason, Reason.CONTAINER_FAILED), shorten(told))
    failed = terminated and (terminated.get("exitCode", 0) != 0 or reason == "CrashLoopBackOff")
    if failed and not status.get("ready"):
        return _terminated_cause(status["name"], terminated)
    return None


def _terminated_cause(container: str, terminated: Mapping[str, Any]) -> Cause:
    message = terminated.get("message", "").strip()
    if terminated.get("reason") == "OOMKilled":
        return Cause(
            Reason.OUT_OF_MEMORY,
            f"Container {container} used more memory than it may: raise spec.resources.limits.memory",
        )
    told = _REASON_LINE.match(message)
    if told and told[1] in TOLD_BY_CONTAINERS:
        return Cause(Reason(told[1]), shorten(told[2]))
    code = terminated.get("exitCode")
    last_words = f"; its last words: {message}" if message else ""
    return Cause(
        Reason.CONTAINER_FAILED, shorten(f"Container {container} ended with exit code {code}{last_words}")
    )


def _told(word: str, message: str) -> str:
    """Keep Kubernetes' own word, which a search engine knows."""
    return f"{word}: {message}" if message else word


def _pull_message(image: str, message: str) -> str:
    detail = message.rpartition("ErrImagePull: ")[2]
    if not detail or detail.startswith("Back-off"):
        return f"Image {image} cannot be pulled"
    return shorten(f"Image {image} cannot be pulled: {detail}")


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


def shorten(message: str) -> str:
    """Keep the end: an error's last lines say what it is."""
    text = message.strip().rstrip(".")
    return text if len(text) <= _MESSAGE_LIMIT else "…" + text[-_MESSAGE_LIMIT:]

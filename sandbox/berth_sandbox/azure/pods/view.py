"""From a Pod and its Events to what Azure shows of a container group."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from berth_sandbox.azure.backing import ContainerState, Event, InstanceView, LogLine, Observation, State
from berth_sandbox.azure.names import Document

CREATING = {"ContainerCreating", "PodInitializing"}
KUBELETS_OWN = {"Error: ErrImagePull", "Error: ImagePullBackOff"}
BACK_OFF = "Back-off restarting failed container"


def observation(pod: Document, events: Sequence[Document], restarts: int = 0) -> Observation:
    """Return what is seen of a group; `restarts` counts its earlier starts, in other Pods."""
    status = pod.get("status", {})
    told = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    views = {each["name"]: _view(each, _of_container(each["name"], events), restarts) for each in told}
    return Observation(views, status.get("podIP"), tuple(_of_group(events)))


def log_lines(text: str) -> list[LogLine]:
    """Read a log whose lines begin with their times."""
    parts = [line.partition(" ") for line in text.splitlines()]
    return [LogLine(datetime.fromisoformat(time), rest) for time, _, rest in parts]


def _view(told: Document, events: Iterable[Event], restarts: int) -> InstanceView:
    current, previous = _state(told.get("state", {})), _state(told.get("lastState", {}))
    starts = [state.start_time for state in (current, previous) if state and state.start_time]
    return InstanceView(
        current,
        previous,
        restarts + told.get("restartCount", 0),
        tuple(events),
        min(starts, default=None),
    )


def _state(told: Document) -> ContainerState | None:
    match told:
        case {"running": state}:
            return ContainerState(State.RUNNING, _time(state["startedAt"]))
        case {"terminated": state}:
            times = _time(state["startedAt"]), _time(state["finishedAt"])
            return ContainerState(State.TERMINATED, *times, state["exitCode"], state.get("reason", ""))
        case {"waiting": state}:
            return ContainerState(State.WAITING, detail_status=_detail(state))
    return None


def _detail(waiting: Document) -> str:
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in CREATING:
        return ""
    if reason == "CrashLoopBackOff":
        return f"{reason}: {BACK_OFF}"
    return f"{reason}: {message}" if message else reason


def _of_container(name: str, events: Iterable[Document]) -> Iterator[Event]:
    places = {f"spec.{kind}{{{name}}}" for kind in ("containers", "initContainers")}
    for event in _in_order(events):
        if event["involvedObject"].get("fieldPath") in places and event.get("message") not in KUBELETS_OWN:
            yield _event(event)


def _of_group(events: Iterable[Document]) -> Iterator[Event]:
    """Give what went wrong with the group as a whole; that a Pod found a node is nothing that Azure tells."""
    for event in _in_order(events):
        if "fieldPath" not in event["involvedObject"] and event.get("type") == "Warning":
            yield _event(event)


def _in_order(events: Iterable[Document]) -> list[Document]:
    return sorted(events, key=_last)


def _event(told: Document) -> Event:
    message = told.get("message", "")
    return Event(
        told["reason"],
        BACK_OFF if message.startswith(BACK_OFF) else message,
        _time(told.get("firstTimestamp") or _last(told)),
        _time(_last(told)),
        told.get("count") or 1,
        told.get("type", "Normal"),
    )


def _last(event: Document) -> str:
    """Return when an event happened last; the scheduler fills other fields than the kubelet."""
    time: str = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return time


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)

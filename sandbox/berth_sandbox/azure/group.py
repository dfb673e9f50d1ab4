"""A container group and its states; pure: what is seen and what time it is are told."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from berth_sandbox.azure.backing import InstanceView, Observation, State
from berth_sandbox.azure.errors import TRANSITIONING_SECONDS
from berth_sandbox.azure.names import Document, GroupId

PROVISIONING_TIMEOUT = timedelta(minutes=30)


class ProvisioningState(StrEnum):
    """How the last operation on a group fares; Azure asks its users to rely on the last two only."""

    PENDING = "Pending"
    CREATING = "Creating"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True)
class Failure:
    """How an operation fails, and how many seconds after its start."""

    code: str
    message: str
    after: float = 0.0


TIMED_OUT = Failure(
    "ContainerGroupProvisioningTimeout",
    "The container group did not start within the provisioning timeout of 1800 seconds.",
    PROVISIONING_TIMEOUT.total_seconds(),
)


@dataclass(frozen=True)
class Stuck:
    """The fate of an operation that goes no further until it times out."""


@dataclass(frozen=True)
class Deletion:
    """The fate of a group that is gone at a certain time."""

    at: datetime


Fate = Failure | Stuck | Deletion | None


@dataclass(frozen=True)
class Operation:
    """What was last asked of a group; `failure` says why it ended, if not well."""

    id: str
    started: datetime
    fate: Fate = None
    ended: datetime | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Group:
    """A container group as it was asked for, with write-only values, and the last operation on it."""

    id: GroupId
    location: str
    body: Document
    operation: Operation
    stopped: bool = False


def progressed(group: Group, seen: Observation, now: datetime) -> Group:
    """End the group's operation if what is seen, or the time that has passed, ends it."""
    operation = group.operation
    return replace(group, operation=progressed_operation(operation, _all_started(group, seen), now))


def progressed_operation(operation: Operation, started: datetime | None, now: datetime) -> Operation:
    """End an operation that all containers having started, its fate, or the time-out ends."""
    match operation.fate:
        case _ if operation.ended:
            return operation
        case Failure() as failure:
            return _failed(operation, failure, now)
        case Deletion(at):
            return replace(operation, ended=at) if now >= at else operation
        case None if started:
            return replace(operation, ended=max(started, operation.started))
        case _:
            return _failed(operation, TIMED_OUT, now)


def _failed(operation: Operation, failure: Failure, now: datetime) -> Operation:
    due = operation.started + timedelta(seconds=failure.after)
    return replace(operation, ended=due, failure=failure) if now >= due else operation


def stopped(group: Group, operation: Operation) -> Group:
    """Return the group after all its containers were told to end."""
    return replace(group, stopped=True, operation=replace(operation, ended=operation.started))


def is_transitioning(group: Group, now: datetime) -> bool:
    """Tell whether the group takes no new operation: one runs, or has begun a moment ago."""
    settled = group.operation.started + timedelta(seconds=TRANSITIONING_SECONDS)
    return group.operation.ended is None or now < settled


def is_gone(group: Group, now: datetime) -> bool:
    """Tell whether a deletion of the group has ended."""
    return isinstance(group.operation.fate, Deletion) and now >= group.operation.fate.at


def is_terminated(group: Group, seen: Observation) -> bool:
    """Tell whether all containers ended for good, after which Azure takes no update."""
    return instance_state(group, seen) in {"Succeeded", "Failed"}


def provisioning_state(group: Group, seen: Observation) -> ProvisioningState:
    """Return the state of the last operation."""
    operation = group.operation
    if operation.ended or isinstance(operation.fate, Deletion):
        return ProvisioningState.FAILED if operation.failure else ProvisioningState.SUCCEEDED
    begun = any(view.events for view in seen.containers.values())
    return ProvisioningState.CREATING if begun else ProvisioningState.PENDING


def instance_state(group: Group, seen: Observation) -> str:
    """Return the state of the group's containers as a whole."""
    if group.stopped:
        return "Stopped"
    never = group.body["properties"].get("restartPolicy") == "Never"
    views = _views(seen, _names(group, "containers"))
    if never and any(_failed_for_good(view) for view in _views(seen, _names(group, "initContainers"))):
        return "Failed"
    if not all(view.first_started for view in views):
        return "Pending"
    if all(_is(view, State.TERMINATED) for view in views):
        return "Failed" if any(_failed_for_good(view) for view in views) else "Succeeded"
    return "Running"


def _all_started(group: Group, seen: Observation) -> datetime | None:
    starts = [view.first_started for view in _views(seen, _names(group, "containers"))]
    known = [start for start in starts if start]
    return max(known) if len(known) == len(starts) else None


def _names(group: Group, kind: str) -> list[str]:
    return [container["name"] for container in group.body["properties"].get(kind) or ()]


def _views(seen: Observation, names: Iterable[str]) -> list[InstanceView]:
    return [seen.containers.get(name) or InstanceView() for name in names]


def _is(view: InstanceView, state: State) -> bool:
    return view.current_state is not None and view.current_state.state == state


def _failed_for_good(view: InstanceView) -> bool:
    state = view.current_state
    return state is not None and state.state == State.TERMINATED and bool(state.exit_code)

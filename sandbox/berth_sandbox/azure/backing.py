"""What runs behind a container group, whatever it is: a simulation, or a Pod."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from berth_sandbox.azure.names import Document, GroupId


class State(StrEnum):
    """Where a container is in its life."""

    WAITING = "Waiting"
    RUNNING = "Running"
    TERMINATED = "Terminated"


@dataclass(frozen=True)
class Mount:
    """Where a container sees a volume."""

    volume: str
    path: str
    read_only: bool


@dataclass(frozen=True)
class Container:
    """A container to start; `environment` holds the secure values too."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    mounts: tuple[Mount, ...] = ()
    cpu: float = 1.0
    memory_in_gb: float = 1.0
    liveness_probe: Document | None = None
    readiness_probe: Document | None = None
    security_context: Document | None = None


@dataclass(frozen=True)
class Volume:
    """A volume; `files` is the content of a secret volume, `source` is Azure's description of another."""

    name: str
    files: Mapping[str, bytes] | None = None
    source: Document | None = None


@dataclass(frozen=True)
class Registry:
    """Credentials to pull images with."""

    server: str
    username: str | None = None
    password: str | None = None
    identity: str | None = None


@dataclass(frozen=True)
class Launch:
    """All that is to be started for one container group."""

    group: GroupId
    restart_policy: str
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    registries: tuple[Registry, ...] = ()


@dataclass(frozen=True)
class ContainerState:
    """One state of a container; `exit_code` and `finish_time` only once it is terminated."""

    state: State
    start_time: datetime | None = None
    finish_time: datetime | None = None
    exit_code: int | None = None
    detail_status: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened, once or several times."""

    name: str
    message: str
    first: datetime
    last: datetime
    count: int = 1
    type: str = "Normal"


@dataclass(frozen=True)
class InstanceView:
    """What can be seen of a container; `first_started` is when it ran for the first time."""

    current_state: ContainerState | None = None
    previous_state: ContainerState | None = None
    restart_count: int = 0
    events: tuple[Event, ...] = ()
    first_started: datetime | None = None

    def killed(self, at: datetime) -> "InstanceView":
        """Return what is seen once the container was told to end."""
        state = self.current_state
        if state is None or state.state == State.TERMINATED:
            return self
        killing = Event("Killing", "Killing container", at, at)
        ended = ContainerState(State.TERMINATED, state.start_time, at, 0, "Completed")
        return replace(self, current_state=ended, events=(*self.events, killing))


@dataclass(frozen=True)
class Observation:
    """What can be seen of a group: each container by name, init containers too."""

    containers: Mapping[str, InstanceView] = field(default_factory=dict)
    address: str | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class LogLine:
    """A line that a container wrote."""

    time: datetime
    text: str


class InaccessibleImageError(Exception):
    """The registry does not show the image."""

    def __init__(self, image: str) -> None:
        super().__init__(image)
        self.image = image


class Backing(Protocol):
    """Starts what a container group describes, and tells how it fares; `now` is the service's time."""

    async def start(self, launch: Launch, now: datetime) -> None:
        """Start a group in place of what runs under its id; may raise `InaccessibleImageError`."""

    async def stop(self, group: GroupId, now: datetime) -> None:
        """End the containers; what they were stays to be observed."""

    async def remove(self, group: GroupId) -> None:
        """Leave nothing of the group."""

    async def observe(self, group: GroupId, now: datetime) -> Observation:
        """Tell how the group fares; nothing is known of one that was never started."""

    async def logs(self, group: GroupId, container: str, now: datetime) -> Sequence[LogLine]:
        """Return what a container wrote since its last start."""

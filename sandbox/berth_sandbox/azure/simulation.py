"""Containers that are only said to run: their whole life follows from when they were started."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import IPv4Address

from berth_sandbox.azure.backing import (
    Container,
    ContainerState,
    Event,
    InaccessibleImageError,
    InstanceView,
    Launch,
    LogLine,
    Observation,
    State,
)
from berth_sandbox.azure.names import GroupId

FIRST_ADDRESS = IPv4Address("198.18.0.1")  # a range for benchmarks: routed nowhere
FIRST_BACK_OFF = timedelta(seconds=10)
LONGEST_BACK_OFF = timedelta(minutes=5)
INIT_SECONDS = 1.0
DETAILS = {0: "Completed", 137: "OOMKilled"}


@dataclass(frozen=True)
class Behaviour:
    """What a container of an image does; without `run_seconds` it runs for ever."""

    schedule_seconds: float = 4.0
    pull_seconds: float = 8.0
    start_seconds: float = 5.0
    run_seconds: float | None = None
    exit_code: int = 0
    log: tuple[str, ...] = ()
    log_interval_seconds: float | None = None
    pull_error: str | None = None
    mount_error: str | None = None
    accessible: bool = True


@dataclass(frozen=True)
class Run:
    """From one start of a container to its end; nobody knows yet when a run without `finish` ends."""

    start: datetime
    finish: datetime | None


@dataclass(frozen=True)
class Life:
    """A container's life under a restart policy, from the moment that its image is asked for."""

    image: str
    behaviour: Behaviour
    restart_policy: str
    begin: datetime

    @property
    def pulled(self) -> datetime:
        """Return when the image is there."""
        return self.begin + timedelta(seconds=self.behaviour.pull_seconds)

    @property
    def restarts(self) -> bool:
        """Tell whether a container that ended is started again."""
        if self.restart_policy == "OnFailure":
            return self.behaviour.exit_code != 0
        return self.restart_policy == "Always"

    def runs(self, now: datetime) -> list[Run]:
        """List the runs that have begun by `now`."""
        return list(itertools.takewhile(lambda run: run.start <= now, self._all_runs()))

    def _all_runs(self) -> Iterator[Run]:
        if self.behaviour.pull_error or self.behaviour.mount_error:
            return
        start = self.pulled + timedelta(seconds=self.behaviour.start_seconds)
        if self.behaviour.run_seconds is None:
            yield Run(start, None)
            return
        lasts = timedelta(seconds=self.behaviour.run_seconds)
        pause = FIRST_BACK_OFF
        while True:
            yield Run(start, start + lasts)
            if not self.restarts:
                return
            start += lasts + pause
            pause = min(2 * pause, LONGEST_BACK_OFF)

    def view(self, now: datetime) -> InstanceView:
        """Return what can be seen of the container at `now`."""
        if now < self.begin:
            return InstanceView()
        runs = self.runs(now)
        ended = [run for run in runs if run.finish and run.finish <= now]
        return InstanceView(
            current_state=self._current(runs, ended),
            previous_state=self._previous(runs, ended),
            restart_count=max(len(runs) - 1, 0),
            events=tuple(self._events(runs, ended, now)),
            first_started=runs[0].start if runs else None,
        )

    def mount_failures(self, now: datetime) -> list[Event]:
        """Return what the group tells of volumes that the container waits for."""
        error = self.behaviour.mount_error
        if error is None or now < self.pulled:
            return []
        return [Event("FailedMount", error, self.pulled, self.pulled, type="Warning")]

    def log(self, now: datetime) -> list[LogLine]:
        """Return the lines of the last run."""
        runs = self.runs(now)
        if not runs:
            return []
        until = min(now, runs[-1].finish or now)
        return [
            LogLine(time, line) for time in self._writes(runs[-1].start, until) for line in self.behaviour.log
        ]

    def _writes(self, start: datetime, until: datetime) -> Iterator[datetime]:
        yield start
        if interval := self.behaviour.log_interval_seconds:
            step = timedelta(seconds=interval)
            while (start := start + step) <= until:
                yield start

    def _current(self, runs: Sequence[Run], ended: Sequence[Run]) -> ContainerState:
        if not runs:
            detail = f"ErrImagePull: {self.behaviour.pull_error}" if self.behaviour.pull_error else ""
            return ContainerState(State.WAITING, start_time=self.begin, detail_status=detail)
        if len(ended) < len(runs):
            return ContainerState(State.RUNNING, start_time=runs[-1].start)
        if self.restarts:
            return ContainerState(
                State.WAITING, detail_status="CrashLoopBackOff: Back-off restarting failed container"
            )
        return self._terminated(runs[-1])

    def _previous(self, runs: Sequence[Run], ended: Sequence[Run]) -> ContainerState | None:
        done = ended if self.restarts else ended[: len(runs) - 1]
        return self._terminated(done[-1]) if done else None

    def _terminated(self, run: Run) -> ContainerState:
        code = self.behaviour.exit_code
        return ContainerState(State.TERMINATED, run.start, run.finish, code, DETAILS.get(code, "Error"))

    def _events(self, runs: Sequence[Run], ended: Sequence[Run], now: datetime) -> Iterator[Event]:
        image = reference(self.image)
        yield Event("Pulling", f'pulling image "{image}"', self.begin, self.begin)
        if now < self.pulled:
            return
        if error := self.behaviour.pull_error:
            yield Event(
                "Failed", f'Failed to pull image "{image}": {error}', self.pulled, self.pulled, type="Warning"
            )
            yield Event(
                "BackOff", f'Back-off pulling image "{image}"', self.pulled, self.pulled, type="Warning"
            )
            return
        yield Event("Pulled", f'Successfully pulled image "{image}"', self.pulled, self.pulled)
        if runs:
            yield Event("Started", "Started container", runs[0].start, runs[-1].start, len(runs))
        finishes = [run.finish for run in ended if run.finish]
        if finishes and self.restarts:
            text = "Back-off restarting failed container"
            yield Event("BackOff", text, finishes[0], finishes[-1], len(finishes), "Warning")


def reference(image: str) -> str:
    """Return an image's name with a digest, which is made up, in place of the tag."""
    repository, _, name = image.rpartition("/")
    plain = name.partition("@")[0].partition(":")[0]
    digest = hashlib.sha256(image.encode()).hexdigest()
    return f"{repository}/{plain}@sha256:{digest}" if repository else f"{plain}@sha256:{digest}"


@dataclass(frozen=True)
class Started:
    """A group that was started, and stopped if `stopped` says when; `restarts` counts earlier starts."""

    launch: Launch
    at: datetime
    address: str
    behaviours: Mapping[str, Behaviour]
    restarts: int = 0
    stopped: datetime | None = None

    def lives(self, now: datetime) -> dict[str, Life]:
        """Return the life of each container that has begun or will: init containers go one by one."""
        lives: dict[str, Life] = {}
        begin: datetime | None = self.at
        for container in self.launch.init_containers:
            if begin is not None:
                lives[container.name] = life = self._init_life(container, begin)
                begin = _succeeded_at(life.view(now))
        if begin is not None:
            lives |= {container.name: self._life(container, begin) for container in self.launch.containers}
        return lives

    def _life(self, container: Container, begin: datetime) -> Life:
        behaviour = self.behaviours[container.image]
        scheduled = begin + timedelta(seconds=behaviour.schedule_seconds)
        return Life(container.image, behaviour, self.launch.restart_policy, scheduled)

    def _init_life(self, container: Container, begin: datetime) -> Life:
        life = self._life(container, begin)
        ends = replace(life.behaviour, run_seconds=life.behaviour.run_seconds or INIT_SECONDS)
        policy = "Never" if self.launch.restart_policy == "Never" else "OnFailure"
        return replace(life, behaviour=ends, restart_policy=policy)


def _succeeded_at(view: InstanceView) -> datetime | None:
    state = view.current_state
    return state.finish_time if state and state.exit_code == 0 else None


@dataclass
class Simulation:
    """A `Backing` of states only; `behaviours` says by image what containers do."""

    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    otherwise: Behaviour = field(default_factory=Behaviour)
    _groups: dict[str, Started] = field(default_factory=dict, init=False)
    _addresses: Iterator[int] = field(default_factory=itertools.count, init=False)

    async def start(self, launch: Launch, now: datetime) -> None:
        """Start the group; what its images do is settled now, not when it is looked at."""
        images = {container.image for container in (*launch.containers, *launch.init_containers)}
        behaviours = {image: self.behaviours.get(image, self.otherwise) for image in sorted(images)}
        for image, behaviour in behaviours.items():
            if not behaviour.accessible:
                raise InaccessibleImageError(image)
        earlier = self._groups.get(launch.group.key)
        restarts = earlier.restarts + 1 if earlier else 0
        address = str(FIRST_ADDRESS + next(self._addresses))
        self._groups[launch.group.key] = Started(launch, now, address, behaviours, restarts)

    async def stop(self, group: GroupId, now: datetime) -> None:
        """End the group's containers."""
        if started := self._groups.get(group.key):
            self._groups[group.key] = replace(started, stopped=now)

    async def remove(self, group: GroupId) -> None:
        """Forget the group."""
        self._groups.pop(group.key, None)

    async def observe(self, group: GroupId, now: datetime) -> Observation:
        """Work out what can be seen of the group at `now`."""
        started = self._groups.get(group.key)
        if started is None:
            return Observation()
        if started.stopped:
            return Observation(_stopped_views(started, started.stopped))
        lives = started.lives(now).values()
        events = tuple(event for life in lives for event in life.mount_failures(now))
        return Observation(_views(started, now), started.address, events)

    async def logs(self, group: GroupId, container: str, now: datetime) -> Sequence[LogLine]:
        """Return the lines of the container's last run."""
        started = self._groups.get(group.key)
        if started is None:
            return []
        seen = started.stopped or now
        life = started.lives(seen).get(container)
        return life.log(seen) if life else []


def _views(started: Started, now: datetime) -> dict[str, InstanceView]:
    views = {name: life.view(now) for name, life in started.lives(now).items()}
    return {
        name: replace(view, restart_count=view.restart_count + started.restarts)
        for name, view in views.items()
    }


def _stopped_views(started: Started, stopped: datetime) -> dict[str, InstanceView]:
    return {name: view.killed(stopped) for name, view in _views(started, stopped).items()}

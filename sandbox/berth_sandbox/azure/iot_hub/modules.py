"""Modules that are only said to run on a device: their whole life follows from when they were started."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from berth_sandbox.azure.iot_hub.content import Manifest

FIRST_BACK_OFF = 10.0
LONGEST_BACK_OFF = 300.0
MOST_RESTARTS = 20
HEALTHY_SECONDS = 600.0  # after which restarts are forgotten
OUT_OF_MEMORY = 137
NEVER = math.inf


class RuntimeStatus(StrEnum):
    """What the agent says of a module."""

    UNKNOWN = "unknown"
    BACKOFF = "backoff"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class ModuleBehaviour:
    """What a module of an image does on a device; without `run_seconds` it runs for ever."""

    pull_seconds: float = 8.0
    start_seconds: float = 2.0
    run_seconds: float | None = None
    exit_code: int = 0
    pull_error: str | None = None


@dataclass(frozen=True)
class ModuleView:
    """What can be seen of a module, and how long it stays so; `changes` counts what was to be seen."""

    status: RuntimeStatus
    until: float = NEVER
    exit_code: int = 0
    restart_count: int = 0
    last_start: float | None = None
    last_exit: float | None = None
    changes: int = 1


@dataclass(frozen=True)
class Run:
    """From one start of a module to its end; `restarts` counts those that are not forgotten yet."""

    start: float
    finish: float
    restarts: int
    number: int


@dataclass(frozen=True)
class Life:
    """A module's life from its first start; `spec` is what the agent was told of it."""

    spec: Mapping[str, Any]
    behaviour: ModuleBehaviour
    begin: float

    def view(self, now: float) -> ModuleView:
        """Return what can be seen of the module."""
        if self.spec.get("status", "running") == "stopped":
            return ModuleView(RuntimeStatus.STOPPED)
        *_, last = itertools.takewhile(lambda run: run.start <= now or not run.number, self._runs())
        if now < last.finish:
            forgotten = last.start + HEALTHY_SECONDS
            until = forgotten if last.restarts and now < forgotten < last.finish else last.finish
            restarts = 0 if now >= forgotten else last.restarts
            return self._seen(RuntimeStatus.RUNNING, last, until, restarts, changes=2 * last.number + 1)
        restarts = self._restarts_after(last)
        if not self._is_restarted:
            status = RuntimeStatus.FAILED if self.behaviour.exit_code else RuntimeStatus.STOPPED
            return self._seen(status, last, NEVER, restarts, changes=2 * last.number + 2)
        if restarts >= MOST_RESTARTS:
            return self._seen(RuntimeStatus.FAILED, last, NEVER, restarts, changes=2 * last.number + 2)
        until = last.finish + _back_off(restarts)
        return self._seen(RuntimeStatus.BACKOFF, last, until, restarts, changes=2 * last.number + 2)

    @property
    def _is_restarted(self) -> bool:
        policy = self.spec.get("restartPolicy", "always")
        return policy == "always" or (policy != "never" and self.behaviour.exit_code != 0)

    def _runs(self) -> Iterator[Run]:
        lasts = NEVER if self.behaviour.run_seconds is None else self.behaviour.run_seconds
        run = Run(self.begin, self.begin + lasts, 0, 0)
        while True:
            yield run
            restarts = self._restarts_after(run)
            if run.finish == NEVER or not self._is_restarted or restarts >= MOST_RESTARTS:
                return
            start = run.finish + _back_off(restarts)
            run = Run(start, start + lasts, restarts + 1, run.number + 1)

    def _restarts_after(self, run: Run) -> int:
        return 0 if run.finish - run.start >= HEALTHY_SECONDS else run.restarts

    def _seen(
        self, status: RuntimeStatus, run: Run, until: float, restarts: int, *, changes: int
    ) -> ModuleView:
        ended = status is not RuntimeStatus.RUNNING
        earlier = run.finish if ended else None
        return ModuleView(
            status,
            until,
            self.behaviour.exit_code if ended else 0,
            restarts,
            run.start,
            earlier,
            changes,
        )


class ModuleBacking(Protocol):
    """Really runs the modules of some devices; of the others states are all there is."""

    def backs(self, device: str) -> bool:
        """Tell whether this runs the modules of a device."""

    def run(self, device: str, modules: Mapping[str, Mapping[str, Any]], manifest: Manifest) -> None:
        """Let these modules run and no others; each is as the agent was told of it, by the manifest."""

    def views(self, device: str, now: float) -> Mapping[str, ModuleView]:
        """Tell how the modules fare; `now` is the service's time in seconds since 1970."""


def _back_off(restarts: int) -> float:
    return float(min(FIRST_BACK_OFF * 2**restarts, LONGEST_BACK_OFF))

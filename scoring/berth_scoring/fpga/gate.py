"""Who may use the device: as many threads at once as one replica takes, each until its deadline."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnxruntime
from grpc import StatusCode

from berth_scoring.config import RequestLimits
from berth_scoring.execution import STUCK_GRACE_SECONDS
from berth_scoring.fpga.errors import Rejected
from berth_scoring.fpga.places import Places


@dataclass(slots=True, eq=False)
class Turn:
    """A run on the device; whoever sets `terminate` in its options ends it."""

    started: float
    options: Any
    overdue: bool = False


class Gate:
    """Lets runs through one after the other, and ends those that take too long."""

    def __init__(self, limits: RequestLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._timeout = limits.timeout_milliseconds / 1000
        self._clock = clock
        self._places = Places(
            limits.max_concurrent_per_replica, limits.max_queue_wait_milliseconds, "the device is busy"
        )
        self._turns: set[Turn] = set()

    @property
    def running(self) -> int:
        """How many runs are under way."""
        return len(self._turns)

    @property
    def stuck(self) -> bool:
        """Whether a run has gone on for so long after its deadline that only a restart helps."""
        limit = self._clock() - 2 * self._timeout - STUCK_GRACE_SECONDS
        return any(turn.started < limit for turn in list(self._turns))

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Wait for a free place and hold it; rejects who waits in vain, and who was ended."""
        with self._places:
            turn = Turn(self._clock(), onnxruntime.RunOptions())
            self._turns.add(turn)
            try:
                yield turn
            except Exception as error:  # a run that is ended raises whatever its runtime makes of that
                if not turn.overdue:
                    raise
                limit = self._limits.timeout_milliseconds
                told = f"the run was ended after {limit} ms (timeoutMilliseconds)"
                raise Rejected(StatusCode.DEADLINE_EXCEEDED, told) from error
            finally:
                self._turns.discard(turn)

    def end_overdue(self) -> None:
        """Tell runs beyond their deadline to end; called now and then by who watches."""
        limit = self._clock() - self._timeout
        for turn in list(self._turns):
            if turn.started < limit and not turn.overdue:
                turn.overdue = True
                turn.options.terminate = True

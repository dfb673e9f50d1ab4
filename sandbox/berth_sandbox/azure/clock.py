"""The service's own time, which can pass faster than that on the wall."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Tells the time of the emulated service; `factor` of its seconds pass in one of ours."""

    def __init__(
        self,
        factor: float = 1.0,
        start: datetime | None = None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._factor = factor
        self._elapsed = elapsed
        self._origin = start or datetime.now(UTC)
        self._since = elapsed()

    @property
    def factor(self) -> float:
        """Return how many seconds pass here in one second on the wall; 0 is a clock that stands."""
        return self._factor

    def now(self) -> datetime:
        """Return the service's time."""
        return self._origin + timedelta(seconds=(self._elapsed() - self._since) * self._factor)

    def run_at(self, factor: float) -> None:
        """Let time pass at another pace from now on."""
        self._origin, self._since = self.now(), self._elapsed()
        self._factor = factor

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._origin += timedelta(seconds=seconds)


def in_seconds(moment: datetime) -> str:
    """Write a time as in Azure's events."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def in_milliseconds(moment: datetime) -> str:
    """Write a time as in the states of containers."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def in_ticks(moment: datetime) -> str:
    """Write a time as in operations: .NET counts ten ticks in a microsecond."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z"

"""What a pass that finished says about the next one."""

from dataclasses import dataclass

INTERVAL_SECONDS = 60.0
"""Time in which what no watch tells of is seen, such as a change in a portal."""
SLOW_ROUND_SECONDS = 600.0
"""Time for which what was well is taken to be so where only a look at each one would tell."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing to do until something changes."""


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Look again after so many seconds, even if nothing changes."""

    seconds: float


Result = Done | RequeueAfter

"""How often a subscription may be asked, and whether it answers at all: pure state, time is passed in."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Budget(StrEnum):
    """What Azure Resource Manager, or a hub, counts on its own; the first names are those in headers."""

    READS = "reads"
    WRITES = "writes"
    DELETES = "deletes"
    CONFIGURATIONS = "configurations"
    QUERIES = "queries"
    REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests at once, and how many more each second."""

    burst: float
    per_second: float

    def share(self, part: float) -> "Rate":
        """Return a part of it."""
        return Rate(self.burst * part, self.per_second * part)


ARM_RATES: Mapping[Budget, Rate] = MappingProxyType(
    {Budget.READS: Rate(250, 25), Budget.WRITES: Rate(200, 10), Budget.DELETES: Rate(200, 10)}
)
"""What Azure Resource Manager takes of one caller in one subscription and region."""

HUB_RATES: Mapping[Budget, Rate] = MappingProxyType(
    {
        Budget.CONFIGURATIONS: Rate(20, 20 / 60),
        Budget.QUERIES: Rate(20, 20 / 60),
        Budget.REGISTRY: Rate(100, 100 / 60),
    }
)
"""What a hub takes for each of its units."""

_SHARE = 0.5
"""Other programs may act for the same identity, a second operator during its update among them."""
_ROUNDING = 1e-9


class Bucket:
    """Holds tokens, one for each request, and gains more as time goes by."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = float("inf")
        self._held_until = float("-inf")

    def take(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        gained = (now - self._at) * self._rate.per_second
        self._tokens = min(self._rate.burst, self._tokens + max(0.0, gained))
        self._at = now
        wait = max(self._held_until - now, (1 - self._tokens) / self._rate.per_second)
        if wait > _ROUNDING:
            return wait
        self._tokens -= 1
        return 0.0

    def hold(self, until: float) -> None:
        """Give nothing before that time."""
        self._held_until = max(self._held_until, until)

    def learn(self, remaining: int) -> None:
        """Correct the tokens by what the server says that remains."""
        self._tokens = min(self._tokens, remaining)


class Limiter:
    """Keeps one subscription's calls within a share of what Azure takes."""

    def __init__(self, rates: Mapping[Budget, Rate] = ARM_RATES, share: float = _SHARE) -> None:
        self._buckets = {budget: Bucket(rate.share(share)) for budget, rate in rates.items()}

    def take(self, budget: Budget, now: float) -> float:
        """Count a call and return 0, or return the seconds to wait before it may be made."""
        return self._buckets[budget].take(now)

    def hold(self, budget: Budget, until: float) -> None:
        """Make no call before that time, as Azure asked."""
        self._buckets[budget].hold(until)

    def learn(self, remaining: Mapping[str, int]) -> None:
        """Go by Azure's own counters where they are lower."""
        for budget, bucket in self._buckets.items():
            if budget in remaining:
                bucket.learn(remaining[budget])


_ROUNDING = 1e-6
"""Seconds by which who waited as long as was said may come too early: sums of floats are not exact."""


class Breaker:
    """Opens after `failures` in a row, then lets one call try after `cooldown` seconds, later each time."""

    def __init__(self, *, failures: int = 5, cooldown: float = 15.0, cap: float = 240.0) -> None:
        self._most = failures
        self._first = cooldown
        self._cap = cap
        self._failures = 0
        self._cooldown = cooldown
        self._open_until: float | None = None
        self._is_trying = False

    @property
    def is_open(self) -> bool:
        """Tell whether calls wait until one that tries was answered."""
        return self._open_until is not None

    def admit(self, now: float) -> float:
        """Return 0 where a call may be made, which must end in one of the three methods below, or seconds."""
        if self._open_until is None:
            return 0.0
        if (left := self._open_until - now) > _ROUNDING:
            return min(left, self._cooldown)
        if self._is_trying:
            return self._first
        self._is_trying = True
        return 0.0

    def succeeded(self) -> None:
        """Close: there was an answer."""
        self._failures = 0
        self._cooldown = self._first
        self._open_until = None
        self._is_trying = False

    def failed(self, now: float) -> None:
        """Count a call without an answer, or with one that says the server is ill."""
        self._failures += 1
        if self._is_trying:
            self._cooldown = min(self._cap, self._cooldown * 2)
            self._open_until = now + self._cooldown
        elif self._open_until is None and self._failures >= self._most:
            self._open_until = now + self._cooldown
        self._is_trying = False

    def abandoned(self) -> None:
        """Let another call try: this one ended before it could tell anything."""
        self._is_trying = False

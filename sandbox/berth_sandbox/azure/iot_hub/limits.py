"""How many requests a hub takes; it counts in our seconds, since callers wait in them too."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from berth_sandbox.azure.iot_hub.errors import not_in_this_tier, throttled
from berth_sandbox.azure.throttle import Bucket

MINUTE = 60.0
BASIC = "B"
FREE_CONFIGURATIONS, CONFIGURATIONS = 10, 100


@dataclass(frozen=True)
class Sku:
    """The edition of a hub and its number of units."""

    name: str = "S1"
    units: int = 1

    @property
    def configurations(self) -> int:
        """Return how many configurations the hub keeps."""
        return FREE_CONFIGURATIONS if self.name.startswith("F") else CONFIGURATIONS

    def check_standard(self) -> None:
        """Raise unless the hub knows configurations, twins and edge devices."""
        if self.name.startswith(BASIC):
            raise not_in_this_tier()


@dataclass(frozen=True)
class Rates:
    """Requests a second that one unit takes, by kind; a minute's worth of them can come at once."""

    rates: dict[str, float] = field(
        default_factory=lambda: {
            "configurations": 20 / MINUTE,
            "queries": 20 / MINUTE,
            "registry": 100 / MINUTE,
            "twin reads": 100.0,
            "twin updates": 50.0,
        }
    )


class Throttle:
    """Counts the requests to one hub."""

    def __init__(self, sku: Sku, rates: Rates, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._buckets = {kind: _bucket(rate * sku.units, elapsed()) for kind, rate in rates.rates.items()}

    def admit(self, kind: str) -> None:
        """Count a request, or raise 429."""
        wait = self._buckets[kind].take(self._elapsed())
        if wait > 0:
            raise throttled(math.ceil(wait))


def _bucket(rate: float, now: float) -> Bucket:
    capacity = max(1, round(rate * MINUTE))
    return Bucket(capacity, rate, capacity, now)

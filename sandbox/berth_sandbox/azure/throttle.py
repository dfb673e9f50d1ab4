"""How many requests Azure takes; it counts in our seconds, since callers wait in them too."""

import math
from collections import deque
from dataclasses import dataclass, field

from berth_sandbox.azure.errors import throttled

KINDS = {"GET": "reads", "PUT": "writes", "PATCH": "writes", "POST": "writes", "DELETE": "deletes"}
WINDOWS = {"pt5m": 300.0, "pt1h": 3600.0}


@dataclass(frozen=True)
class Limits:
    """Tokens and tokens a second of ARM's buckets, and requests in the windows of the service."""

    buckets: dict[str, tuple[int, float]] = field(
        default_factory=lambda: {"reads": (250, 25.0), "writes": (200, 10.0), "deletes": (200, 10.0)}
    )
    windows: dict[str, int] = field(default_factory=lambda: {"pt5m": 900, "pt1h": 1800})


@dataclass
class Bucket:
    """Holds `capacity` tokens at most and gains `rate` of them a second."""

    capacity: int
    rate: float
    tokens: float
    at: float

    def take(self, now: float) -> float:
        """Take a token and return 0, or return how many seconds to wait for one."""
        self.tokens = min(self.capacity, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


@dataclass
class Window:
    """Takes at most `limit` requests in `seconds`."""

    limit: int
    seconds: float
    taken: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        """Return how many seconds to wait until one more fits."""
        while self.taken and self.taken[0] <= now - self.seconds:
            self.taken.popleft()
        return 0.0 if len(self.taken) < self.limit else self.taken[0] + self.seconds - now


class Throttle:
    """Counts the requests of one caller to one subscription."""

    def __init__(self, subscription: str, limits: Limits, now: float) -> None:
        self._subscription = subscription
        self._buckets = {
            kind: Bucket(tokens, rate, tokens, now) for kind, (tokens, rate) in limits.buckets.items()
        }
        self._windows = {name: Window(limit, WINDOWS[name]) for name, limit in limits.windows.items()}

    def admit(self, method: str, now: float) -> dict[str, str]:
        """Count a request and return the headers that tell what remains, or raise 429."""
        kind = KINDS[method]
        bucket = self._buckets[kind]
        self._refuse(kind, bucket.take(now))
        headers = {f"x-ms-ratelimit-remaining-subscription-{kind}": str(int(bucket.tokens))}
        return headers | (self._count(kind, now) if method in {"PUT", "DELETE"} else {})

    def _count(self, kind: str, now: float) -> dict[str, str]:
        self._refuse(kind, max(window.wait(now) for window in self._windows.values()))
        headers = {}
        for name, window in self._windows.items():
            window.taken.append(now)
            remaining = window.limit - len(window.taken)
            headers[f"x-ms-ratelimit-remaining-subscription-resource-requests-{name}"] = str(remaining)
        return headers

    def _refuse(self, kind: str, wait: float) -> None:
        if wait > 0:
            raise throttled(kind.removesuffix("s"), self._subscription, math.ceil(wait))

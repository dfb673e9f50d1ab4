"""Exponential back-off with jitter, kept apart for each key."""

import random
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Backoff(Generic[K]):
    """Doubles a key's delay with each failure, from `base` to `cap` seconds, until `reset`."""

    def __init__(
        self,
        *,
        base: float = 0.05,
        cap: float = 300.0,
        jitter: float = 0.2,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._base = base
        self._cap = cap
        self._jitter = jitter
        self._rand = rand
        self._failures: dict[K, int] = {}

    def next(self, key: K) -> float:
        """Count a failure of `key` and return the seconds to wait, at most `jitter` (a share) less."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2.0 ** 64 is far past any cap: the bound only keeps the float finite.
        delay = min(self._cap, self._base * 2.0 ** min(failures, 64))
        return delay * (1.0 - self._jitter * self._rand())

    def reset(self, key: K) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often `key` has failed in a row."""
        return self._failures.get(key, 0)

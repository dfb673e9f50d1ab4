"""What every call to a subscription goes through: its limits, its circuit breaker, its deadline."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from azure.core.exceptions import AzureError

from berth.azure.failures import failure, status_of
from berth.azure.limits import Breaker, Budget, Limiter
from berth.azure.observer import CallObserver
from berth.core.errors import Postponed, ReconcileError, Transient
from berth.plan.azure_errors import Kind, Verdict

DEADLINE_SECONDS = 30.0

_BUSY_SECONDS = 1.0
_SPREAD_SECONDS = 4.0
"""Those who were sent away together do not come back together."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Azure answered; `remaining` is how many more requests it takes, by its counters' names."""

    status: int
    body: dict[str, Any]
    remaining: Mapping[str, int] = field(default_factory=dict)


class Gate:
    """Lets calls to one subscription through; who may not call now is told when, and does not wait here.

    At most `at_once` calls run, so that a subscription that hangs does not hold every worker.
    """

    def __init__(
        self,
        subscription: str,
        observer: CallObserver | None = None,
        *,
        kind: str = "Subscription",
        limiter: Limiter | None = None,
        breaker: Breaker | None = None,
        at_once: int = 4,
        deadline: float = DEADLINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._subscription = subscription
        self._name = f"{kind} {subscription}"
        self._observer = observer or CallObserver()
        self._limiter = limiter or Limiter()
        self._breaker = breaker or Breaker()
        self._free = at_once
        self._deadline = deadline
        self._clock = clock
        self._rand = rand
        self._trouble = ""

    async def call(self, operation: str, budget: Budget, send: Callable[[], Awaitable[Answer]]) -> Answer:
        """Send a request and return its answer; raises the errors of `berth.core`."""
        self._admit(budget)
        began, status = self._clock(), None
        self._free -= 1
        try:
            async with asyncio.timeout(self._deadline):
                answer = await send()
            status = answer.status
        except (AzureError, TimeoutError) as error:
            status = status_of(error)
            raise self._failed(budget, failure(error), status) from error
        finally:
            self._ended(operation, status, began)
        self._succeeded(answer)
        return answer

    def _admit(self, budget: Budget) -> None:
        now = self._clock()
        if self._free == 0:
            raise self._postponed("concurrency", "as many calls run as may at once", _BUSY_SECONDS)
        if wait := self._breaker.admit(now):
            self._observer.withheld(self._subscription, "circuit", wait)
            raise Transient(f"{self._name} is not asked now: {self._trouble}", wait)
        if wait := self._limiter.take(budget, now):
            self._breaker.abandoned()
            raise self._postponed("rate", f"as many {budget} were made as Azure takes", wait)

    def _postponed(self, cause: str, words: str, wait: float) -> Postponed:
        later = wait + _SPREAD_SECONDS * self._rand()
        self._observer.withheld(self._subscription, cause, later)
        return Postponed(f"{self._name} is not asked now: {words}", later)

    def _succeeded(self, answer: Answer) -> None:
        self._breaker.succeeded()
        self._observer.circuit(self._subscription, is_open=False)
        self._limiter.learn(answer.remaining)
        for counter, count in answer.remaining.items():
            self._observer.remaining(self._subscription, counter, count)

    def _failed(self, budget: Budget, verdict: Verdict, status: int | None) -> ReconcileError:
        now = self._clock()
        if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._trouble = verdict.message
            self._breaker.failed(now)
        else:
            self._breaker.succeeded()
        self._observer.circuit(self._subscription, is_open=self._breaker.is_open)
        if verdict.kind is Kind.THROTTLED and verdict.retry_after is not None:
            self._limiter.hold(budget, now + verdict.retry_after)
        return verdict.as_error()

    def _ended(self, operation: str, status: int | None, began: float) -> None:
        self._free += 1
        self._breaker.abandoned()
        code = "<error>" if status is None else str(status)
        self._observer.called(self._subscription, operation, code, self._clock() - began)

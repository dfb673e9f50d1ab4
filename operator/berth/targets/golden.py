"""Sends golden requests beside the workers: a pass asks for the outcome and never waits for it."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from berth.api.conditions import ConditionType
from berth.api.serving import Expectation, Validation
from berth.core.errors import ReconcileError, Transient
from berth.core.keys import Key
from berth.plan import children
from berth.plan.cluster import Golden
from berth.plan.report import holds
from berth.plan.resources import SECRETS
from berth.plan.subject import Subject
from berth.targets.base import Cluster

_RETRY_SECONDS = 20.0
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the HTTP status code and the body."""

    code: int
    body: str


class Caller(Protocol):
    """Posts one request; raises Transient where no answer comes."""

    async def __call__(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Post `body` to `url`."""


@dataclass(slots=True)
class _Attempt:
    uid: str
    generation: int
    outcome: Golden | None = None
    task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class GoldenRequests:
    """Keeps the last outcome for each ModelDeployment, and calls `wake` when there is a new one."""

    def __init__(self, api: Cluster, call: Caller, wake: Callable[[Key], None]) -> None:
        self._api = api
        self._call = call
        self._wake = wake
        self._attempts: dict[Key, _Attempt] = {}

    def outcome(self, subject: Subject, service: Mapping[str, Any] | None) -> Golden | None:
        """Return the last outcome for the current generation, or None and start asking."""
        validation = subject.spec.validation
        if validation is None or service is None or holds(subject, ConditionType.VALIDATED):
            self.forget(subject.key)
            return None
        attempt = self._attempts.get(subject.key)
        present = (subject.metadata.uid, subject.metadata.generation)
        if attempt is not None and (attempt.uid, attempt.generation) == present:
            return attempt.outcome
        self.forget(subject.key)
        url = f"http://{service['spec']['clusterIP']}:{children.SERVICE_PORT}{validation.request.path}"
        attempt = self._attempts[subject.key] = _Attempt(*present)
        attempt.task = asyncio.create_task(self._ask_until_passed(attempt, subject, validation, url))
        return None

    def forget(self, key: Key) -> None:
        """Ask no more for this ModelDeployment."""
        attempt = self._attempts.pop(key, None)
        if attempt is not None:
            attempt.cancel()

    async def _ask_until_passed(
        self, attempt: _Attempt, subject: Subject, validation: Validation, url: str
    ) -> None:
        while attempt.outcome is None or not attempt.outcome.passed:
            outcome = await self._ask(subject, validation, url)
            changed, attempt.outcome = outcome != attempt.outcome, outcome
            if changed:
                self._wake(subject.key)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _ask(self, subject: Subject, validation: Validation, url: str) -> Golden:
        try:
            async with asyncio.timeout(validation.timeout_seconds):
                headers = {
                    "Content-Type": validation.request.content_type,
                    **await self._authorization(subject),
                }
                answer = await self._call(url, validation.request.body, headers)
        except TimeoutError:
            return _failed(f"no answer within {validation.timeout_seconds} s")
        except ReconcileError as error:
            return _failed(f"no answer: {error}")
        return judge(validation.expect, answer)

    async def _authorization(self, subject: Subject) -> dict[str, str]:
        if not children.wants_keys(subject):
            return {}
        secret = await self._api.get(SECRETS, Key(subject.metadata.namespace, children.keys_name(subject)))
        encoded = secret.get("data", {}).get(children.KEY_NAMES[0])
        if not encoded:
            raise Transient(f"Secret {secret['metadata']['name']} holds no {children.KEY_NAMES[0]}")
        return {"Authorization": f"Bearer {base64.b64decode(encoded).decode(errors='replace').strip()}"}


def judge(expected: Expectation, answer: Answer) -> Golden:
    """Compare an answer with what is expected of it."""
    if answer.code != expected.status_code:
        return _failed(f"{answer.code} instead of {expected.status_code}: {_shown(answer.body)}")
    if expected.body is not None and not _same(expected.body, answer.body):
        return _failed(f"{_shown(answer.body)} instead of {_shown(expected.body)}")
    return Golden(passed=True, message="The golden request passed")


def _failed(what: str) -> Golden:
    return Golden(passed=False, message=f"The golden request got {what}")


def _same(expected: str, actual: str) -> bool:
    try:
        return bool(json.loads(expected) == json.loads(actual))
    except ValueError:
        return expected == actual


def _shown(body: str) -> str:
    text = body.strip()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"

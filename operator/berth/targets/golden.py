"""Sends golden requests beside the workers: a pass asks for the outcome and never waits for it."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from berth.api.conditions import ConditionStatus, ConditionType
from berth.api.serving import Expectation, Validation
from berth.core.errors import ReconcileError, Transient
from berth.core.keys import Key
from berth.plan import children
from berth.plan.labels import pod_selector
from berth.plan.report import holds
from berth.plan.resources import PODS, SECRETS
from berth.plan.rollout import earlier_pods
from berth.plan.subject import Subject
from berth.plan.validation import Golden
from berth.targets.base import Cluster
from berth.targets.inquiries import Inquiries, Reply

_LONGEST_PAUSE = 20.0
_SHOWN_CHARACTERS = 200
_NOT_THERE_YET = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the HTTP status code and the body."""

    code: int
    body: str


class Caller(Protocol):
    """Posts one request; raises Transient where no answer comes."""

    async def __call__(
        self, url: str, body: str, headers: Mapping[str, str], certificate: bytes | None
    ) -> Answer:
        """Post `body` to `url`; by HTTPS that must show the certificate of this SHA-256, if one is given."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What an outcome is about; `serving` tells what is to answer from what did before."""

    uid: str
    generation: int
    root: str
    serving: str
    pods: str = ""
    """Label selector of the Pods that may answer, if any do."""
    certificate: bytes | None = None


class GoldenRequests:
    """Knows the last outcome for each ModelDeployment, and calls `wake` when there is a new one."""

    def __init__(self, api: Cluster, call: Caller, wake: Callable[[Key], None]) -> None:
        self._api = api
        self._call = call
        self._inquiries = Inquiries[_Question, Golden](wake, _LONGEST_PAUSE)

    def outcome(self, subject: Subject, root: str, serving: str) -> Golden | None:
        """Return the last outcome for the current generation, or None and start asking.

        `root` is the URL that the path of the request follows, `serving` the hash that the Pods carry which
        are to answer there.
        """
        metadata, pods = subject.metadata, pod_selector(subject)
        return self._outcome(subject, _Question(metadata.uid, metadata.generation, root, serving, pods))

    def outcome_of_group(
        self, subject: Subject, root: str, fingerprint: str, certificate: bytes | None
    ) -> Golden | None:
        """Return the same for a container group, which answers alone.

        `certificate` is the SHA-256 of the one that it must show by HTTPS.
        """
        uid, generation = subject.metadata.uid, subject.metadata.generation
        question = _Question(uid, generation, root, fingerprint, certificate=certificate)
        return self._outcome(subject, question)

    def _outcome(self, subject: Subject, question: _Question) -> Golden | None:
        validation = subject.spec.validation
        if validation is None or subject.spec.suspend or holds(subject, ConditionType.VALIDATED):
            self.forget(subject.key)
            return None
        return self._inquiries.answer(
            subject.key, question, lambda: self._reply(question, subject, validation)
        )

    def forget(self, key: Key) -> None:
        """Ask no more for this ModelDeployment."""
        self._inquiries.forget(key)

    def end(self) -> None:
        """Ask nobody any more."""
        self._inquiries.end()

    async def _reply(self, question: _Question, subject: Subject, validation: Validation) -> Reply[Golden]:
        outcome = await self._ask(question, subject, validation)
        return Reply(outcome, outcome.status is ConditionStatus.TRUE)

    async def _ask(self, question: _Question, subject: Subject, validation: Validation) -> Golden:
        try:
            async with asyncio.timeout(validation.timeout_seconds):
                if earlier := await self._earlier_pod(question, subject):
                    return _unanswered(f"waits for pod {earlier} of an earlier spec, which still answers")
                headers = {
                    "Content-Type": validation.request.content_type,
                    **await self._authorization(subject),
                }
                url = f"{question.root}{validation.request.path}"
                answer = await self._call(url, validation.request.body, headers, question.certificate)
        except TimeoutError:
            return _unanswered(f"got no answer within {validation.timeout_seconds} s")
        except ReconcileError as error:
            return _unanswered(f"got no answer: {error}")
        return judge(validation.expect, answer)

    async def _earlier_pod(self, question: _Question, subject: Subject) -> str | None:
        if not question.pods:
            return None
        pods = await self._api.list(PODS, subject.metadata.namespace, labels=question.pods)
        return next(earlier_pods(pods.items, question.serving), None)

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
        told = f"got {answer.code} instead of {expected.status_code}: {_shown(answer.body)}"
        return _unanswered(told) if answer.code in _NOT_THERE_YET else _failed(told)
    if expected.body is not None and not _same(expected.body, answer.body):
        return _failed(f"got {_shown(answer.body)} instead of {_shown(expected.body)}")
    return Golden(ConditionStatus.TRUE, "The golden request passed")


def _failed(what: str) -> Golden:
    return Golden(ConditionStatus.FALSE, f"The golden request {what}")


def _unanswered(what: str) -> Golden:
    return Golden(ConditionStatus.UNKNOWN, f"The golden request {what}")


def _same(expected: str, actual: str) -> bool:
    try:
        return bool(json.loads(expected) == json.loads(actual))
    except ValueError:
        return expected == actual


def _shown(body: str) -> str:
    text = body.strip()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"

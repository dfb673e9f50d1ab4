"""One pass over one ModelDeployment: observe, decide, act, report."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from berth.api.common import Target as TargetKind
from berth.api.conditions import Condition
from berth.api.status import ModelDeploymentStatus
from berth.core.errors import Terminal
from berth.core.keys import Key
from berth.core.results import Done, Result
from berth.core.store import Store
from berth.plan.observed import Observed, narrow_model_deployment
from berth.plan.report import Draft, Event, events, failed, next_status, suspended, unreadable
from berth.plan.resources import MODEL_DEPLOYMENTS, Resource
from berth.plan.subject import Metadata, Subject
from berth.targets.base import Object, Target

logger = logging.getLogger(__name__)

Subjects = Store[Key, Observed]


class StatusApi(Protocol):
    """Writes the status of an object."""

    async def apply_status(self, resource: Resource, body: Object) -> Object:
        """Set the status by server-side apply, and return the whole object."""


class Recorder(Protocol):
    """Tells the user what happened; never fails and never waits."""

    def record(self, subject: Subject, event: Event) -> None:
        """Post a Kubernetes Event about the ModelDeployment."""


class Reconciler:
    """Makes a ModelDeployment what its spec says, and its status what is true."""

    def __init__(
        self,
        subjects: Subjects,
        targets: Mapping[TargetKind, Target],
        *,
        api: StatusApi,
        recorder: Recorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._subjects = subjects
        self._targets = targets
        self._api = api
        self._recorder = recorder
        self._clock = clock

    async def reconcile(self, key: Key) -> Result:
        """Run one pass; it may be repeated or interrupted at any point."""
        observed = self._subjects.get(key)
        if observed is None:
            self._forget(key)
            return Done()
        subject = Subject.parse(observed)
        target = self._targets[subject.spec.target]
        if subject.metadata.deletion_timestamp is not None:
            self._forget(key)
            return await target.end(subject)
        observation = await target.observe(subject)
        plan = target.plan(subject, observation, self._clock())
        if subject.spec.suspend:
            await self._report(subject, suspended(subject, None if plan.steps else plan.draft))
            return Done()
        await target.act(subject, plan)
        for event in plan.events:
            self._recorder.record(subject, event)
        if plan.draft is not None:
            await self._report(subject, plan.draft)
        return plan.result

    async def report_failure(self, key: Key, error: Exception) -> None:
        """Say in the status why a pass failed."""
        observed = self._subjects.get(key)
        if observed is None:
            return
        logger.warning("The pass failed: %s", error)
        try:
            subject = Subject.parse(observed)
        except Terminal:
            await self._report_unreadable(observed, error)
        else:
            await self._report(subject, failed(subject, error))

    def _forget(self, key: Key) -> None:
        for target in self._targets.values():
            target.forget(key)

    async def _report(self, subject: Subject, draft: Draft) -> None:
        """Write the status if it differs, and tell of what changed for the user."""
        status = next_status(subject, draft, self._clock())
        for event in events(subject, status):
            self._recorder.record(subject, event)
        await self._write(subject, status)

    async def _report_unreadable(self, observed: Observed, error: Exception) -> None:
        """Replace the status, in which every other word may be out of date."""
        known = observed.parse()["status"]
        conditions = map(Condition.model_validate, known.get("conditions", ()))
        metadata = Metadata.parse(observed)
        status = unreadable(metadata, conditions, error, self._clock())
        if _as_json(status) != known:
            await self._apply(metadata, status)

    async def _write(self, subject: Subject, status: ModelDeploymentStatus) -> None:
        if status != subject.status:
            await self._apply(subject.metadata, status)

    async def _apply(self, metadata: Metadata, status: ModelDeploymentStatus) -> None:
        key = Key(metadata.namespace, metadata.name)
        body = {
            "apiVersion": MODEL_DEPLOYMENTS.api_version,
            "kind": MODEL_DEPLOYMENTS.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": metadata.uid},
            "status": _as_json(status),
        }
        written = narrow_model_deployment(await self._api.apply_status(MODEL_DEPLOYMENTS, body))
        # A spec that came in between is left to the watch, whose news would else be taken for an echo.
        if Metadata.parse(written) == metadata:
            self._subjects.put(key, written)


def _as_json(status: ModelDeploymentStatus) -> Object:
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")

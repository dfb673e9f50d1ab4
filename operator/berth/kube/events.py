"""Kubernetes Events about ModelDeployments: posted beside the passes, repeated ones counted."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from berth.core.errors import Gone, ReconcileError
from berth.core.keys import Key
from berth.kube.client import Api, Object
from berth.plan.report import Event
from berth.plan.resources import EVENTS, MODEL_DEPLOYMENTS
from berth.plan.subject import Subject

logger = logging.getLogger(__name__)

CONTROLLER = "berth.dev/operator"

_LONGEST_NOTE = 1024
"""Bytes, as the API server counts."""
_REMEMBERED = 4096


@dataclass(slots=True)
class _Series:
    """One thing that happened, perhaps repeatedly."""

    subject: Key
    uid: str
    event: Event
    count: int = 0
    told: float = field(default=float("-inf"))
    posted: Key | None = None


class EventRecorder:
    """Posts Events from a bounded queue; the same one about the same object once in `window` seconds."""

    def __init__(
        self,
        api: Api,
        instance: str,
        *,
        window: float = 600.0,
        limit: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._instance = instance
        self._window = window
        self._clock = clock
        self._queue: asyncio.Queue[_Series] = asyncio.Queue(limit)
        self._series: OrderedDict[tuple[str, Event], _Series] = OrderedDict()

    def record(self, subject: Subject, event: Event) -> None:
        """Post an Event soon; neither waits nor fails, and drops it when too many are waiting."""
        self.record_about(subject.key, subject.metadata.uid, event)

    def record_about(self, key: Key, uid: str, event: Event) -> None:
        """Post an Event soon about a ModelDeployment that may be gone."""
        series = self._series.setdefault((uid, event), _Series(key, uid, event))
        self._series.move_to_end((uid, event))
        if len(self._series) > _REMEMBERED:
            self._series.popitem(last=False)
        series.count += 1
        if self._clock() - series.told < self._window:
            return
        try:
            self._queue.put_nowait(series)
        except asyncio.QueueFull:
            logger.warning("Too many Events: dropped %s of %s", event.reason, key)
        else:
            series.told = self._clock()

    async def run(self) -> None:
        """Post what was recorded, for ever."""
        while True:
            series = await self._queue.get()
            try:
                await self._post(series)
            except ReconcileError as error:
                about = series.subject._asdict() | {"uid": series.uid}
                logger.warning(
                    "The Event %s was not posted: %s", series.event.reason, error, extra={"about": about}
                )

    async def _post(self, series: _Series) -> None:
        if series.posted is not None:
            update: Object = {"series": {"count": series.count, "lastObservedTime": _now()}}
            try:
                await self._api.merge_patch(EVENTS, series.posted, update)
            except Gone:
                # The API server forgets Events after an hour.
                series.count = 1
            else:
                return
        name = f"{series.subject.name[:200]}.{time.time_ns():x}"
        await self._api.create(EVENTS, self._body(series, name))
        series.posted = Key(series.subject.namespace, name)

    def _body(self, series: _Series, name: str) -> Object:
        event = series.event
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"namespace": series.subject.namespace, "name": name},
            "eventTime": _now(),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "reason": event.reason,
            "note": event.note.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "type": "Warning" if event.is_warning else "Normal",
            "regarding": {
                "apiVersion": MODEL_DEPLOYMENTS.api_version,
                "kind": MODEL_DEPLOYMENTS.kind,
                "namespace": series.subject.namespace,
                "name": series.subject.name,
                "uid": series.uid,
            },
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""What a hub shows: the deployments of one ModelDeployment, and how many devices do what."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from berth.api.status import FailingDevice
from berth.plan.edge_deployment import FAILED, OFFLINE, RUNNING, Desired, agent_content, deployment_id
from berth.plan.edge_query import BAD_STATES, RESTARTS_TOO_MANY
from berth.plan.group_names import FINGERPRINT, Owner

MOST_NAMED = 10
SUCCESS = 200
"""What an agent says where it could do all that it was told."""
_LONGEST_TEXT = 1024
_MODULE = "properties.desired.modules."

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """Devices; None where the hub has not counted them: that is not 0."""

    targeted: int | None = None
    applied: int | None = None
    running: int | None = None
    failed: int | None = None
    offline: int | None = None
    is_close: bool = True
    """Whether devices were asked just now; else it is what the hub counts by itself, every five minutes."""

    @property
    def seen(self) -> int | None:
        """Devices that are connected."""
        if self.targeted is None or self.offline is None:
            return None
        return max(0, self.targeted - self.offline)

    @property
    def out_of_date(self) -> int | None:
        """Devices that were told, are connected, and neither run the current module nor fail."""
        if self.applied is None or self.running is None or self.failed is None or self.offline is None:
            return None
        return max(0, self.applied - self.running - self.failed - self.offline)


@dataclass(frozen=True, slots=True)
class Live:
    """A deployment of ours as the hub shows it."""

    document: Json

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.document["id"])

    @property
    def etag(self) -> str:
        """What tells whether someone else has changed it."""
        return str(self.document["etag"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self.document.get("labels") or {}

    @property
    def fingerprint(self) -> str | None:
        """What tells the content that was sent from other contents."""
        return self.labels.get(FINGERPRINT)

    @property
    def condition(self) -> str:
        """Its target condition."""
        return self.document.get("targetCondition") or ""

    @property
    def priority(self) -> int:
        """Its priority."""
        return self.document.get("priority") or 0

    @property
    def changed(self) -> datetime | None:
        """When it was made or changed."""
        moment = self.document.get("lastUpdatedTimeUtc") or self.document.get("createdTimeUtc")
        return datetime.fromisoformat(moment) if moment else None

    @property
    def is_as_made(self) -> bool:
        """Whether nothing was changed since, so that all that was counted is of after the last change."""
        return self.document.get("lastUpdatedTimeUtc") in {None, self.document.get("createdTimeUtc")}

    @property
    def created(self) -> str:
        """When it was made; of two with one priority the newer one counts."""
        return self.document.get("createdTimeUtc") or ""

    @property
    def counts(self) -> Counts:
        """What the hub has counted for it."""
        system = _results(self.document, "systemMetrics")
        own = _results(self.document, "metrics")
        return Counts(
            system.get("targetedCount"),
            system.get("appliedCount"),
            own.get(RUNNING),
            own.get(FAILED),
            own.get(OFFLINE),
            is_close=False,
        )

    def counts_of(self, desired: Desired) -> Counts:
        """Return what the hub has counted of a content: who was told of another one does not have it."""
        return self.counts if self.holds(desired) else replace(self.counts, running=0, failed=0)

    def relabelled(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """Return it with more labels, as the hub is told of it."""
        kept = ("id", "schemaVersion", "content", "targetCondition", "priority")
        told = {name: self.document.get(name) for name in kept}
        queries = (self.document.get("metrics") or {}).get("queries") or {}
        return {**told, "labels": {**self.labels, **labels}, "metrics": {"queries": queries}}

    def holds(self, desired: Desired) -> bool:
        """Tell whether it has the content that is wanted, and not only its name."""
        content = (self.document.get("content") or {}).get("modulesContent") or {}
        return bool(content == desired.content)


def own_deployments(owner: Owner, documents: Iterable[Json]) -> tuple[Live, ...]:
    """Return the deployments that were made for a ModelDeployment, the newest first.

    One that has lost its labels is known by its id, which no one else would give.
    """
    prefix = deployment_id(owner, "")
    own = (
        Live(document)
        for document in documents
        if (whose := owner_of(document)) == owner
        or (whose is None and str(document["id"]).startswith(prefix))
    )
    return tuple(sorted(own, key=lambda live: (live.created, live.id), reverse=True))


def owner_of(document: Json) -> Owner | None:
    """Return for whom Berth has made a deployment."""
    return Owner.read(_tagged(document))


def rivals(owner: Owner, module: str, documents: Iterable[Json]) -> Iterator[str]:
    """Name the deployments of others that claim a module name; on devices that both choose, one wins."""
    for document in documents:
        told = agent_content(dict(document))
        names = {name.removeprefix(_MODULE) for name in told if name.startswith(_MODULE)}
        names |= set((told.get("properties.desired") or {}).get("modules") or {})
        if module in names and owner_of(document) != owner:
            yield str(document["id"])


def counted(chosen: Sequence[Json], twins: Sequence[Json], desired: Desired) -> Counts:
    """Count chosen devices by the twins of all agents that were told, as the hub does by its queries.

    Who is told, but not chosen any more, is about to lose the module.
    """
    names = {each["deviceId"] for each in chosen}
    twins = [twin for twin in twins if twin["deviceId"] in names]
    connected = [twin for twin in twins if twin.get("connectionState") != "Disconnected"]
    return Counts(
        targeted=len(chosen),
        applied=len(twins),
        running=sum(_runs(twin, desired) for twin in connected),
        failed=sum(fails(twin, desired) for twin in connected),
        offline=len(twins) - len(connected),
    )


def fails(twin: Json, desired: Desired) -> bool:
    """Tell whether a connected device cannot run the module, as `edge_query.failed` asks."""
    if twin.get("connectionState") == "Disconnected" or _runs(twin, desired):
        return False
    seen = _module_of(twin, desired.module)
    if seen.get("version") == desired.version:
        return seen.get("runtimeStatus") in BAD_STATES or _restarts(seen) >= RESTARTS_TOO_MANY
    return _is_settled(twin) and _code(twin) != SUCCESS


def failing_devices(twins: Iterable[Json], module: str) -> tuple[FailingDevice, ...]:
    """Read the twins of agents on which a module fails."""
    return tuple(_failing(twin, module) for twin in list(twins)[:MOST_NAMED])


def untold_devices(chosen: Iterable[Json], told: Iterable[Json]) -> tuple[FailingDevice, ...]:
    """Name the devices whose agent was not told, which is so without a base deployment."""
    known = {each["deviceId"] for each in told}
    missing = sorted(each["deviceId"] for each in chosen if each["deviceId"] not in known)
    told_why = "Not applied: no base deployment reaches the device"
    return tuple(FailingDevice(device_id=each, description=told_why) for each in missing[:MOST_NAMED])


def overruled_devices(twins: Iterable[Json], desired: Desired) -> tuple[FailingDevice, ...]:
    """Name the devices that did all they were told and run another module of this name."""
    found = (
        FailingDevice(device_id=twin["deviceId"], description="It was told another module of this name")
        for twin in twins
        if twin.get("connectionState") != "Disconnected"
        and _module_of(twin, desired.module).get("version") != desired.version
        and _is_settled(twin)
        and _code(twin) == SUCCESS
    )
    return tuple(islice(found, MOST_NAMED))


def _is_settled(twin: Json) -> bool:
    """Tell whether the agent has tried what it was told last."""
    version = ((twin.get("properties") or {}).get("desired") or {}).get("$version")
    return bool(version == _reported(twin).get("lastDesiredVersion"))


def _code(twin: Json) -> int:
    code: int = (_reported(twin).get("lastDesiredStatus") or {}).get("code", SUCCESS)
    return code


def _reported(twin: Json) -> Json:
    return (twin.get("properties") or {}).get("reported") or {}


def _module_of(twin: Json, module: str) -> Json:
    return (_reported(twin).get("modules") or {}).get(module) or {}


def _runs(twin: Json, desired: Desired) -> bool:
    seen = _module_of(twin, desired.module)
    is_current = seen.get("version") == desired.version and seen.get("runtimeStatus") == "running"
    return is_current and _restarts(seen) < RESTARTS_TOO_MANY


def _restarts(seen: Json) -> int:
    return seen.get("restartCount") or 0


def _failing(twin: Json, module: str) -> FailingDevice:
    reported, seen = _reported(twin), _module_of(twin, module)
    agent = reported.get("lastDesiredStatus") or {}
    description = seen.get("statusDescription") if seen.get("exitCode") else None
    return FailingDevice(
        device_id=twin["deviceId"],
        runtime_status=seen.get("runtimeStatus"),
        exit_code=seen.get("exitCode"),
        description=(description or agent.get("description") or seen.get("statusDescription") or "")[
            :_LONGEST_TEXT
        ]
        or None,
    )


def _results(document: Json, kind: str) -> Mapping[str, int]:
    found: Mapping[str, int] = (document.get(kind) or {}).get("results") or {}
    return found


def _tagged(document: Json) -> Json:
    return {"tags": document.get("labels") or {}}

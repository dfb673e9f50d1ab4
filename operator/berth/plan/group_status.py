"""The status of a ModelDeployment on Azure container instances: what GET shows, in words for the user."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from berth.api.status import AciStatus, ModelStatus
from berth.plan.causes import Cause, Fetched, model_failed
from berth.plan.group_causes import containers, fetched, first_cause
from berth.plan.group_changes import Way
from berth.plan.group_endpoint import observed_endpoint
from berth.plan.group_quota import NOBODY, Ahead, Room, quota_available
from berth.plan.group_recovery import has_ended, is_given_up
from berth.plan.report import Draft, Event, condition, held, is_overdue, progressing, stalled, worked
from berth.plan.subject import Subject
from berth.plan.validation import Golden, validated, validation_verdict

DEADLINE_SECONDS = 1800
SLOW_SECONDS = 300

_STILL = f"; it takes longer than {SLOW_SECONDS} s already"
_WAS = f"; it took longer than {SLOW_SECONDS} s"
AGAIN = "; it is made again, later each time"

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one ModelDeployment's container group."""

    group: Json | None = None
    """As GET returns it, with instance view; None where there is none."""
    way: Way = Way.NOTHING
    """What it takes to bring it to what is wanted."""
    logs: Mapping[str, str] = field(default_factory=dict)
    """The last lines of the containers that `group_causes.telling` names, and of `fetch` once."""
    answers: bool | None = None
    """Whether the endpoint says that it is ready; None where it was not asked."""
    golden: Golden | None = None
    """How the golden request ended; None while it has not been answered."""
    room: Room | None = None
    ahead: Ahead = NOBODY
    """How many others wait for room before this one."""


def group_draft(subject: Subject, seen: Observation, now: datetime) -> Draft:
    """Say how the container group fares."""
    cause = first_cause(seen.group, seen.logs) if seen.group else None
    found = fetched(seen.group, seen.logs) if seen.group else None
    verdict = _timed(subject, _verdict(subject, seen, cause, now), now)
    details = [
        _model_available(subject, seen, cause, found),
        _endpoint_ready(seen),
        quota_available(None if seen.group else seen.room, seen.ahead),
    ]
    if subject.spec.validation:
        details.append(validated(subject, seen.golden))
    return Draft((*verdict, *details), _fields(subject, seen, found))


def is_serving(group: Json | None) -> bool:
    """Tell whether the group is provisioned, and all of it runs."""
    return (
        group is not None
        and group["properties"].get("provisioningState") == "Succeeded"
        and _state(group) == "Running"
        and all(container.is_running for container in containers(group))
    )


def address(group: Json | None) -> str | None:
    """Return the name that callers reach the group by, or its address where it has no name."""
    given = (group or {}).get("properties", {}).get("ipAddress") or {}
    return given.get("fqdn") or given.get("ip")


def slow_event(subject: Subject, draft: Draft) -> Event | None:
    """Tell once for each generation that it took longer than it should."""
    late = [each.message for each in draft.conditions if each.message.endswith((_STILL, _WAS))]
    known = [
        each.message
        for each in subject.status.conditions or ()
        if each.observed_generation == subject.metadata.generation
    ]
    if not late or any(message.endswith((_STILL, _WAS)) for message in known):
        return None
    return Event("SlowDeployment", late[0], is_warning=True)


def _verdict(
    subject: Subject, seen: Observation, cause: Cause | None, now: datetime
) -> tuple[Condition, ...]:
    """Return Ready, with Reconciling or Stalled where it is not true."""
    if seen.group is None:
        return _absent(seen)
    if seen.way > Way.TAGS:
        return progressing(Reason.ROLLING_OUT, "The container group is brought to the current spec")
    if is_serving(seen.group) and seen.answers is not False:
        return validation_verdict(subject, seen.golden, now, DEADLINE_SECONDS)
    return _waiting(subject, seen, cause, now)


def _absent(seen: Observation) -> tuple[Condition, ...]:
    place = quota_available(seen.room, seen.ahead)
    if place.status is ConditionStatus.FALSE:
        return stalled(Reason.QUOTA_EXCEEDED, place.message)
    return progressing(Reason.ROLLING_OUT, "The container group is being created")


def _waiting(
    subject: Subject, seen: Observation, cause: Cause | None, now: datetime
) -> tuple[Condition, ...]:
    if seen.group and (is_given_up(seen.group) or has_ended(seen.group)):
        ended = cause or Cause(Reason.CONTAINER_FAILED, _describe(seen))
        again = AGAIN if is_given_up(seen.group) else ""
        return stalled(ended.reason, ended.message + again)
    late = cause or Cause(Reason.PROGRESS_DEADLINE_EXCEEDED, _describe(seen))
    if late.is_final or is_overdue(subject, late.reason, now, DEADLINE_SECONDS):
        return stalled(late.reason, late.message)
    return progressing(cause.reason if cause else Reason.ROLLING_OUT, late.message)


def _describe(seen: Observation) -> str:
    group = seen.group or {"properties": {}}
    if is_serving(group):
        return "The container runs, and does not say that it is ready"
    provisioning = group["properties"].get("provisioningState") or "unknown"
    return f"Azure says: provisioning {provisioning}, group {_state(group) or 'unknown'}"


def _timed(subject: Subject, verdict: tuple[Condition, ...], now: datetime) -> tuple[Condition, ...]:
    """Add to the messages that it takes, or took, longer than it should."""
    first = verdict[0]
    is_done = first.status is ConditionStatus.TRUE
    known = subject.status.deploy_duration_seconds
    is_known = known is not None and subject.status.observed_generation == subject.metadata.generation
    seconds = known if is_done and is_known and known is not None else worked(subject, now)
    if seconds <= SLOW_SECONDS or any(each.type == ConditionType.STALLED for each in verdict):
        return verdict
    words = _WAS if is_done else _STILL
    return tuple(each.model_copy(update={"message": each.message + words}) for each in verdict)


def _model_available(
    subject: Subject, seen: Observation, cause: Cause | None, found: Fetched | None
) -> Condition:
    kind = ConditionType.MODEL_AVAILABLE
    if is_serving(seen.group) and seen.answers is not False:
        return condition(kind, ConditionStatus.TRUE, Reason.MODEL_SERVED, "The model was fetched and loaded")
    if cause and model_failed(cause):
        return condition(kind, ConditionStatus.FALSE, cause.reason, cause.message)
    if known := held(subject, kind):
        return known
    if found:
        return condition(kind, ConditionStatus.TRUE, Reason.MODEL_FETCHED, "The model was fetched")
    return condition(
        kind, ConditionStatus.UNKNOWN, Reason.FETCHING_MODEL, "The model has not been fetched yet"
    )


def _endpoint_ready(seen: Observation) -> Condition:
    kind, host = ConditionType.ENDPOINT_READY, address(seen.group)
    if host is None:
        told = "The container group has no address"
        return condition(kind, ConditionStatus.FALSE, Reason.WAITING_FOR_ADDRESS, told)
    if is_serving(seen.group) and seen.answers is not False:
        return condition(kind, ConditionStatus.TRUE, Reason.ENDPOINT_READY, f"{host} answers")
    return condition(kind, ConditionStatus.FALSE, Reason.NOT_READY, "The container does not answer")


def _fields(subject: Subject, seen: Observation, found: Fetched | None) -> dict[str, Any]:
    host = address(seen.group)
    named = subject.spec.tls and subject.spec.tls.hostname
    root = observed_endpoint(seen.group).root(named or host) if seen.group and host else None
    fields: dict[str, Any] = {
        "scoring_uri": f"{root}/score" if root else None,
        "swagger_uri": f"{root}/swagger.json" if root and not subject.spec.has_own_server else None,
        "replicas": int(seen.group is not None),
        "ready_replicas": int(is_serving(seen.group) and seen.answers is not False),
        "aci": _aci_status(seen.group) if seen.group else None,
    }
    if digest := _digest(subject, seen, found):
        model = subject.spec.all_models[0]
        fields["model"] = ModelStatus(name=model.name, version=model.version, digest=digest)
    return fields


def _digest(subject: Subject, seen: Observation, found: Fetched | None) -> str | None:
    """Return the digest of the only model, as it was fetched or, once that serves, as it was pinned."""
    if len(subject.spec.all_models) != 1:
        return None
    model = subject.spec.all_models[0]
    if found:
        return found.digests.get(model.name)
    return f"sha256:{model.sha256}" if model.sha256 and is_serving(seen.group) else None


def _aci_status(group: Json) -> AciStatus:
    properties = group["properties"]
    given = properties.get("ipAddress") or {}
    return AciStatus(
        resource_id=group.get("id"),
        location=group.get("location"),
        provisioning_state=properties.get("provisioningState"),
        state=_state(group),
        ip=given.get("ip"),
        fqdn=given.get("fqdn"),
        restarts=sum(container.view.get("restartCount") or 0 for container in containers(group)),
    )


def _state(group: Json) -> str | None:
    state: str | None = (group["properties"].get("instanceView") or {}).get("state")
    return state

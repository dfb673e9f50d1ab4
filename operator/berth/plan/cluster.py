"""The plan for a model that is served in a Kubernetes cluster: observation in, steps and status out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from berth.api.aks import ServiceType
from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from berth.api.names import child_name
from berth.api.status import AksStatus, ModelStatus
from berth.core.results import Done, RequeueAfter, Result
from berth.plan import children
from berth.plan.causes import Cause, Fetched, model_failed
from berth.plan.children import ScoringImage
from berth.plan.labels import pod_selector
from berth.plan.report import Draft, Event, condition, held, is_overdue, progressing, ready, stalled
from berth.plan.resources import DEPLOYMENTS, SECRETS, SERVICES
from berth.plan.rollout import Rollout, read_rollout
from berth.plan.steps import (
    Apply,
    Children,
    Create,
    Overrides,
    Remove,
    Step,
    overridden,
    own,
    steps,
    wanted,
)
from berth.plan.subject import Subject
from berth.plan.validation import Golden, validated, validation_verdict

_NO_ADDRESS = "The load balancer has no address yet"
_SETTLE_SECONDS = 0.5
_POLL_SECONDS = 5.0
_STALLED_POLL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one ModelDeployment's objects in the cluster."""

    children: Children
    cause: Cause | None = None
    """Why Pods do not run, where the rollout is not complete."""
    pods: Sequence[Mapping[str, Any]] = ()
    """The Pods of the current spec, where the rollout is not complete."""
    fetched: Fetched | None = None
    golden: Golden | None = None
    """None while the golden request has not been answered."""
    overrides: Overrides = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do and what to say; without a draft the status is about to change and is not written yet."""

    steps: Sequence[Step]
    draft: Draft | None
    result: Result
    events: Sequence[Event] = field(default=())


def plan(subject: Subject, observation: Observation, image: ScoringImage, now: datetime) -> Plan:
    """Decide on steps and status.

    Raises Terminal where a name is taken by an object that is not ours.
    """
    objects = wanted(subject, image, observation.children)
    found = steps(subject, objects, observation.children, observation.overrides)
    observation = replace(observation, children=own(subject, observation.children))
    if subject.status.observed_generation == -1 and any(isinstance(step, Create) for step in found):
        return Plan(found, None, RequeueAfter(_SETTLE_SECONDS))
    rollout = read_rollout(observation.children.get(DEPLOYMENTS))
    rolls = any(map(_touches_pods, found)) or not is_serving(subject, rollout)
    if rolls and not children.wants_keys(subject):
        found = _keeping_keys(found)
    overrides = overridden(objects, observation.children, observation.overrides)
    verdict = tuple(_naming(overrides, each) for each in _verdict(subject, observation, rollout, found, now))
    draft = Draft(
        (*verdict, *_details(subject, observation, rollout)), _fields(subject, observation, rollout)
    )
    return Plan(found, draft, _next_look(verdict, found), tuple(_repairs(found)))


def is_serving(subject: Subject, rollout: Rollout) -> bool:
    """Tell whether the newest template is rolled out."""
    return rollout.is_complete(children.least_replicas(subject))


def address(subject: Subject, observed: Children) -> str | None:
    """Return the host that callers reach the endpoint by, once there is one."""
    name = child_name(subject.metadata.name)
    if not children.is_public(subject):
        return f"{name}.{subject.metadata.namespace}.svc"
    ingress = observed.get(SERVICES, {}).get("status", {}).get("loadBalancer", {}).get("ingress", ())
    return next((entry.get("ip") or entry.get("hostname") for entry in ingress), None)


def root(subject: Subject, host: str) -> str:
    """Return the URL that the paths of the HTTP routes follow."""
    is_tls = subject.placement.is_tls
    port = next(port.service for port in subject.placement.ports if port.name == "http")
    usual = port == (443 if is_tls else 80)
    return f"{'https' if is_tls else 'http'}://{host}" + ("" if usual else f":{port}")


def _verdict(
    subject: Subject, observation: Observation, rollout: Rollout, found: Sequence[Step], now: datetime
) -> tuple[Condition, ...]:
    """Return Ready, with Reconciling or Stalled where it is not true."""
    if any(_touches_pods(step) for step in found):
        return progressing(Reason.ROLLING_OUT, "The Deployment was brought to the current spec")
    if not is_serving(subject, rollout):
        return _waiting(subject, observation, rollout)
    if children.least_replicas(subject) == 0 and rollout.replicas == 0:
        return (ready(Reason.SCALED_TO_ZERO, "No replicas are wanted, so nothing answers"),)
    if address(subject, observation.children) is None:
        late = is_overdue(subject, Reason.WAITING_FOR_ADDRESS, now, _deadline_seconds(subject))
        return (stalled if late else progressing)(Reason.WAITING_FOR_ADDRESS, _NO_ADDRESS)
    return validation_verdict(subject, observation.golden, now, _deadline_seconds(subject))


def _naming(overrides: Sequence[str], each: Condition) -> Condition:
    """Say with Ready what the cluster keeps otherwise."""
    if not overrides or each.status is not ConditionStatus.TRUE or each.type != ConditionType.READY:
        return each
    told = f"{each.message}; a policy of the cluster has changed {', '.join(overrides)}"
    return each.model_copy(update={"message": told})


def _deadline_seconds(subject: Subject) -> int:
    return subject.placement.progress_deadline_seconds


def _waiting(subject: Subject, observation: Observation, rollout: Rollout) -> tuple[Condition, ...]:
    cause = rollout.blocked or observation.cause
    missing = rollout.describe(children.least_replicas(subject))
    if cause and cause.is_final:
        return stalled(cause.reason, cause.message)
    if rollout.deadline_exceeded:
        if cause:
            return stalled(cause.reason, cause.message)
        return stalled(Reason.PROGRESS_DEADLINE_EXCEEDED, missing)
    if cause:
        return progressing(cause.reason, cause.message)
    return progressing(Reason.ROLLING_OUT, missing)


def _details(subject: Subject, observation: Observation, rollout: Rollout) -> Iterator[Condition]:
    yield _model_available(subject, observation, rollout)
    host = address(subject, observation.children)
    if rollout.available and host:
        yield condition(
            ConditionType.ENDPOINT_READY, ConditionStatus.TRUE, Reason.ENDPOINT_READY, f"{host} answers"
        )
    else:
        yield condition(
            ConditionType.ENDPOINT_READY,
            ConditionStatus.FALSE,
            Reason.NOT_READY if host else Reason.WAITING_FOR_ADDRESS,
            "No replica is available" if host else _NO_ADDRESS,
        )
    if subject.spec.validation:
        yield validated(subject, observation.golden)


def _model_available(subject: Subject, observation: Observation, rollout: Rollout) -> Condition:
    kind = ConditionType.MODEL_AVAILABLE
    if is_serving(subject, rollout):
        return condition(kind, ConditionStatus.TRUE, Reason.MODEL_SERVED, "The model was fetched and loaded")
    cause = observation.cause
    if cause and model_failed(cause):
        return condition(kind, ConditionStatus.FALSE, cause.reason, cause.message)
    if known := held(subject, kind):
        return known
    if observation.fetched:
        return condition(kind, ConditionStatus.TRUE, Reason.MODEL_FETCHED, "The model was fetched")
    return condition(
        kind, ConditionStatus.UNKNOWN, Reason.FETCHING_MODEL, "The model has not been fetched yet"
    )


def _fields(subject: Subject, observation: Observation, rollout: Rollout) -> Mapping[str, Any]:
    host = address(subject, observation.children)
    fields: dict[str, Any] = {
        "scoring_uri": f"{root(subject, host)}/score" if host else None,
        "swagger_uri": f"{root(subject, host)}/swagger.json"
        if host and not subject.spec.has_own_server
        else None,
        "replicas": rollout.replicas,
        "ready_replicas": rollout.ready,
        "selector": pod_selector(subject),
        "aks": AksStatus(
            expose_type=ServiceType(subject.placement.expose.type),
            service_name=child_name(subject.metadata.name),
        ),
    }
    if (digest := _digest(subject, observation, rollout)) is not None:
        model = subject.spec.all_models[0]
        fields["model"] = ModelStatus(name=model.name, version=model.version, digest=digest)
    return fields


def _digest(subject: Subject, observation: Observation, rollout: Rollout) -> str | None:
    """Return the digest of the only model, as it was fetched or, once that serves, as it was pinned."""
    if len(subject.spec.all_models) != 1:
        return None
    model = subject.spec.all_models[0]
    if observation.fetched:
        return observation.fetched.digests.get(model.name)
    return f"sha256:{model.sha256}" if model.sha256 and is_serving(subject, rollout) else None


def _next_look(verdict: tuple[Condition, ...], found: Sequence[Step]) -> Result:
    """Look again while something is awaited that no watch would tell."""
    kinds = {each.type for each in verdict}
    if ConditionType.STALLED in kinds:
        return RequeueAfter(_STALLED_POLL_SECONDS)
    if ConditionType.RECONCILING in kinds or found:
        return RequeueAfter(_POLL_SECONDS)
    return Done()


def _repairs(found: Sequence[Step]) -> Iterator[Event]:
    for step in found:
        if isinstance(step, Apply) and step.drifted:
            kind, name = step.desired.resource.kind, step.desired.name
            yield Event("DriftCorrected", f"{kind} {name} was changed by someone else and has been repaired")


def _keeping_keys(found: Sequence[Step]) -> list[Step]:
    """Leave the keys until the new template serves: Pods of the previous one cannot start without them."""
    return [step for step in found if not (isinstance(step, Remove) and step.resource is SECRETS)]


def _touches_pods(step: Step) -> bool:
    return isinstance(step, Create | Apply) and step.desired.resource is DEPLOYMENTS

"""What to do so that the cluster holds what Berth wants: the smallest set of writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from berth.api.conditions import Reason
from berth.api.names import child_name
from berth.core.errors import Terminal
from berth.core.keys import Key
from berth.plan import children
from berth.plan.children import APPLIED, KEY_NAMES, Desired, ScoringImage
from berth.plan.diff import covers, differences
from berth.plan.observed import controller_of, model_deployment_of
from berth.plan.resources import AUTOSCALERS, DEPLOYMENTS, DISRUPTION_BUDGETS, SECRETS, SERVICES, Resource
from berth.plan.subject import Subject

Parsed = Mapping[str, Any]
Children = Mapping[Resource, Parsed]

_STRANGER_SECONDS = 60.0
"""No watch tells when an object that is not ours has gone."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object that is not there."""

    desired: Desired


@dataclass(frozen=True, slots=True)
class Apply:
    """Bring an object to what is wanted; `drifted` tells that someone else changed it."""

    desired: Desired
    drifted: bool


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete an object that is no longer wanted."""

    resource: Resource
    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class FillKeys:
    """Generate the keys that a Secret lacks."""

    key: Key
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseReplicas:
    """Keep the number of replicas in another manager's name, from which the autoscaler takes over."""

    key: Key
    replicas: int


Step = Create | Apply | Remove | FillKeys | ReleaseReplicas


@dataclass(frozen=True, slots=True)
class Override:
    """What the cluster makes of one wish: a mutating policy of its own has the last word."""

    applied: str
    instead: tuple[tuple[str, Any], ...]
    """The fields that differ, and their values."""

    @classmethod
    def seen(cls, desired: Desired, there: Parsed) -> Self:
        """Compare an object with what is wanted of it."""
        return cls(desired.applied, tuple(differences(there, desired.fields)))


Overrides = Mapping[Resource, Override]


def child_names(subject: Subject) -> dict[Resource, str]:
    """Return the name that each kind of child has, whether it is wanted now or not."""
    name = child_name(subject.metadata.name)
    return {
        SECRETS: children.keys_name(subject),
        DEPLOYMENTS: name,
        SERVICES: name,
        AUTOSCALERS: name,
        DISRUPTION_BUDGETS: name,
    }


def own(subject: Subject, observed: Children) -> Children:
    """Leave out strangers, and what an earlier ModelDeployment of the same name has left behind."""
    return {resource: there for resource, there in observed.items() if _is_ours(subject, there["metadata"])}


def wanted(subject: Subject, image: ScoringImage, observed: Children) -> list[Desired]:
    """Return every object that the ModelDeployment consists of, in the order in which they are written."""
    objects = [
        children.deployment(subject, image, observed=own(subject, observed).get(DEPLOYMENTS)),
        children.service(subject),
    ]
    if children.wants_keys(subject):
        objects.insert(0, children.keys_secret(subject))
    if children.is_autoscaled(subject):
        objects.append(children.autoscaler(subject))
    if children.least_replicas(subject) > 1:
        objects.append(children.disruption_budget(subject))
    return objects


def steps(subject: Subject, objects: list[Desired], observed: Children, overrides: Overrides) -> list[Step]:
    """Compare what is wanted with what is there; what applying it again did not change is let be.

    Raises Terminal where a name is taken by an object that is not ours.
    """
    found: list[Step] = []
    for desired in objects:
        found += _towards(subject, desired, observed, overrides.get(desired.resource))
    kept = {desired.resource for desired in objects}
    found += [
        Remove(resource, _key(subject, there), there["metadata"]["uid"])
        for resource, there in own(subject, observed).items()
        if resource not in kept
    ]
    return found


def overridden(objects: list[Desired], observed: Children, overrides: Overrides) -> list[str]:
    """Name the fields that the cluster keeps otherwise than Berth wants them."""
    return [
        f"{desired.resource.kind} {path}"
        for desired in objects
        if desired.resource in overrides
        and desired.resource in observed
        and overrides[desired.resource] == Override.seen(desired, observed[desired.resource])
        for path, _ in overrides[desired.resource].instead
    ]


def _towards(
    subject: Subject, desired: Desired, observed: Children, override: Override | None
) -> Iterator[Step]:
    there = observed.get(desired.resource)
    if there is None:
        yield from _creation(subject, desired)
        return
    key = _key(subject, there)
    if not _is_ours(subject, there["metadata"]):
        refuse_stranger(subject, desired.resource, there["metadata"])
        yield Remove(desired.resource, key, there["metadata"]["uid"])
        return
    if desired.resource is DEPLOYMENTS and _replicas_are_to_be_released(subject, there, observed):
        yield ReleaseReplicas(key, _present_replicas(subject, there))
    same_wish = there["metadata"]["annotations"].get(APPLIED) == desired.applied
    if not (same_wish and (covers(there, desired.fields) or override == Override.seen(desired, there))):
        yield Apply(desired, drifted=same_wish)
    if desired.resource is SECRETS and (missing := sorted(set(KEY_NAMES) - set(there["entries"]))):
        yield FillKeys(key, tuple(missing))


def _creation(subject: Subject, desired: Desired) -> Iterator[Step]:
    """Start with the least that the autoscaler would ask for, since it takes its time to say so."""
    yield Create(desired)
    if (
        desired.resource is DEPLOYMENTS
        and children.is_autoscaled(subject)
        and children.least_replicas(subject) > 1
    ):
        key = Key(subject.metadata.namespace, desired.name)
        yield ReleaseReplicas(key, children.least_replicas(subject))


def _replicas_are_to_be_released(subject: Subject, deployment: Parsed, observed: Children) -> bool:
    """Tell whether the number is still ours, or was never set since the operator died after the creation."""
    if not children.is_autoscaled(subject):
        return False
    too_few = deployment["spec"].get("replicas", 1) < children.least_replicas(subject)
    return deployment["ownsReplicas"] or (too_few and AUTOSCALERS not in observed)


def _present_replicas(subject: Subject, deployment: Parsed) -> int:
    scaling = subject.spec.scaling
    present: int = deployment["spec"].get("replicas", 1)
    return min(max(present, scaling.min_replicas), scaling.max_replicas or present)


def _is_ours(subject: Subject, metadata: Parsed) -> bool:
    controller = controller_of(metadata)
    return controller is not None and controller["uid"] == subject.metadata.uid


def refuse_stranger(subject: Subject, resource: Resource, metadata: Parsed) -> None:
    """Raise Terminal unless this or an earlier ModelDeployment of the same name made the object."""
    if model_deployment_of(metadata) == subject.metadata.name:
        return
    controller = controller_of(metadata)
    owner = "{kind} {name} of {apiVersion}".format_map(controller) if controller else "nobody known"
    raise Terminal(
        Reason.CONFLICT,
        f"{resource.kind} {metadata['name']} exists and belongs to {owner}: "
        "delete it, or rename this ModelDeployment",
        _STRANGER_SECONDS,
    )


def _key(subject: Subject, there: Parsed) -> Key:
    return Key(subject.metadata.namespace, there["metadata"]["name"])

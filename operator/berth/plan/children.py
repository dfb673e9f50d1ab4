"""The objects that a ModelDeployment on a Kubernetes cluster consists of."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from berth.api.aks import ServiceType
from berth.api.conditions import Reason
from berth.api.names import child_name
from berth.api.serving import AuthMode
from berth.core.errors import Terminal
from berth.plan.labels import child_labels, selector_labels
from berth.plan.observed import ANNOTATION_PREFIX
from berth.plan.pods import pod_template
from berth.plan.resources import AUTOSCALERS, DEPLOYMENTS, DISRUPTION_BUDGETS, SECRETS, SERVICES, Resource
from berth.plan.subject import Subject

APPLIED = f"{ANNOTATION_PREFIX}applied"
SCORING_IMAGE = f"{ANNOTATION_PREFIX}scoring-image"
PULL_POLICY = f"{ANNOTATION_PREFIX}scoring-image-pull-policy"
SERVING = f"{ANNOTATION_PREFIX}serving"
KEY_NAMES = ("primaryKey", "secondaryKey")

_LARGEST_DEPLOYMENT = 1_000_000
"""In bytes of JSON; its Pods, as the API server keeps them, then stay below the 1.5 MiB that etcd takes."""

_INTERNAL_LOAD_BALANCER = "service.beta.kubernetes.io/azure-load-balancer-internal"
_SERVING_FIELDS = {
    "model",
    "models",
    "code",
    "image",
    "image_server",
    "env",
    "resources",
    "requests",
    "probes",
}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScoringImage:
    """The scoring image that this operator would use, and how nodes get it."""

    name: str
    pull_policy: str


@dataclass(frozen=True, slots=True)
class Desired:
    """One object as Berth wants it."""

    resource: Resource
    body: Json

    @property
    def name(self) -> str:
        """The name of the object."""
        return str(self.body["metadata"]["name"])

    @property
    def fields(self) -> Json:
        """The object without its kind, which lists of objects leave out."""
        return {name: value for name, value in self.body.items() if name not in ("apiVersion", "kind")}

    @property
    def applied(self) -> str:
        """The hash that tells this wish from an earlier one."""
        return str(self.body["metadata"]["annotations"][APPLIED])


def deployment(subject: Subject, image: ScoringImage, *, observed: Mapping[str, Any] | None) -> Desired:
    """Build the Deployment; an upgrade or setting of the operator restarts no Pod, see `kept_image`.

    Raises Terminal where the API server could not store it.
    """
    image = kept_image(subject, image, observed=observed)
    serving = serving_hash(subject, image)
    secret = keys_name(subject) if wants_keys(subject) else None
    placement = subject.placement
    surge = {"maxSurge": placement.surge, "maxUnavailable": 0 if placement.surge else 1 + placement.lacking}
    spec: Json = {
        **({} if is_autoscaled(subject) else {"replicas": subject.spec.scaling.replicas}),
        "selector": {"matchLabels": selector_labels(subject)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": surge},
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": placement.progress_deadline_seconds,
        "template": pod_template(
            subject,
            image=image.name,
            pull_policy=image.pull_policy,
            keys_secret=secret,
            annotations={SERVING: serving},
        ),
    }
    annotations = {SERVING: serving, SCORING_IMAGE: image.name, PULL_POLICY: image.pull_policy}
    desired = _desired(subject, DEPLOYMENTS, {"spec": spec}, annotations)
    _refuse_too_large(subject, desired)
    return desired


def service(subject: Subject) -> Desired:
    """Build the Service that callers reach the Pods by."""
    expose = subject.placement.expose
    internal = {_INTERNAL_LOAD_BALANCER: "true"} if expose.internal else {}
    spec = {
        "type": expose.type.value,
        "selector": selector_labels(subject),
        "ports": [
            {"name": port.name, "port": port.service, "targetPort": port.name, "protocol": "TCP"}
            for port in subject.placement.ports
        ],
    }
    return _desired(subject, SERVICES, {"spec": spec}, {**internal, **(expose.annotations or {})})


def autoscaler(subject: Subject) -> Desired:
    """Build the autoscaler: up at once, down after a quiet minute."""
    scaling = subject.spec.scaling
    utilization = {"type": "Utilization", "averageUtilization": scaling.target_utilization_percent}
    spec = {
        "scaleTargetRef": {
            "apiVersion": DEPLOYMENTS.api_version,
            "kind": DEPLOYMENTS.kind,
            "name": child_name(subject.metadata.name),
        },
        "minReplicas": scaling.min_replicas,
        "maxReplicas": scaling.max_replicas,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}],
        "behavior": {
            "scaleUp": {
                "stabilizationWindowSeconds": 0,
                "selectPolicy": "Max",
                "policies": [
                    {"type": "Percent", "value": 100, "periodSeconds": 15},
                    {"type": "Pods", "value": 4, "periodSeconds": 15},
                ],
            },
            "scaleDown": {
                "stabilizationWindowSeconds": 60,
                "selectPolicy": "Max",
                "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
            },
        },
    }
    return _desired(subject, AUTOSCALERS, {"spec": spec}, {})


def disruption_budget(subject: Subject) -> Desired:
    """Build the budget that lets a node be drained one replica at a time, and of broken ones at once."""
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": selector_labels(subject)},
    }
    return _desired(subject, DISRUPTION_BUDGETS, {"spec": spec}, {})


def keys_secret(subject: Subject) -> Desired:
    """Build the Secret that holds the endpoint's keys; its values are generated where it is written."""
    return _desired(subject, SECRETS, {"type": "Opaque"}, {}, name=keys_name(subject))


def wants_keys(subject: Subject) -> bool:
    """Tell whether callers need a key."""
    return subject.spec.auth_mode is AuthMode.KEY


def keys_name(subject: Subject) -> str:
    """Return the name of the Secret with the keys."""
    return child_name(subject.metadata.name, "keys")


def is_autoscaled(subject: Subject) -> bool:
    """Tell whether the load decides on the number of replicas."""
    return subject.spec.scaling.max_replicas is not None


def least_replicas(subject: Subject) -> int:
    """Return the number of replicas that must answer before the deployment is Ready."""
    scaling = subject.spec.scaling
    return scaling.min_replicas if is_autoscaled(subject) else scaling.replicas


def is_public(subject: Subject) -> bool:
    """Tell whether the Service waits for an address from the cloud."""
    return subject.placement.expose.type is ServiceType.LOAD_BALANCER


def kept_image(subject: Subject, image: ScoringImage, *, observed: Mapping[str, Any] | None) -> ScoringImage:
    """Return the image that an unchanged serving spec was rolled out with, else `image`."""
    if observed is None:
        return image
    annotations = observed["metadata"]["annotations"]
    known = ScoringImage(annotations.get(SCORING_IMAGE, ""), annotations.get(PULL_POLICY, ""))
    return known if annotations.get(SERVING) == serving_hash(subject, known) else image


def serving_hash(subject: Subject, image: ScoringImage) -> str:
    """Return a hash of what Pods depend on; fields that later versions add to the spec do not change it."""
    spec = subject.spec
    fields = spec.model_dump(include=_SERVING_FIELDS, exclude_defaults=True, mode="json")
    return _hash([fields, subject.placement.serving, spec.auth_mode, image.name, image.pull_policy])


def _refuse_too_large(subject: Subject, desired: Desired) -> None:
    size = len(orjson.dumps(desired.body))
    if size <= _LARGEST_DEPLOYMENT:
        return
    fields = subject.spec.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    largest = max(fields, key=lambda name: len(orjson.dumps(fields[name])))
    raise Terminal(
        Reason.TOO_LARGE,
        f"spec.{largest} is too large: the Deployment would have {size:,} bytes of {_LARGEST_DEPLOYMENT:,} "
        "that fit; shorten it, or spread it over several ModelDeployments",
    )


def _desired(
    subject: Subject, resource: Resource, fields: Json, annotations: Mapping[str, str], *, name: str = ""
) -> Desired:
    metadata: Json = {
        "name": name or child_name(subject.metadata.name),
        "namespace": subject.metadata.namespace,
        "labels": child_labels(subject),
        "ownerReferences": [subject.owner_reference],
    }
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}
    metadata["annotations"] = {**annotations, APPLIED: _hash([body, dict(annotations)])}
    return Desired(resource, body)


def _hash(value: object) -> str:
    return sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

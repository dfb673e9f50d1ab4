"""Where in a cluster Pods run, and how callers reach them: all in which targets differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from berth.api.aks import AksTarget, Expose
from berth.api.common import PullSecrets, Tolerations
from berth.api.source import ModelSource
from berth.api.spec import ModelDeploymentSpec

PORT = 5001

_NOT_SERVING_AKS_FIELDS = {"expose", "progress_deadline_seconds"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the scoring container, and of the Service."""

    name: str
    container: int
    service: int


HTTP = Port("http", PORT, 80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a target decides of Pods and Service."""

    expose: Expose
    progress_deadline_seconds: int
    serving: object
    """What of all this Pods depend on, for the hash that tells whether they must be replaced."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Tolerations = ()
    image_pull_secrets: PullSecrets = ()
    service_account_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the Pods, besides those of every child."""
    pod: Json = field(default_factory=dict)
    """More fields of the Pod's spec."""
    resources: Json = field(default_factory=dict)
    """What the scoring container gets besides `spec.resources`."""
    supplemental_groups: tuple[int, ...] = ()
    surge: int = 1
    """Replicas that a rollout may have too many; with none it replaces one after the other."""
    lacking: int = 0
    """Replicas that cannot come up, for which a rollout without a surge does not wait."""
    ports: tuple[Port, ...] = (HTTP,)
    server: Json = field(default_factory=lambda: {"port": PORT})
    """What the container is told of its place."""
    more: Mapping[str, ModelSource] = field(default_factory=dict)
    """Models that are fetched besides those of the spec, by the names of their volumes."""
    tls_secret: str | None = None
    is_tls: bool = False


def aks_placement(spec: ModelDeploymentSpec) -> Placement:
    """Place Pods as `spec.aks` says."""
    aks: AksTarget = spec.aks_settings
    return Placement(
        expose=aks.expose,
        progress_deadline_seconds=aks.progress_deadline_seconds,
        serving=aks.model_dump(exclude=_NOT_SERVING_AKS_FIELDS, exclude_defaults=True, mode="json"),
        node_selector=aks.node_selector or {},
        tolerations=aks.tolerations or (),
        image_pull_secrets=aks.image_pull_secrets or (),
        service_account_name=aks.service_account_name,
    )

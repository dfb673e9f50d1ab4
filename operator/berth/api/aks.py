from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.base import ApiModel, Rule
from berth.api.common import NodeSelector, ObjectName, PullSecrets, Tolerations, keys_like_labels


class ServiceType(StrEnum):
    """How far the Service of the endpoint reaches."""

    CLUSTER_IP = "ClusterIP"
    LOAD_BALANCER = "LoadBalancer"


class Expose(ApiModel):
    """How far the endpoint reaches."""

    type: ServiceType = ServiceType.CLUSTER_IP
    """`ClusterIP` for callers in the cluster, `LoadBalancer` for callers outside."""
    internal: bool = False
    """Keep the load balancer inside the virtual network."""
    annotations: (
        Annotated[
            dict[str, Annotated[str, StringConstraints(max_length=1024)]],
            Field(max_length=32),
            keys_like_labels("annotations"),
        ]
        | None
    ) = None
    """Annotations of the Service, for the settings of a cloud's load balancer."""

    rules = (
        Rule(
            "!self.internal || self.type == 'LoadBalancer'",
            "internal needs type LoadBalancer: a ClusterIP never leaves the cluster",
        ),
    )


class AksTarget(ApiModel):
    """Settings of the target `AKS`: a Kubernetes cluster."""

    expose: Expose = Expose()
    """How far the endpoint reaches."""
    node_selector: NodeSelector | None = None
    """Labels that a node must have."""
    tolerations: Tolerations | None = None
    """Taints that the pods tolerate."""
    image_pull_secrets: PullSecrets | None = None
    """Secrets with the registries' credentials."""
    service_account_name: ObjectName | None = None
    """Service account of the pods, for workload identity; its token for the API server is never mounted."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """Seconds that a rollout may take before the deployment counts as stalled."""

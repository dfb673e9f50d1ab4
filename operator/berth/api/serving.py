from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.base import ApiModel, Rule
from berth.api.common import DNS_NAME, EXTENDED_RESOURCE, ObjectRef, Quantity

_RESOURCE_NAME = f"cpu|memory|ephemeral-storage|hugepages-[1-9][0-9]*[KMG]i|{EXTENDED_RESOURCE}"


class ImageServer(StrEnum):
    """Whose server runs in an own image."""

    OWN = "Own"
    BERTH = "Berth"


class ResourceRequests(ApiModel):
    """What each replica is guaranteed."""

    cpu: Quantity = "100m"
    """CPU cores, such as `100m` or `2`."""
    memory: Quantity = "500M"
    """Memory, such as `500M` or `2Gi`."""
    ephemeral_storage: Annotated[Quantity | None, Field(alias="ephemeral-storage")] = None
    """Local disk for the model and temporary files."""

    rules = (
        Rule("quantity(string(self.cpu)).isGreaterThan(quantity('0'))", "cpu must be greater than 0"),
        Rule("quantity(string(self.memory)).isGreaterThan(quantity('0'))", "memory must be greater than 0"),
    )


def _at_least_the_request(name: str) -> Rule:
    wanted = f"self.requests.{name.replace('-', '__dash__')}"
    limit, request = (f"quantity(string({of}))" for of in (f"self.limits['{name}']", wanted))
    return Rule(
        f"!has(self.limits) || !('{name}' in self.limits) || !has({wanted})"
        f" || {limit}.compareTo({request}) >= 0",
        f"limits.{name} must not be less than requests.{name}",
    )


class Resources(ApiModel):
    """Compute resources of each replica."""

    requests: ResourceRequests = ResourceRequests()
    """What each replica is guaranteed."""
    limits: (
        Annotated[
            dict[str, Quantity],
            Field(max_length=16),
            Rule(
                f"self.all(name, name.matches('^({_RESOURCE_NAME})$'))",
                "limits takes cpu, memory, ephemeral-storage, hugepages-SIZE and extended resources"
                " such as nvidia.com/gpu",
            ),
            Rule(
                "self.all(name, !name.contains('/') || quantity(string(self[name])).isInteger())",
                "limits of extended resources such as nvidia.com/gpu must be whole numbers",
            ),
        ]
        | None
    ) = None
    """What each replica may use at most; extended resources such as `nvidia.com/gpu` go here only."""

    rules = (
        _at_least_the_request("cpu"),
        _at_least_the_request("memory"),
        _at_least_the_request("ephemeral-storage"),
    )


class ScalingMetric(StrEnum):
    """What the autoscaler looks at."""

    CPU = "CPU"
    CONCURRENCY = "Concurrency"


class Scaling(ApiModel):
    """A fixed number of replicas, or bounds between which the load decides."""

    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Number of replicas while `maxReplicas` is absent; leave it at 1 with `maxReplicas`."""
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Lower bound of the autoscaler."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Upper bound of the autoscaler; giving it switches autoscaling on."""
    metric: ScalingMetric = ScalingMetric.CPU
    """What the autoscaler looks at."""
    target_utilization_percent: Annotated[int, Field(ge=1, le=100)] = 70
    """Utilization that the autoscaler aims at, in percent of the request."""

    rules = (
        Rule(
            "!has(self.maxReplicas) || self.replicas == 1",
            "replicas and maxReplicas exclude each other: remove one of the two",
        ),
        Rule(
            "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas must not be greater than maxReplicas",
        ),
        Rule(
            "has(self.maxReplicas) || (self.minReplicas == 1 && self.targetUtilizationPercent == 70)",
            "minReplicas and targetUtilizationPercent need maxReplicas: add it to switch autoscaling on",
        ),
    )


class Requests(ApiModel):
    """Limits on the requests that one replica takes."""

    timeout_milliseconds: Annotated[int, Field(ge=1, le=3_600_000)] = 60_000
    """Milliseconds that scoring may take before the caller gets 504."""
    max_concurrent_per_replica: Annotated[int, Field(ge=1, le=1000)] = 1
    """Requests that one replica scores at the same time."""
    max_queue_wait_milliseconds: Annotated[int, Field(ge=0, le=600_000)] = 500
    """Milliseconds that a request may wait for its turn before the caller gets 503."""


class StartupProbe(ApiModel):
    """How long a replica may take to load its model."""

    budget_seconds: Annotated[int, Field(ge=1, le=7200)] = 310
    """Seconds from container start to the first sign of life; then the replica is restarted."""


class Probe(ApiModel):
    """How often a replica is asked, and how its answers count."""

    initial_delay_seconds: Annotated[int, Field(ge=0, le=7200)] = 0
    """Seconds from container start to the first question; slow models are the startup probe's business."""
    period_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """Seconds between two questions."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 2
    """Seconds to wait for an answer."""
    success_threshold: Annotated[int, Field(ge=1, le=100)] = 1
    """Good answers in a row that count as success."""
    failure_threshold: Annotated[int, Field(ge=1, le=1000)] = 3
    """Missing answers in a row that count as failure."""


class LivenessProbe(Probe):
    """Restarts a replica that no longer answers."""

    rules = (
        Rule("self.successThreshold == 1", "a liveness probe takes no successThreshold but 1: remove it"),
    )


class ReadinessProbe(Probe):
    """Keeps requests away from a replica that is not ready for them."""

    period_seconds: Annotated[int, Field(ge=1, le=3600)] = 5
    """Seconds between two questions."""


class Probes(ApiModel):
    """How the health of a replica is judged."""

    startup: StartupProbe = StartupProbe()
    """How long a replica may take to load its model; the other two probes begin after it."""
    liveness: LivenessProbe = LivenessProbe()
    """Restarts a replica that no longer answers."""
    readiness: ReadinessProbe = ReadinessProbe()
    """Keeps requests away from a replica that is not ready for them."""


class AuthMode(StrEnum):
    """How callers prove that they may score."""

    NONE = "None"
    KEY = "Key"


class Auth(ApiModel):
    """How callers prove that they may score."""

    mode: AuthMode
    """`Key` asks for `Authorization: Bearer KEY` with one of two generated keys, `None` lets everyone in."""


class Tls(ApiModel):
    """A certificate for the endpoint."""

    secret_ref: ObjectRef | None = None
    """Secret of type `kubernetes.io/tls` with chain and key."""
    self_signed: bool = False
    """Serve a certificate that is made at the start and that callers cannot check: for development."""
    hostname: Annotated[str, StringConstraints(max_length=253, pattern=rf"^{DNS_NAME}$")] | None = None
    """Name that callers use; the certificate must hold it. Without it, the name that Azure gives."""

    rules = (
        Rule("has(self.secretRef) != self.selfSigned", "give either secretRef or selfSigned: true in tls"),
    )


class DataCollection(ApiModel):
    """Keeps inputs and predictions for monitoring and retraining."""

    enabled: bool = False
    """Collect."""
    sampling_percent: Annotated[int, Field(ge=0, le=100)] = 100
    """Share of the requests that is kept."""
    sink: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """URI of the folder that the records go to."""


class GoldenRequest(ApiModel):
    """A request whose answer is known."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^/[!-~]*$")] = "/score"
    """Route that the request is posted to."""
    content_type: Annotated[
        str, StringConstraints(min_length=3, max_length=128, pattern=r"^[!-~]+/[ -~]+$")
    ] = "application/json"
    """Media type of the body."""
    body: Annotated[str, StringConstraints(max_length=65536)]
    """Body, exactly as it is sent."""


class Expectation(ApiModel):
    """What the answer must be."""

    status_code: Annotated[int, Field(ge=100, le=599)] = 200
    """HTTP status code."""
    body: Annotated[str, StringConstraints(max_length=65536)] | None = None
    """Body; compared as JSON where both are JSON, else exactly. Without it any body will do."""


class Validation(ApiModel):
    """A golden request that must pass before the deployment is Ready."""

    request: GoldenRequest
    """What is sent."""
    expect: Expectation = Expectation()
    """What must come back."""
    timeout_seconds: Annotated[int, Field(ge=1, le=300)] = 10
    """Seconds to wait for the answer."""


class DeletionPolicy(StrEnum):
    """What becomes of the served model when the resource is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"

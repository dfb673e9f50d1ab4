from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.aks import ServiceType
from berth.api.base import ApiModel, ListMap
from berth.api.conditions import Condition
from berth.api.fpga_place import FpgaStatus
from berth.api.serving import AuthMode

Text = Annotated[str, StringConstraints(max_length=1024)]
Count = Annotated[int, Field(ge=0)]


class ModelStatus(ApiModel):
    """The model that is served."""

    name: Text | None = None
    """Name of the model; of several, the first and how many more there are."""
    version: Text | None = None
    """Version of the model."""
    digest: Text | None = None
    """Digest of the content that was fetched, such as `sha256:...`."""


class AuthStatus(ApiModel):
    """How callers prove that they may score."""

    mode: AuthMode
    """The mode in effect: `spec.auth.mode`, or the default of target and server."""
    secret_name: Text | None = None
    """Secret with the data keys `primaryKey` and `secondaryKey`."""


class AksStatus(ApiModel):
    """What was made in the cluster."""

    expose_type: ServiceType
    """Type of the Service in effect."""
    service_name: Text
    """Name of the Service."""


class AciStatus(ApiModel):
    """What was made in Azure."""

    resource_id: Text | None = None
    """Resource id of the container group."""
    location: Text | None = None
    """Region of the container group."""
    provisioning_state: Text | None = None
    """How Azure's last operation on it fares, in Azure's word."""
    state: Text | None = None
    """What its containers do, in Azure's word."""
    ip: Text | None = None
    """Address; it can change with an update."""
    fqdn: Text | None = None
    """Public name."""
    restarts: Count | None = None
    """How often Azure has restarted the container."""


class FailingDevice(ApiModel):
    """A device that does not do what is wanted of it."""

    device_id: Text
    """Id of the device."""
    runtime_status: Text | None = None
    """What the module does there, in the agent's word."""
    exit_code: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] | None = None
    """How the module ended last."""
    description: Text | None = None
    """Why, in the agent's words."""


class IotEdgeStatus(ApiModel):
    """What the hub knows of the fleet; a count that it has not told is left out."""

    deployment_id: Text | None = None
    """Id of the deployment in the hub."""
    targeted: Count | None = None
    """Devices that the condition chooses."""
    applied: Count | None = None
    """Devices among them whose agent was told."""
    running: Count | None = None
    """Devices that run the current module."""
    failed: Count | None = None
    """Devices on which it does not start, or ends."""
    offline: Count | None = None
    """Devices that are not connected; what they run is not known."""
    out_of_date: Count | None = None
    """Devices that are connected and run an earlier module, or none yet."""
    stage: Text | None = None
    """Stage of the rollout, such as `1 of 3`; `complete` when all devices have it."""
    stage_healthy_since: Text | None = None
    """When the stage had become healthy."""
    failing_devices: (
        Annotated[tuple[FailingDevice, ...], Field(max_length=10), ListMap("deviceId")] | None
    ) = None
    """The first of the devices that fail."""


class ModelDeploymentStatus(ApiModel):
    """What was observed."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """Generation of the resource that the status speaks of; -1 before the first look."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32), ListMap("type")] | None = None
    """`Ready` always; `Reconciling` and `Stalled` only when true; others tell the steps."""
    scoring_uri: Text | None = None
    """Address that scoring requests are posted to."""
    swagger_uri: Text | None = None
    """Address of the OpenAPI description of the endpoint."""
    grpc_endpoint: Text | None = None
    """Host and port of the gRPC endpoint."""
    replicas: Count | None = None
    """Replicas there are."""
    ready_replicas: Count | None = None
    """Replicas that answer requests."""
    selector: Text | None = None
    """Label selector of the pods, for autoscalers."""
    model: ModelStatus | None = None
    """The model that is served."""
    auth: AuthStatus | None = None
    """How callers prove that they may score."""
    deploy_duration_seconds: Annotated[float, Field(ge=0)] | None = None
    """Seconds from the change of the spec to Ready, for the current generation."""
    last_handled_reconcile_at: Text | None = None
    """The value of the annotation `reconcile.berth.dev/requestedAt` that was last acted on."""
    aks: AksStatus | None = None
    """What was made in the cluster."""
    aci: AciStatus | None = None
    """What was made in Azure."""
    iot_edge: IotEdgeStatus | None = None
    """What the hub knows of the fleet."""
    fpga: FpgaStatus | None = None
    """What was made in the cluster, and the devices that it runs on."""

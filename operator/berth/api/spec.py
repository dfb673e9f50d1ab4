from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.aci import AciTarget
from berth.api.aks import AksTarget
from berth.api.base import ApiModel, ListMap, Rule
from berth.api.common import EnvVar, ObjectRef, Target
from berth.api.fpga import FpgaTarget
from berth.api.iot_edge import IotEdgeTarget, inputs_of, outputs_of
from berth.api.serving import (
    Auth,
    AuthMode,
    DataCollection,
    DeletionPolicy,
    ImageServer,
    Probes,
    Requests,
    Resources,
    Scaling,
    Tls,
    Validation,
)
from berth.api.source import Code, ModelSource

_KEY_BY_DEFAULT = frozenset({Target.AKS})
_AKS_BY_DEFAULT = AksTarget()
_FPGA_BY_DEFAULT = FpgaTarget()
_PINNED = "(@sha256:[0-9a-f]{64}|:[^/:@]+)$"
_ROUTES_OF = "self.iotEdge.routes"
_ROUTES = "(has(self.iotEdge) && has(self.iotEdge.routes))"
_OUTPUTS, _INPUTS = outputs_of("self.iotEdge"), inputs_of("self.iotEdge")
_BERTH_SERVES = "!has(self.image) || (has(self.imageServer) && self.imageServer == 'Berth')"
_FEATURIZER = "(has(self.fpga) && has(self.fpga.featurizer))"
_DEFAULT_LIMITS = " && ".join(
    f"self.requests.{limit.alias} == {limit.default}" for limit in Requests.model_fields.values()
)


class ModelDeploymentSpec(ApiModel):
    """What shall be served, where and how."""

    target: Annotated[
        Target, Rule("self == oldSelf", "target cannot be changed: create another ModelDeployment")
    ]
    """Kind of place that serves the model; cannot be changed."""
    compute_target_ref: (
        Annotated[
            ObjectRef,
            Rule("self == oldSelf", "computeTargetRef cannot be changed: create another ModelDeployment"),
        ]
        | None
    ) = None
    """ComputeTarget that holds the connection and defaults of the place; cannot be changed."""
    model: ModelSource | None = None
    """The model. For several use `models`."""
    models: (
        Annotated[tuple[ModelSource, ...], Field(min_length=1, max_length=1000), ListMap("name")] | None
    ) = None
    """Several models behind one endpoint, told apart by their names."""
    code: Code | None = None
    """A scoring script with the Azure ML contract."""
    image: (
        Annotated[
            str,
            StringConstraints(
                min_length=1,
                max_length=512,
                pattern=r"^[a-z0-9][A-Za-z0-9._:/-]*(@sha256:[0-9a-f]{64})?$",
            ),
        ]
        | None
    ) = None
    """Own image: answers on port 5001, `GET /` with 200 while it can score; on FPGA by gRPC on port 8500."""
    image_server: ImageServer | None = None
    """Whose server runs in `image`: `Own` (also if absent), or `Berth` if it is built on Berth's image."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=256), ListMap("name")] | None = None
    """Environment variables of the scoring container."""
    resources: Resources = Resources()
    """Compute resources of each replica."""
    scaling: Scaling = Scaling()
    """A fixed number of replicas, or bounds between which the load decides."""
    requests: Requests = Requests()
    """Limits on the requests that one replica takes."""
    probes: Probes = Probes()
    """How the health of a replica is judged."""
    auth: Auth | None = None
    """How callers prove that they may score. Default: `Key` where Berth's server runs on AKS, else `None`."""
    tls: Tls | None = None
    """A certificate for the endpoint."""
    data_collection: DataCollection | None = None
    """Keeps inputs and predictions for monitoring and retraining."""
    validation: Validation | None = None
    """A golden request that must pass before the deployment is Ready."""
    suspend: bool = False
    """Stop acting on changes; what is there stays."""
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    """What becomes of the served model when the resource is deleted."""
    aks: AksTarget | None = None
    """Settings of the target `AKS`."""
    aci: AciTarget | None = None
    """Settings of the target `ACI`."""
    iot_edge: IotEdgeTarget | None = None
    """Settings of the target `IoTEdge`."""
    fpga: FpgaTarget | None = None
    """Settings of the target `FPGA`."""

    rules = (
        Rule("!has(self.model) || !has(self.models)", "give either model or models, not both"),
        Rule(
            "has(self.model) || has(self.models) || has(self.image) || has(self.fpga)",
            "give a model by model or models, or an image that holds one",
        ),
        Rule(
            "has(self.code) || has(self.image) || !has(self.model) || has(self.model.format)",
            "tell how to serve the model: give model.format, or code with a scoring script, or an image",
        ),
        Rule(
            "has(self.code) || has(self.image) || !has(self.models) || self.models.all(m, has(m.format))",
            "tell how to serve the models: give each a format, or code with a scoring script, or an image",
        ),
        Rule(
            "!has(self.imageServer) || has(self.image)", "imageServer tells of image: give one, or remove it"
        ),
        Rule(
            f"{_BERTH_SERVES} || !has(self.auth) || self.auth.mode != 'Key'",
            "only Berth's server checks keys: use auth.mode None, or an image built on Berth's"
            " and imageServer Berth",
        ),
        Rule(
            f"{_BERTH_SERVES} || ({_DEFAULT_LIMITS})",
            "only Berth's server holds the limits in requests: remove them, or use an image built on Berth's"
            " and imageServer Berth",
        ),
        Rule(
            f"{_BERTH_SERVES} || !has(self.tls)",
            "only Berth's server ends TLS: remove tls, or use an image built on Berth's"
            " and imageServer Berth",
        ),
        Rule(
            "self.target != 'ACI' || has(self.computeTargetRef)",
            "target ACI needs computeTargetRef with the name of a ComputeTarget of kind ACI",
        ),
        Rule(
            "self.target != 'ACI' || !has(self.env)"
            " || self.env.all(v, v.name.matches('^[A-Za-z0-9_]{1,63}$'))",
            "on ACI the name of an environment variable has at most 63 letters, digits and '_': rename it",
        ),
        Rule(
            "!has(self.validation) || !has(self.aci) || self.aci.priority != 'Spot'",
            "priority Spot has no address to send the golden request to: remove validation, or use Regular",
        ),
        Rule(
            "self.target != 'IoTEdge' || has(self.iotEdge)",
            "target IoTEdge needs iotEdge with deviceId or targetCondition",
        ),
        Rule(
            "self.target != 'IoTEdge' || has(self.computeTargetRef)",
            "target IoTEdge needs computeTargetRef with the name of a ComputeTarget of kind IoTEdge",
        ),
        Rule(
            f"!({_BERTH_SERVES}) || !{_ROUTES} || !has(self.iotEdge.module.name) || {_ROUTES_OF}.all(r,"
            f" !r.into.startsWith({_INPUTS}) || r.into == {_INPUTS} + 'amlInput\")')",
            "a route leads nowhere: the only input of Berth's server is amlInput",
        ),
        Rule(
            f"!({_BERTH_SERVES}) || !{_ROUTES} || !has(self.iotEdge.module.name) || {_ROUTES_OF}.all(r,"
            f" !r.from.startsWith({_OUTPUTS}) || r.from.matches('/([*]|outputs/[*]|outputs/amlOutput)$'))",
            "a route begins nowhere: the only output of Berth's server is amlOutput",
        ),
        Rule(
            "self.target != 'IoTEdge' || !has(self.env)"
            " || self.env.all(v, v.name.matches('^[A-Za-z0-9_]{1,63}$'))",
            "on IoTEdge the name of an environment variable has at most 63 letters, digits and '_':"
            " rename it",
        ),
        Rule(
            "self.target != 'IoTEdge' || !has(self.image)"
            f" || self.image.matches('{_PINNED}') && !self.image.endsWith(':latest')",
            "devices see a new image by its name alone: give image a tag other than latest, or a digest",
        ),
        Rule(
            f"self.target != 'FPGA' || !({_BERTH_SERVES}) || {_FEATURIZER}",
            "target FPGA needs fpga.featurizer, or an image that brings its own",
        ),
        Rule(
            f"self.target != 'FPGA' || !({_BERTH_SERVES}) || !has(self.model) || !{_FEATURIZER}"
            " || self.fpga.featurizer != 'SSDVGG'",
            "no classifier follows fpga.featurizer SSDVGG, which gives classes itself: remove model",
        ),
        Rule(
            "self.target != 'FPGA' || has(self.computeTargetRef)"
            " || (has(self.fpga) && has(self.fpga.device.resourceName))",
            "target FPGA needs computeTargetRef with the name of a ComputeTarget of kind FPGA,"
            " or fpga.device.resourceName",
        ),
        Rule(
            "self.target != 'FPGA' || self.probes.startup.budgetSeconds"
            " < (has(self.fpga) ? self.fpga.progressDeadlineSeconds : 600)",
            "fpga.progressDeadlineSeconds (default 600) must be greater than probes.startup.budgetSeconds",
        ),
        Rule(
            "self.target != 'AKS' || self.probes.startup.budgetSeconds"
            " < (has(self.aks) ? self.aks.progressDeadlineSeconds : 600)",
            "aks.progressDeadlineSeconds (default 600) must be greater than probes.startup.budgetSeconds",
        ),
    )

    @property
    def all_models(self) -> tuple[ModelSource, ...]:
        """The models, whether given by `model` or by `models`."""
        return (self.model,) if self.model else self.models or ()

    @property
    def auth_mode(self) -> AuthMode:
        """The mode in effect: the one asked for, else the default of the target and the server."""
        if self.auth:
            return self.auth.mode
        keys_by_default = self.target in _KEY_BY_DEFAULT and not self.has_own_server
        return AuthMode.KEY if keys_by_default else AuthMode.NONE

    @property
    def has_own_server(self) -> bool:
        """Whether another server than Berth's answers requests."""
        return self.image is not None and self.image_server is not ImageServer.BERTH

    @property
    def aks_settings(self) -> AksTarget:
        """The settings of the target `AKS` in effect."""
        return self.aks or _AKS_BY_DEFAULT

    @property
    def fpga_settings(self) -> FpgaTarget:
        """The settings of the target `FPGA` in effect."""
        return self.fpga or _FPGA_BY_DEFAULT

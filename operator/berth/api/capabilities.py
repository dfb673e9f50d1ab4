"""Which target honours which part of the spec: the source of the refusals, their docs and their tests."""

from dataclasses import dataclass

from berth.api.aci import AciUpdateStrategy
from berth.api.common import Target
from berth.api.serving import AuthMode, DeletionPolicy, ScalingMetric
from berth.api.source import ModelFormat
from berth.api.uri import STORAGE_SCHEMES

ALL = frozenset(Target)
NOWHERE: frozenset[Target] = frozenset()
IN_CLUSTER = frozenset({Target.AKS, Target.FPGA})
IN_CLOUD = IN_CLUSTER | {Target.ACI}
BY_IDENTITY = frozenset({Target.AKS, Target.ACI, Target.FPGA})


@dataclass(frozen=True)
class Capability:
    """A part of the spec, the targets that honour it, and what to do on the others.

    `path` leads to a field below `spec`; `[]` enters the items of a list, and a way into `model` goes for
    each of `models` too. With `value` the row speaks of that value only, with `scheme` of every URI of that
    scheme (`path` is then empty), with `keys_other_than` of the other keys of a map. Where one of the fields
    `unless` is given, the row does not apply.
    """

    path: str
    targets: frozenset[Target]
    instead: str = ""
    value: str | None = None
    scheme: str | None = None
    keys_other_than: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The row's name in messages and documents."""
        if self.scheme:
            return f"{self.scheme}://"
        if self.value:
            return f"spec.{self.path} {self.value}"
        if self.keys_other_than:
            *others, last = self.keys_other_than
            return f"spec.{self.path} other than {', '.join(others)} and {last}"
        return f"spec.{self.path}"

    @property
    def refusing(self) -> tuple[Target, ...]:
        """The targets that do not honour it."""
        return tuple(target for target in Target if target not in self.targets)

    @property
    def message(self) -> str:
        """What the API server answers where it is refused."""
        where = f"on {', '.join(self.refusing)}" if self.targets else "yet"
        return f"{self.label} is not available {where}: {self.instead}"


def _format(name: ModelFormat) -> Capability:
    return Capability(
        "model.format",
        NOWHERE,
        f"give spec.code that loads {name} or a spec.image that serves it, or export the model to ONNX",
        value=name,
        unless=("code", "image"),
    )


def _remote(scheme: str, targets: frozenset[Target]) -> Capability:
    instead = "give an https:// URI, with credentialsSecretRef where the server asks for credentials"
    return Capability("", targets, instead, scheme=scheme)


_FORMATS_TO_COME = (
    ModelFormat.XGBOOST,
    ModelFormat.LIGHTGBM,
    ModelFormat.MLFLOW,
    ModelFormat.PYTORCH,
    ModelFormat.TENSORFLOW,
)
_ONE_CONTAINER = "a container group or device runs one replica; remove it, or use target AKS"
_ON_DEVICE = "set it in spec.iotEdge.module.createOptions (HostConfig, Healthcheck)"
_NO_SECRETS = (
    "a device keeps what it is told in the clear; build the files into spec.image and give file:///PATH"
)
_CONNECTION = "AKS means the operator's own cluster; remove it"
_ONNX_CLASSIFIER = "export the classifier to ONNX and give format onnx"

CAPABILITIES: tuple[Capability, ...] = (
    Capability("target", ALL),
    Capability("computeTargetRef", ALL - {Target.AKS}, _CONNECTION),
    Capability("model", ALL),
    Capability("models", ALL - {Target.FPGA}, "a device serves one model; give it by spec.model"),
    Capability(
        "model.format",
        IN_CLOUD - {Target.FPGA} | {Target.IOT_EDGE},
        _ONNX_CLASSIFIER,
        value=ModelFormat.SKLEARN,
    ),
    Capability("model.format", ALL, value=ModelFormat.ONNX),
    *map(_format, _FORMATS_TO_COME),
    Capability(
        "code",
        ALL - {Target.FPGA},
        "a device runs no script; remove it and give the classifier by spec.model",
    ),
    Capability("image", ALL),
    Capability("imageServer", ALL),
    Capability("env", ALL),
    Capability("env[].valueFrom.fieldRef", IN_CLUSTER, "only pods have such fields; give the value itself"),
    Capability("resources", IN_CLOUD, _ON_DEVICE),
    Capability("resources.requests.ephemeral-storage", IN_CLUSTER, "its disk has a fixed size; remove it"),
    Capability(
        "resources.limits",
        IN_CLUSTER,
        "remove them, or use target AKS",
        keys_other_than=("cpu", "memory"),
    ),
    Capability(
        "resources.limits",
        frozenset({Target.AKS}),
        "on FPGA, fpga.device and the ComputeTarget give devices and huge pages; remove them",
        keys_other_than=("cpu", "memory", "ephemeral-storage"),
    ),
    Capability("scaling.replicas", IN_CLUSTER, _ONE_CONTAINER),
    Capability(
        "scaling.minReplicas", frozenset({Target.AKS}), "give a fixed number of replicas, or use target AKS"
    ),
    Capability(
        "scaling.maxReplicas", frozenset({Target.AKS}), "give a fixed number of replicas, or use target AKS"
    ),
    Capability("scaling.metric", ALL, value=ScalingMetric.CPU),
    Capability("scaling.metric", NOWHERE, "use CPU", value=ScalingMetric.CONCURRENCY),
    Capability(
        "scaling.targetUtilizationPercent",
        frozenset({Target.AKS}),
        "give a fixed number of replicas, or use target AKS",
    ),
    Capability("requests", ALL),
    Capability("probes", IN_CLOUD, _ON_DEVICE),
    Capability("auth.mode", ALL, value=AuthMode.NONE),
    Capability("auth.mode", IN_CLOUD, "callers are on the device; use None", value=AuthMode.KEY),
    Capability(
        "tls",
        frozenset({Target.ACI, Target.FPGA}),
        "end TLS in an Ingress or Gateway in front of the Service, and remove it",
    ),
    Capability("dataCollection", NOWHERE, "record requests in spec.code, and remove it"),
    Capability("validation", IN_CLOUD, "the operator does not reach devices; remove it"),
    Capability("suspend", ALL),
    Capability("deletionPolicy", ALL, value=DeletionPolicy.DELETE),
    Capability(
        "deletionPolicy",
        ALL - IN_CLUSTER,
        "what is in the cluster goes with its owner; use Delete",
        value=DeletionPolicy.RETAIN,
    ),
    Capability("aks", frozenset({Target.AKS}), "remove it, or set spec.target to AKS"),
    Capability("aci", frozenset({Target.ACI}), "remove it, or set spec.target to ACI"),
    Capability("aci.updateStrategy", ALL, value=AciUpdateStrategy.IN_PLACE),
    Capability("aci.updateStrategy", ALL, value=AciUpdateStrategy.BLUE_GREEN),
    Capability("model.credentialsSecretRef", ALL - {Target.IOT_EDGE}, _NO_SECRETS),
    Capability("code.credentialsSecretRef", ALL - {Target.IOT_EDGE}, _NO_SECRETS),
    Capability("iotEdge", frozenset({Target.IOT_EDGE}), "remove it, or set spec.target to IoTEdge"),
    Capability("fpga", frozenset({Target.FPGA}), "remove it, or set spec.target to FPGA"),
    Capability("", ALL, scheme="https"),
    Capability(
        "", IN_CLOUD, "a device cannot read the cluster; give an https:// or file:// URI", scheme="configmap"
    ),
    Capability("", IN_CLUSTER, "only pods mount volumes; give an https:// or file:// URI", scheme="pvc"),
    Capability("", ALL, scheme="file"),
    *(_remote(scheme, BY_IDENTITY) for scheme in STORAGE_SCHEMES),
    *(_remote(scheme, NOWHERE) for scheme in ("s3", "gs")),
    Capability("", NOWHERE, "give https://huggingface.co/ORG/REPO/resolve/REVISION/FILE", scheme="hf"),
    Capability("", NOWHERE, "build the model into spec.image and give a file:// URI", scheme="oci"),
)


def honouring(path: str) -> frozenset[Target]:
    """Give the targets that honour a field at least with some of its values."""
    rows = (row for row in CAPABILITIES if not row.value and not row.scheme and not row.keys_other_than)
    paths = (path, path.replace("models[].", "model.", 1))
    return ALL.intersection(*(row.targets for row in rows if any(_holds(row.path, each) for each in paths)))


def _holds(outer: str, inner: str) -> bool:
    return inner.startswith(outer) and inner[len(outer) :][:1] in {"", ".", "["}

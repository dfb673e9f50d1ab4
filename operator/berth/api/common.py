from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from berth.api.base import ApiModel, ListMap, Rule

QUANTITY_PATTERN = r"^([0-9]+(\.[0-9]{1,9})?|\.[0-9]{1,9})([KMGTPE]i|[numkMGTPE]|[eE][0-9]{1,2})?$"
DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
EXTENDED_RESOURCE = f"{DNS_NAME}/{_LABEL_NAME}"
_LABEL_KEY = rf"({DNS_NAME}/)?{_LABEL_NAME}"
_KEY_REMEDY = (
    "[PREFIX/]NAME, where PREFIX is a DNS name and NAME has at most 63 of A-Z, a-z, 0-9, '-', '_', '.'"
)


class Target(StrEnum):
    """A kind of place that a model can be served on."""

    AKS = "AKS"
    ACI = "ACI"
    IOT_EDGE = "IoTEdge"
    FPGA = "FPGA"


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) else value


ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=rf"^{DNS_NAME}$")]
LabelValue = Annotated[
    str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
]
DataKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", max_length=64)]
Quantity = Annotated[
    str,
    StringConstraints(pattern=QUANTITY_PATTERN, max_length=32),
    BeforeValidator(_number_as_text),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maxLength": 32,
            "pattern": QUANTITY_PATTERN,
        }
    ),
]


class ObjectRef(ApiModel):
    """The name of an object in the same namespace, or of a cluster-scoped one."""

    name: ObjectName
    """Name of the object."""


class KeySelector(ApiModel):
    """One key of a Secret or ConfigMap in the same namespace."""

    name: ObjectName
    """Name of the Secret or ConfigMap."""
    key: DataKey
    """Key in its data."""
    optional: bool = False
    """Start the container even if the object or the key is missing."""


class FieldSelector(ApiModel):
    """A field of the pod itself."""

    field_path: Annotated[
        str,
        StringConstraints(
            max_length=400,
            pattern=rf"^(metadata\.(name|namespace|uid)|metadata\.(labels|annotations)\['{_LABEL_KEY}'\]"
            r"|spec\.(nodeName|serviceAccountName)|status\.(podIP|podIPs|hostIP|hostIPs))$",
        ),
    ]
    """Path of the field, such as `metadata.name` or `status.podIP`."""


class EnvVarSource(ApiModel):
    """Where the value of an environment variable comes from: exactly one of the three."""

    secret_key_ref: KeySelector | None = None
    """A key of a Secret."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap."""
    field_ref: FieldSelector | None = None
    """A field of the pod."""

    rules = (
        Rule(
            "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].exists_one(x, x)",
            "valueFrom takes exactly one of secretKeyRef, configMapKeyRef and fieldRef",
        ),
    )


class EnvVar(ApiModel):
    """An environment variable of the scoring container, as in core/v1."""

    name: Annotated[
        str, StringConstraints(min_length=1, max_length=256, pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")
    ]
    """Name of the variable. `AZUREML_MODEL_DIR` and names that start with `BERTH_` are set by Berth."""
    value: Annotated[str, StringConstraints(max_length=32768)] | None = None
    """Plain value. For anything secret use `valueFrom.secretKeyRef`."""
    value_from: EnvVarSource | None = None
    """Takes the value from another object instead."""

    rules = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            "an environment variable takes either value or valueFrom, not both",
        ),
        Rule(
            "self.name != 'AZUREML_MODEL_DIR' && !self.name.startsWith('BERTH_')",
            "AZUREML_MODEL_DIR and names that start with BERTH_ are set by Berth: choose another name",
        ),
    )


class Toleration(ApiModel):
    """A taint that the pods tolerate, as in core/v1."""

    key: Annotated[str, StringConstraints(max_length=317)] | None = None
    """Key of the taint. Without it, and with operator `Exists`, every taint is tolerated."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Equal` compares the value, `Exists` takes any."""
    value: LabelValue | None = None
    """Value of the taint; only with operator `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Without it all effects are tolerated."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds to stay on a node with this taint; only with effect `NoExecute`."""

    rules = (
        Rule(
            "self.operator != 'Exists' || !has(self.value)",
            "a toleration with operator Exists takes no value: remove value or use operator Equal",
        ),
        Rule(
            "has(self.key) || self.operator == 'Exists'",
            "a toleration without key needs operator Exists",
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds needs effect NoExecute",
        ),
        Rule(
            f"!has(self.key) || self.key.matches('^{_LABEL_KEY}$')",
            f"key of a toleration must be {_KEY_REMEDY}",
        ),
    )


def keys_like_labels(field: str) -> Rule:
    """Refuse what Kubernetes would refuse as a key of labels or annotations."""
    return Rule(f"self.all(key, key.matches('^{_LABEL_KEY}$'))", f"a key of {field} must be {_KEY_REMEDY}")


NodeSelector = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=63)]],
    Field(max_length=32),
    keys_like_labels("nodeSelector"),
    Rule(
        f"self.all(key, self[key].matches('^({_LABEL_NAME})?$'))",
        "a value of nodeSelector must be empty, or begin and end with a letter or digit and hold only"
        " A-Z, a-z, 0-9, '-', '_', '.'",
    ),
]
Tolerations = Annotated[tuple[Toleration, ...], Field(max_length=32)]
PullSecrets = Annotated[tuple[ObjectRef, ...], Field(max_length=16), ListMap("name")]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from berth.api import compute_target, deployment
from berth.api.compute_target import ComputeTarget
from berth.api.deployment import GROUP, VERSION, ModelDeployment
from berth.schema.refusals import refusals
from berth.schema.structural import Schema, structural_schema

_METADATA: Schema = {
    "apiVersion": {"type": "string", "description": "Version of the schema of this object."},
    "kind": {"type": "string", "description": "Kind of this object."},
    "metadata": {"type": "object"},
}
_READY = '.status.conditions[?(@.type=="Ready")]'


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; one with priority 1 shows with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def entry(self) -> dict[str, Any]:
        """Give the item of `additionalPrinterColumns`."""
        wide = {"priority": self.priority} if self.priority else {}
        return {"name": self.name, "type": self.type, "jsonPath": self.path, **wide}


_VERDICT = (Column("Ready", f"{_READY}.status"), Column("Reason", f"{_READY}.reason"))
_AGE = Column("Age", ".metadata.creationTimestamp", "date")


@dataclass(frozen=True)
class Kind:
    """A kind of Berth's, as the API server is told of it."""

    name: str
    plural: str
    short_name: str
    scope: str
    schema: Schema
    columns: tuple[Column, ...]
    scale: Mapping[str, str] = field(default_factory=dict)

    def crd(self) -> dict[str, Any]:
        """Give the CustomResourceDefinition."""
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "names": {
                    "kind": self.name,
                    "listKind": f"{self.name}List",
                    "plural": self.plural,
                    "singular": self.name.lower(),
                    "shortNames": [self.short_name],
                    "categories": ["ml"],
                },
                "scope": self.scope,
                "versions": [self._version()],
            },
        }

    def _version(self) -> dict[str, Any]:
        return {
            "name": VERSION,
            "served": True,
            "storage": True,
            "additionalPrinterColumns": [column.entry() for column in self.columns],
            "subresources": {"status": {}, **({"scale": dict(self.scale)} if self.scale else {})},
            "schema": {"openAPIV3Schema": self.schema},
        }


def model_deployment_schema() -> Schema:
    """Give the schema of the ModelDeployment with the refusals of the capability table."""
    root = structural_schema(ModelDeployment)
    spec = root["properties"]["spec"]
    spec["x-kubernetes-validations"] += [rule.entry() for rule in refusals(spec)]
    return root | {"properties": _METADATA | root["properties"]}


def compute_target_schema() -> Schema:
    """Give the schema of the ComputeTarget."""
    root = structural_schema(ComputeTarget)
    return root | {"properties": _METADATA | root["properties"]}


def model_deployment_kind() -> Kind:
    """Give the ModelDeployment."""
    return Kind(
        name=deployment.KIND,
        plural=deployment.PLURAL,
        short_name="mdep",
        scope="Namespaced",
        schema=model_deployment_schema(),
        columns=(
            *_VERDICT,
            Column("Target", ".spec.target"),
            Column("Model", ".status.model.name"),
            Column("Replicas", ".status.replicas", "integer"),
            Column("URI", ".status.scoringUri", priority=1),
            Column("Endpoint", ".status.grpcEndpoint", priority=1),
            Column("Device", ".status.fpga.device", priority=1),
            _AGE,
        ),
        scale={
            "specReplicasPath": ".spec.scaling.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    )


def compute_target_kind() -> Kind:
    """Give the ComputeTarget."""
    groups, cores = ".status.aci.containerGroups", ".status.aci.cores"
    return Kind(
        name=compute_target.KIND,
        plural=compute_target.PLURAL,
        short_name="ctgt",
        scope="Cluster",
        schema=compute_target_schema(),
        columns=(
            *_VERDICT,
            Column("Kind", ".spec.kind"),
            Column("Region", ".spec.aci.location"),
            Column("Hub", ".spec.iotEdge.hostName"),
            Column("Groups", f"{groups}.used", "integer"),
            Column("Limit", f"{groups}.limit", "integer"),
            Column("Own", f"{groups}.own", "integer", priority=1),
            Column("Cores", f"{cores}.used", "integer", priority=1),
            Column("Deployments", ".status.iotEdge.deployments.used", "integer", priority=1),
            Column("Connected", ".status.iotEdge.devices.connected", "integer", priority=1),
            Column("Devices", ".status.iotEdge.devices.all", "integer", priority=1),
            Column("FPGAs", ".status.fpga.devices.total", "integer", priority=1),
            Column("FPGAs free", ".status.fpga.devices.free", "integer", priority=1),
            Column("Seen", ".status.lastSeen", "date", priority=1),
            Column("Subscription", ".spec.aci.subscriptionId", priority=1),
            Column("Resource Group", ".spec.aci.resourceGroup", priority=1),
            _AGE,
        ),
    )


def kinds() -> Iterator[Kind]:
    """Give every kind of Berth's."""
    yield model_deployment_kind()
    yield compute_target_kind()

from typing import Any

from berth.api.deployment import GROUP, KIND, PLURAL, VERSION, ModelDeployment
from berth.schema.refusals import refusals
from berth.schema.structural import Schema, structural_schema

_METADATA: Schema = {
    "apiVersion": {"type": "string", "description": "Version of the schema of this object."},
    "kind": {"type": "string", "description": "Kind of this object."},
    "metadata": {"type": "object"},
}


def model_deployment_schema() -> Schema:
    """Give the schema of the ModelDeployment with the refusals of the capability table."""
    root = structural_schema(ModelDeployment)
    spec = root["properties"]["spec"]
    spec["x-kubernetes-validations"] += [rule.entry() for rule in refusals(spec)]
    return root | {"properties": _METADATA | root["properties"]}


def model_deployment_crd() -> dict[str, Any]:
    """Give the CustomResourceDefinition of the ModelDeployment."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["mdep"],
                "categories": ["ml"],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": _columns(),
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.scaling.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "schema": {"openAPIV3Schema": model_deployment_schema()},
    }


def _columns() -> list[dict[str, Any]]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        {"name": "Ready", "type": "string", "jsonPath": f"{ready}.status"},
        {"name": "Reason", "type": "string", "jsonPath": f"{ready}.reason"},
        {"name": "Target", "type": "string", "jsonPath": ".spec.target"},
        {"name": "Model", "type": "string", "jsonPath": ".status.model.name"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".status.replicas"},
        {"name": "URI", "type": "string", "jsonPath": ".status.scoringUri", "priority": 1},
        {"name": "Endpoint", "type": "string", "jsonPath": ".status.grpcEndpoint", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]

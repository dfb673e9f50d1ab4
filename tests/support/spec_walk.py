"""The walk over the spec of the ModelDeployment."""

from typing import Any

from manifests import Spec, cases, spec_with, values_of
from schema_walk import Schema, complete, fields, leaves

from berth.api.capabilities import honouring
from berth.api.common import Target
from berth.schema.crd import model_deployment_schema

ROOT: Schema = model_deployment_schema()
SPEC: Schema = ROOT["properties"]["spec"]
HONOURED = [(path, field) for path, field in fields(SPEC) if honouring(path)]
LEAVES = [(path, field) for path, field in leaves(SPEC) if honouring(path)]


def built(path: str, values: dict[str, Any]) -> Spec:
    """Give a whole spec with the values, for a target that honours the field."""
    target = next(target for target in Target if target in honouring(path))
    spec: Spec = complete(SPEC, spec_with(target, values))
    return spec


def accepted() -> list[tuple[str, Spec]]:
    """Give a spec for each valid value of each field, and the path of the field."""
    return [(path, built(path, values_of(path, case))) for path, _ in LEAVES for case in cases(path)]

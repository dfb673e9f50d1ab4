"""Every row of the capability table: accepted where honoured, refused elsewhere with its own sentence."""

from collections.abc import Iterator
from typing import Any

import pytest
from api_requests import ApiServer
from manifests import BASES, MODEL, SOURCE_OF_SCHEME, Spec, cases, spec_with, values_of
from schema_walk import complete, leaves
from spec_walk import SPEC

from berth.api.capabilities import CAPABILITIES, Capability, honouring
from berth.api.common import Target

LEAVES = dict(leaves(SPEC))
OF_SINGLE_VALUES = {row.path for row in CAPABILITIES if row.value}


def uses(row: Capability) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the ways to use what the row speaks of: a path and values."""
    if row.scheme:
        yield from ((path, {path: SOURCE_OF_SCHEME[row.scheme]}) for path in ("model.uri", "code.uri"))
        yield "models", {"model": None, "models": [MODEL | {"uri": SOURCE_OF_SCHEME[row.scheme]}]}
    elif row.value:
        yield row.path, {row.path: row.value}
    elif row.keys_other_than:
        other = next(key for key in ("ephemeral-storage", "nvidia.com/gpu") if key not in row.keys_other_than)
        yield row.path, {row.path: {other: 1}}
    else:
        below = (f"{row.path}.", f"{row.path}[")
        inside = [path for path in LEAVES if path == row.path or path.startswith(below)]
        yield from ((path, values) for path in inside for values in different_from_default(path))


def different_from_default(path: str) -> list[dict[str, Any]]:
    """Give the first valid value of the field that is not its default, if no row speaks of single values."""
    if path.replace("models[]", "model") in OF_SINGLE_VALUES:
        return []
    different = (case for case in cases(path) if case.value != LEAVES[path].get("default"))
    return [values_of(path, case) for case in different][:1]


def refused() -> Iterator[Any]:
    for row in CAPABILITIES:
        for path, values in uses(row):
            for target in row.refusing:
                spec = complete(SPEC, spec_with(target, {**values, "target": str(target)}))
                yield pytest.param(spec, row.message, id=f"{target}-{row.label}-{path}")


def honoured() -> Iterator[Any]:
    for row in CAPABILITIES:
        for path, values in uses(row):
            for target in sorted(row.targets & honouring(path)):
                spec = complete(SPEC, spec_with(target, {**values, "target": str(target)}))
                yield pytest.param(spec, id=f"{target}-{row.label}-{path}")


@pytest.mark.parametrize(("spec", "message"), list(refused()))
def test_what_the_target_does_not_honour_is_refused(api: ApiServer, spec: Spec, message: str) -> None:
    status, answer = api.try_create(spec)
    assert status == 422
    assert message in answer["message"]


@pytest.mark.parametrize("spec", list(honoured()))
def test_what_the_target_honours_is_accepted(api: ApiServer, spec: Spec) -> None:
    status, answer = api.try_create(spec)
    assert status == 201, answer["message"]


def test_the_weights_of_a_featurizer_follow_the_schemes_too(api: ApiServer) -> None:
    status, answer = api.try_create(spec_with("FPGA", {"fpga.weights.uri": "s3://models/resnet50.onnx"}))
    assert status == 422
    assert "s3:// is not available yet" in answer["message"]


@pytest.mark.parametrize("target", BASES)
def test_what_is_stored_with_its_defaults_is_accepted_again(api: ApiServer, target: str) -> None:
    _, first = api.try_create(BASES[target])
    status, second = api.try_create(first["spec"])
    assert status == 201, second["message"]
    assert second["spec"] == first["spec"]


@pytest.mark.parametrize("target", BASES)
def test_no_default_brings_the_block_of_another_target(api: ApiServer, target: str) -> None:
    _, answer = api.try_create(BASES[target])
    blocks = {"AKS": "aks", "ACI": "aci", "IoTEdge": "iotEdge", "FPGA": "fpga"}
    assert answer["spec"].keys() & blocks.values() <= {blocks[target]}


def test_every_target_is_a_base_of_the_walk() -> None:
    assert set(BASES) == set(Target)

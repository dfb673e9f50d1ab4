from collections import Counter

import pytest
from schema_walk import fields, leaves
from spec_walk import SPEC

from berth.api.aci import AciUpdateStrategy
from berth.api.capabilities import ALL, CAPABILITIES, Capability, honouring
from berth.api.common import Target
from berth.api.serving import AuthMode, DeletionPolicy, ScalingMetric
from berth.api.source import ModelFormat
from berth.api.uri import SCHEMES

ENUMS = {
    "model.format": ModelFormat,
    "scaling.metric": ScalingMetric,
    "auth.mode": AuthMode,
    "deletionPolicy": DeletionPolicy,
    "aci.updateStrategy": AciUpdateStrategy,
}


def covers(row: Capability, path: str) -> bool:
    return path == row.path or path.startswith((f"{row.path}.", f"{row.path}["))


@pytest.mark.parametrize("path", [path for path, _ in leaves(SPEC)])
def test_every_field_is_spoken_of(path: str) -> None:
    assert any(covers(row, path) for row in CAPABILITIES if row.path)


@pytest.mark.parametrize("row", [row for row in CAPABILITIES if row.path], ids=lambda row: row.label)
def test_every_row_speaks_of_a_field(row: Capability) -> None:
    assert row.path in dict(fields(SPEC))


def test_every_scheme_has_a_row() -> None:
    assert [row.scheme for row in CAPABILITIES if row.scheme] == [scheme.name for scheme in SCHEMES]


@pytest.mark.parametrize("path", ENUMS)
def test_every_value_has_a_row(path: str) -> None:
    assert {row.value for row in CAPABILITIES if row.path == path} == set(ENUMS[path])


def test_no_two_rows_speak_of_the_same() -> None:
    assert [label for label, count in Counter(row.label for row in CAPABILITIES).items() if count > 1] == []


@pytest.mark.parametrize("row", [row for row in CAPABILITIES if row.refusing], ids=lambda row: row.label)
def test_a_refusal_names_the_part_and_says_what_to_do(row: Capability) -> None:
    assert row.message.startswith(row.label)
    assert row.instead
    assert not row.message.endswith(".")


def test_a_refusal_names_the_targets() -> None:
    row = Capability("code", ALL - {Target.FPGA}, "remove it")
    assert row.message == "spec.code is not available on FPGA: remove it"


def test_a_refusal_everywhere_says_that_it_is_a_matter_of_time() -> None:
    assert Capability("tls", frozenset(), "remove it").message == "spec.tls is not available yet: remove it"


@pytest.mark.parametrize(
    ("path", "targets"),
    [
        ("suspend", set(Target)),
        ("aks.expose.type", {Target.AKS}),
        ("scaling.maxReplicas", {Target.AKS}),
        ("models[].name", set(Target) - {Target.FPGA}),
        ("env[].valueFrom.fieldRef.fieldPath", {Target.AKS, Target.FPGA}),
        ("tls.hostname", {Target.ACI, Target.FPGA}),
        ("dataCollection.sink", set()),
        ("model", set(Target)),
    ],
)
def test_a_field_follows_the_part_it_belongs_to(path: str, targets: set[Target]) -> None:
    assert honouring(path) == targets


def test_a_longer_name_is_another_field() -> None:
    assert honouring("codec") == set(Target)

from typing import Any

import pytest
from manifests import BASES, MODEL, OWN_IMAGE, Spec
from pydantic import ValidationError
from schema_walk import violations
from spec_walk import HONOURED, SPEC, accepted, built

from berth.api.common import Target
from berth.api.deployment import ModelDeployment
from berth.api.serving import AuthMode
from berth.api.spec import ModelDeploymentSpec


def read(spec: Spec) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate(spec)


def as_text(part: Any) -> Any:
    """Give the part with numbers as text: a quantity may be written either way."""
    if isinstance(part, dict):
        return {name: as_text(value) for name, value in part.items()}
    return [as_text(item) for item in part] if isinstance(part, list | tuple) else str(part)


@pytest.mark.parametrize(("path", "spec"), accepted())
def test_what_the_api_server_accepts_is_read_and_written_unchanged(path: str, spec: Spec) -> None:
    written = read(spec).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert as_text(written) == as_text(spec)


@pytest.mark.parametrize("target", BASES)
def test_the_defaults_are_those_of_the_schema(target: str) -> None:
    spec = read(BASES[target])
    defaults = {name: field["default"] for name, field in SPEC["properties"].items() if "default" in field}
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert {name: written[name] for name in defaults} == defaults


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(path, value, id=f"{path}-{bound}")
        for path, field in HONOURED
        for bound, value, _ in violations(field)
        if bound != "type"
    ],
)
def test_what_the_api_server_refuses_is_not_read(path: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        read(built(path, {path: value}))


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert read(BASES["AKS"] | {"later": {"more": 1}}) == read(BASES["AKS"])


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read(BASES["AKS"]).suspend = True


@pytest.mark.parametrize(
    ("target", "mode"),
    [("AKS", AuthMode.KEY), ("ACI", AuthMode.NONE), ("IoTEdge", AuthMode.NONE), ("FPGA", AuthMode.NONE)],
)
def test_the_default_of_auth_is_that_of_azure_ml(target: str, mode: AuthMode) -> None:
    assert read(BASES[target]).auth_mode is mode


@pytest.mark.parametrize(
    ("fields", "mode"),
    [
        ({}, AuthMode.NONE),
        ({"imageServer": "Own"}, AuthMode.NONE),
        ({"imageServer": "Berth"}, AuthMode.KEY),
        ({"imageServer": "Berth", "auth": {"mode": "None"}}, AuthMode.NONE),
    ],
)
def test_no_keys_are_said_to_guard_a_server_that_does_not_know_them(
    fields: dict[str, Any], mode: AuthMode
) -> None:
    assert read(BASES["AKS"] | OWN_IMAGE | fields).auth_mode is mode


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("mode", AuthMode)
def test_the_mode_asked_for_stands(target: Target, mode: AuthMode) -> None:
    assert read(BASES[target] | {"auth": {"mode": mode}}).auth_mode is mode


def test_model_and_models_are_read_alike() -> None:
    one = read(BASES["AKS"])
    several = read({"target": "AKS", "models": [MODEL]})
    assert one.all_models == several.all_models != ()
    assert read({"target": "AKS", "image": "team/scorer:1"}).all_models == ()


def test_aks_settings_are_the_defaults_where_none_are_given() -> None:
    assert read(BASES["AKS"]).aks_settings == read(BASES["AKS"] | {"aks": {}}).aks_settings


def test_a_resource_without_a_status_counts_as_not_seen() -> None:
    assert ModelDeployment.model_validate({"spec": BASES["AKS"]}).status.observed_generation == -1

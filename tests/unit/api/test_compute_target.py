from typing import Any

import pytest
from compute_targets import BASE, FIELDS, SPEC, accepted, built
from hypothesis import given
from hypothesis import strategies as st
from manifests import Spec
from pydantic import ValidationError
from schema_walk import violations

from berth.api.azure import Cloud
from berth.api.compute_target import ComputeTargetSpec, NamespaceSelector
from berth_sandbox.azure.directory import MANAGEMENT_AUDIENCES

keys = st.sampled_from(["team", "stage"])
values = st.sampled_from(["a", "b", ""])
labels = st.dictionaries(keys, values)
expressions = st.lists(
    st.builds(lambda key, operator: {"key": key, "operator": operator}, keys, st.just("Exists"))
    | st.builds(
        lambda key, values: {"key": key, "operator": "In", "values": values},
        keys,
        st.lists(values, min_size=1, max_size=3),
    ),
    max_size=3,
)


def as_text(part: Any) -> Any:
    """Give the part with numbers as text: a quantity may be written either way."""
    if isinstance(part, dict):
        return {name: as_text(value) for name, value in part.items()}
    return [as_text(item) for item in part] if isinstance(part, list | tuple) else str(part)


def chooses(selector: dict[str, Any], of: dict[str, str]) -> bool:
    return NamespaceSelector.model_validate(selector).chooses(of)


@pytest.mark.parametrize(("path", "spec"), accepted())
def test_what_the_api_server_accepts_is_read_and_written_unchanged(path: str, spec: Spec) -> None:
    written = ComputeTargetSpec.model_validate(spec).model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )
    assert as_text(written) == as_text(spec)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(path, value, id=f"{path}-{bound}")
        for path, field in FIELDS
        for bound, value, _ in violations(field)
        if bound != "type"
    ],
)
def test_what_the_api_server_refuses_is_not_read(path: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        ComputeTargetSpec.model_validate(built({path: value}))


def test_the_defaults_are_those_of_the_schema() -> None:
    written = ComputeTargetSpec.model_validate(BASE).model_dump(mode="json", by_alias=True, exclude_none=True)
    defaults = {name: field["default"] for name, field in SPEC["properties"].items() if "default" in field}
    assert {name: written[name] for name in defaults} == defaults


@given(labels)
def test_an_empty_selector_chooses_nobody(of: dict[str, str]) -> None:
    for empty in ({}, {"matchLabels": {}}, {"matchExpressions": []}):
        assert not chooses(empty, of)


@pytest.mark.parametrize(
    ("requirement", "chosen"),
    [
        ({"key": "team", "operator": "In", "values": ["a", "b"]}, [{"team": "a"}]),
        ({"key": "team", "operator": "NotIn", "values": ["a", "b"]}, [{"team": "c"}, {}]),
        ({"key": "team", "operator": "Exists"}, [{"team": "a"}, {"team": "c"}]),
        ({"key": "team", "operator": "DoesNotExist"}, [{}]),
    ],
)
def test_a_requirement_holds_as_in_kubernetes(
    requirement: dict[str, Any], chosen: list[dict[str, str]]
) -> None:
    namespaces: list[dict[str, str]] = [{"team": "a"}, {"team": "c"}, {}]
    assert [of for of in namespaces if chooses({"matchExpressions": [requirement]}, of)] == chosen


@given(labels, labels, expressions)
def test_every_part_must_hold(of: dict[str, str], match: dict[str, str], compared: list[Any]) -> None:
    parts = [*({"matchLabels": {key: value}} for key, value in match.items())]
    parts += [{"matchExpressions": [each]} for each in compared]
    whole = chooses({"matchLabels": match, "matchExpressions": compared}, of)
    assert whole is (bool(parts) and all(chooses(part, of) for part in parts))


@pytest.mark.parametrize(
    ("given", "manager", "authority"),
    [
        ({}, "https://management.azure.com", "https://login.microsoftonline.com"),
        (
            {"name": "AzureGovernment"},
            "https://management.usgovcloudapi.net",
            "https://login.microsoftonline.us",
        ),
        ({"name": "AzureChina"}, "https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"),
    ],
)
def test_each_cloud_has_its_endpoints(given: dict[str, str], manager: str, authority: str) -> None:
    found = Cloud.model_validate(given).endpoints
    assert (found.resource_manager, found.authority, found.scope) == (
        manager,
        authority,
        f"{manager}/.default",
    )


def test_a_cloud_of_ones_own_has_those_that_are_given() -> None:
    given = {
        "name": "Custom",
        "resourceManager": "https://127.0.0.1:8443/",
        "authority": "https://127.0.0.1:8444",
    }
    found = Cloud.model_validate(given).endpoints
    assert (found.resource_manager, found.authority) == ("https://127.0.0.1:8443", "https://127.0.0.1:8444")
    assert found.scope in {f"{audience}/.default" for audience in MANAGEMENT_AUDIENCES}


def test_the_operators_own_namespace_is_always_admitted() -> None:
    closed = ComputeTargetSpec.model_validate(BASE)
    assert closed.admits("berth-system", {}, "berth-system")
    assert not closed.admits("team-a", {"team": "a"}, "berth-system")
    opened = ComputeTargetSpec.model_validate(BASE | {"allowedNamespaces": {"matchLabels": {"team": "a"}}})
    assert opened.admits("team-a", {"team": "a"}, "berth-system")
    assert not opened.admits("team-b", {"team": "b"}, "berth-system")

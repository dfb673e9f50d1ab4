"""Every field of a ComputeTarget: its valid values come back unchanged, what breaks its bounds is refused."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from api_requests import COMPUTE_TARGETS, ApiServer, compute_target
from compute_targets import FIELDS, IDENTITY, LEAVES, SPEC, accepted, built, cases_of
from manifests import Spec, get, put, values_of
from schema_walk import Schema, objects, violations

STRICT = f"{COMPUTE_TARGETS}?dryRun=All&fieldValidation=Strict"


def try_create(api: ApiServer, spec: Spec, name: str = "dev") -> tuple[int, Any]:
    return api.send("POST", STRICT, compute_target(spec, name))


def out_of_bounds() -> Iterator[Any]:
    for path, field in FIELDS:
        given = values_of(path, cases_of(path)[0]) if (path, field) in LEAVES else {}
        for bound, value, answer in violations(field):
            yield pytest.param(path, built({**given, path: value}), answer, id=f"{path}-{bound}")


def incomplete() -> Iterator[Any]:
    for path, field in FIELDS:
        inside, value = (f"{path}[]", [{}]) if "items" in field else (path, {})
        for name in field.get("items", field).get("required", ()):
            spec = built({path: value})
            put(spec, f"{inside}.{name}", None)
            yield pytest.param(spec, name, id=f"{inside}.{name}")


LISTS = [(path, field) for path, field in FIELDS if "items" in field]


@pytest.fixture(scope="module", autouse=True)
def served(api: ApiServer) -> None:
    """Wait until the kind is served."""
    deadline = time.monotonic() + 30
    while api.send("GET", COMPUTE_TARGETS)[0] != 200:
        assert time.monotonic() < deadline, "ComputeTargets are not served"
        time.sleep(0.05)


@pytest.mark.parametrize(("path", "spec"), accepted())
def test_a_valid_value_is_accepted_and_read_back_unchanged(api: ApiServer, path: str, spec: Spec) -> None:
    status, answer = try_create(api, spec)
    assert status == 201, answer["message"]
    assert get(answer["spec"], path) == get(spec, path)


@pytest.mark.parametrize(("path", "spec", "expected"), list(out_of_bounds()))
def test_a_value_out_of_bounds_is_refused(api: ApiServer, path: str, spec: Spec, expected: str) -> None:
    status, answer = try_create(api, spec)
    assert status in {400, 422}
    assert expected in answer["message"]
    assert f"spec.{path.replace('[]', '[0]')}" in answer["message"]


@pytest.mark.parametrize(("spec", "name"), list(incomplete()))
def test_what_is_required_must_be_there(api: ApiServer, spec: Spec, name: str) -> None:
    status, answer = try_create(api, spec)
    assert status == 422
    assert "Required value" in answer["message"]
    assert name in answer["message"]


@pytest.mark.parametrize(("path", "field"), LISTS, ids=[path for path, _ in LISTS])
def test_a_list_that_is_too_long_is_refused(api: ApiServer, path: str, field: Schema) -> None:
    spec = built({path: [{}]} if "properties" in field["items"] else values_of(path, cases_of(path)[0]))
    item = get(spec, path)[0]
    many = [_numbered(item, number) for number in range(field["maxItems"] + 1)]
    put(spec, path, many)
    status, answer = try_create(api, spec)
    assert status == 422
    assert f"must have at most {field['maxItems']} items" in answer["message"]


@pytest.mark.parametrize("path", list(objects(SPEC)))
def test_an_unknown_field_is_refused_where_validation_is_strict(api: ApiServer, path: str) -> None:
    status, answer = try_create(api, built({f"{path}.noSuchField": 1}))
    assert status == 400
    assert f'unknown field "spec.{path.replace("[]", "[0]")}.noSuchField"' in answer["message"]


def test_a_registry_cannot_come_twice(api: ApiServer) -> None:
    registry = {"server": "team.azurecr.io", "identity": IDENTITY}
    status, answer = try_create(api, built({"aci.defaults.registries": [registry, registry]}))
    assert status == 422
    assert "spec.aci.defaults.registries[1]: Duplicate value" in answer["message"]


def test_every_field_of_the_spec_is_in_the_walk() -> None:
    assert [path for path, _ in LEAVES if not cases_of(path)] == []


def _numbered(item: Any, number: int) -> Any:
    if isinstance(item, str):
        return f"{item}{number}"
    if isinstance(item, int):
        return item + number
    return item | {name: f"{item[name]}{number}" for name in ("server",) if name in item}

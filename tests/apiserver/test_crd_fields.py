"""Every field of the spec: its valid values come back unchanged, what breaks its bounds is refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from api_requests import ApiServer
from manifests import BASES, DIGEST, MODEL, Spec, cases, get, put, spec_with, values_of
from schema_walk import Schema, complete, leaves, objects, violations
from spec_walk import HONOURED, LEAVES, SPEC, accepted, built

from berth.api.capabilities import honouring

LISTS = [(path, field) for path, field in HONOURED if "items" in field]


def out_of_bounds() -> Iterator[Any]:
    for path, field in HONOURED:
        given = values_of(path, cases(path)[0]) if (path, field) in LEAVES else {}
        for bound, value, answer in violations(field):
            yield pytest.param(path, built(path, {**given, path: value}), answer, id=f"{path}-{bound}")


def incomplete() -> Iterator[Any]:
    for path, field in HONOURED:
        inside, value = (f"{path}[]", [{}]) if "items" in field else (path, {})
        for name in field.get("items", field).get("required", ()):
            spec = built(path, {path: value})
            put(spec, f"{inside}.{name}", None)
            yield pytest.param(spec, name, id=f"{inside}.{name}")


def items(path: str, field: Schema, count: int) -> list[Any]:
    """Give so many valid items; where they have a key, they differ in it."""
    if "properties" not in field["items"]:
        return [f"{cases(path)[0].value[0]}{number}" for number in range(count)]
    first = complete(field["items"], {}, f"{path}[]")
    keys = field.get("x-kubernetes-list-map-keys", ())
    return [first | dict.fromkeys(keys, f"n{number}") for number in range(count)]


def paths_and_fields(chosen: list[tuple[str, Schema]]) -> Any:
    return pytest.mark.parametrize(("path", "field"), chosen, ids=[path for path, _ in chosen])


def contains(whole: Any, part: Any) -> bool:
    """Tell whether everything in `part` stands in `whole`, unchanged."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and contains(whole[name], value) for name, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return type(whole) is type(part) and whole == part


@pytest.mark.parametrize(("path", "spec"), accepted())
def test_a_valid_value_is_accepted_and_read_back_unchanged(api: ApiServer, path: str, spec: Spec) -> None:
    status, answer = api.try_create(spec)
    assert status == 201, answer["message"]
    assert get(answer["spec"], path) == get(spec, path)
    assert contains(answer["spec"], spec)


@pytest.mark.parametrize(("path", "spec", "expected"), list(out_of_bounds()))
def test_a_value_out_of_bounds_is_refused(api: ApiServer, path: str, spec: Spec, expected: str) -> None:
    status, answer = api.try_create(spec)
    assert status in {400, 422}
    assert expected in answer["message"]
    assert f"spec.{path.replace('[]', '[0]')}" in answer["message"]


@pytest.mark.parametrize(("spec", "name"), list(incomplete()))
def test_what_is_required_must_be_there(api: ApiServer, spec: Spec, name: str) -> None:
    status, answer = api.try_create(spec)
    assert status == 422
    assert "Required value" in answer["message"]
    assert name in answer["message"]


def test_the_target_must_be_there(api: ApiServer) -> None:
    status, answer = api.try_create({"model": MODEL})
    assert status == 422
    assert "spec.target: Required value" in answer["message"]


@paths_and_fields(LISTS)
def test_a_list_that_is_too_long_is_refused(api: ApiServer, path: str, field: Schema) -> None:
    spec = built(path, {path: items(path, field, field["maxItems"] + 1)})
    status, answer = api.try_create(spec)
    assert status == 422
    assert f"must have at most {field['maxItems']} items" in answer["message"]


@paths_and_fields([(path, field) for path, field in LISTS if "x-kubernetes-list-map-keys" in field])
def test_an_item_cannot_come_twice(api: ApiServer, path: str, field: Schema) -> None:
    status, answer = api.try_create(built(path, {path: items(path, field, 1) * 2}))
    assert status == 422
    assert f"spec.{path}[1]: Duplicate value" in answer["message"]


@paths_and_fields([(path, field) for path, field in LISTS if "minItems" in field])
def test_a_list_that_is_too_short_is_refused(api: ApiServer, path: str, field: Schema) -> None:
    status, answer = api.try_create(built(path, {path: []}))
    assert status == 422
    assert "should have at least 1 items" in answer["message"]


@pytest.mark.parametrize("path", [path for path in objects(SPEC) if honouring(path)])
def test_an_unknown_field_is_refused_where_validation_is_strict(api: ApiServer, path: str) -> None:
    status, answer = api.try_create(built(path, {f"{path}.noSuchField": 1}))
    assert status == 400
    assert f'unknown field "spec.{path.replace("[]", "[0]")}.noSuchField"' in answer["message"]


@pytest.mark.parametrize("target", BASES)
def test_a_thousand_models_are_accepted(api: ApiServer, target: str) -> None:
    models = [MODEL | {"name": f"model-{number}", "sha256": DIGEST} for number in range(1000)]
    status, answer = api.try_create(spec_with(target, {"model": None, "models": models}))
    assert status == (422 if target == "FPGA" else 201), answer["message"]


def test_every_field_of_the_spec_is_in_the_walk() -> None:
    walked = {path for path, _ in LEAVES}
    refused_everywhere = {path for path, _ in leaves(SPEC) if not honouring(path)}
    assert walked | refused_everywhere == {path for path, _ in leaves(SPEC)}
    assert [path for path, _ in leaves(SPEC) if not cases(path)] == []

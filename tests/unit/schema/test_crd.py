import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from schema_walk import Schema, fields

from berth.schema.__main__ import files
from berth.schema.crd import Kind, kinds, model_deployment_kind

REPOSITORY = Path(__file__).resolve().parents[3]
FOLDERS = {".yaml": ["crds", "charts/berth/files/crds"], ".md": ["docs/reference"]}
KINDS = list(kinds())
OWN_FIELDS = [
    (f"{kind.name}.{path}", field)
    for kind in KINDS
    for path, field in fields(kind.schema)
    if path not in {"apiVersion", "kind", "metadata"}
]


def parts() -> Iterator[tuple[str, Schema]]:
    """Give every field, and what is in lists and maps."""
    for path, field in OWN_FIELDS:
        yield path, field
        yield from ((f"{path}[]", field[key]) for key in ("items", "additionalProperties") if key in field)


PARTS = list(parts())


def of_type(kind: str) -> Any:
    chosen = [(path, part) for path, part in PARTS if part.get("type") == kind]
    return pytest.mark.parametrize("part", [part for _, part in chosen], ids=[path for path, _ in chosen])


@pytest.mark.parametrize("field", [field for _, field in OWN_FIELDS], ids=[path for path, _ in OWN_FIELDS])
def test_every_field_is_described_in_a_sentence(field: Schema) -> None:
    assert re.fullmatch(r"[A-Z`0-9].*\.", field["description"])


@of_type("string")
def test_every_text_is_bounded(part: Schema) -> None:
    assert part.keys() & {"maxLength", "enum", "format"}


@of_type("array")
def test_every_list_is_bounded_and_has_a_type(part: Schema) -> None:
    assert part["maxItems"] <= 1000
    assert part["x-kubernetes-list-type"] in {"atomic", "map"}


@of_type("object")
def test_every_map_is_bounded(part: Schema) -> None:
    assert "properties" in part or part["maxProperties"] <= 32


@of_type("integer")
def test_every_number_has_a_least_value_and_a_width(part: Schema) -> None:
    assert "minimum" in part
    assert part["format"] in {"int32", "int64"}


def test_a_default_is_never_null() -> None:
    assert [path for path, part in PARTS if "default" in part and part["default"] is None] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_crd_is_small_enough_for_an_annotation(kind: Kind) -> None:
    assert len(json.dumps(kind.crd())) < 256 * 1024 / 2


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_column_shows_a_field(kind: Kind) -> None:
    paths = {f".{path}" for path, _ in fields(kind.schema)}
    shown = {column.path for column in kind.columns if "[?" not in column.path}
    assert shown - {".metadata.creationTimestamp"} <= paths


def test_the_replicas_can_be_scaled() -> None:
    (version,) = model_deployment_kind().crd()["spec"]["versions"]
    assert version["subresources"]["scale"] == {
        "specReplicasPath": ".spec.scaling.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }


@pytest.mark.parametrize("name", files())
def test_the_committed_files_are_those_that_the_models_give(name: str) -> None:
    for folder in FOLDERS[Path(name).suffix]:
        committed = (REPOSITORY / folder / name).read_text()
        assert committed == files()[name], f"{folder}/{name} is stale: run `make crds`"

from typing import Any

import pytest

from berth.api.capabilities import ALL, NOWHERE, Capability
from berth.api.common import Target
from berth.schema.refusals import refusal, uri_paths

TEXT = {"type": "string"}
COUNT = {"type": "integer", "default": 1}
SPEC: dict[str, Any] = {
    "required": ["target"],
    "properties": {
        "target": TEXT,
        "plain": TEXT,
        "count": COUNT,
        "flag": {"type": "boolean", "default": False},
        "mode": {"type": "string", "default": "A"},
        "part": {
            "type": "object",
            "default": {},
            "properties": {
                "count": COUNT,
                "odd-name": TEXT,
                "deep": {"type": "object", "properties": {"a": TEXT}},
            },
        },
        "given": {"type": "object", "properties": {"uri": TEXT}, "required": ["uri"]},
        "many": {"type": "array", "items": {"properties": {"uri": TEXT, "name": TEXT}, "required": ["uri"]}},
        "map": {"type": "object", "additionalProperties": TEXT},
        "model": {"type": "object", "properties": {"format": TEXT}},
        "models": {"type": "array", "items": {"properties": {"format": TEXT}}},
    },
}
AWAY_FROM_FPGA = "!(self.target in ['FPGA']) || "


@pytest.mark.parametrize(
    ("path", "cel"),
    [
        ("plain", "!(has(self.plain))"),
        ("count", "!(self.count != 1)"),
        ("flag", "!(self.flag != false)"),
        ("mode", "!(self.mode != 'A')"),
        (
            "part",
            "!((self.part.count != 1) || (has(self.part.odd__dash__name)) || (has(self.part.deep)))",
        ),
        ("part.odd-name", "!(has(self.part.odd__dash__name))"),
        ("part.deep.a", "!(has(self.part.deep) && has(self.part.deep.a))"),
        ("many[].name", "!(has(self.many) && self.many.exists(x, has(x.name)))"),
    ],
)
def test_a_field_is_refused_where_it_differs_from_its_default(path: str, cel: str) -> None:
    row = Capability(path, ALL - {Target.FPGA}, "remove it")
    assert refusal(row, SPEC).cel == AWAY_FROM_FPGA + cel


def test_what_no_target_honours_is_refused_on_all() -> None:
    assert refusal(Capability("plain", NOWHERE, "remove it"), SPEC).cel == "!(has(self.plain))"


def test_a_value_is_refused_alone() -> None:
    row = Capability("mode", NOWHERE, "use A", value="B")
    assert refusal(row, SPEC).cel == "!(self.mode == 'B')"


def test_a_way_into_the_model_goes_for_each_of_the_models() -> None:
    row = Capability("model.format", NOWHERE, "use onnx", value="mlflow", unless=("given",))
    assert refusal(row, SPEC).cel == (
        "has(self.given) || !((has(self.model) && has(self.model.format) && self.model.format == 'mlflow')"
        " || (has(self.models) && self.models.exists(x, has(x.format) && x.format == 'mlflow')))"
    )


def test_other_keys_of_a_map_are_refused() -> None:
    row = Capability("map", NOWHERE, "remove them", keys_other_than=("cpu", "memory"))
    assert refusal(row, SPEC).cel == "!(has(self.map) && self.map.exists(k, !(k in ['cpu', 'memory'])))"


def test_a_scheme_is_refused_in_every_uri() -> None:
    row = Capability("", NOWHERE, "use https", scheme="s3")
    assert refusal(row, SPEC).cel == (
        "!((has(self.given) && self.given.uri.startsWith('s3://'))"
        " || (has(self.many) && self.many.exists(x, x.uri.startsWith('s3://'))))"
    )


def test_the_message_is_that_of_the_row() -> None:
    row = Capability("plain", NOWHERE, "remove it")
    assert refusal(row, SPEC).message == row.message


def test_uris_are_found_wherever_they_are() -> None:
    assert list(uri_paths(SPEC)) == ["given.uri", "many[].uri"]

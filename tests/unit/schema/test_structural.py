"""What the API server does not take of pydantic's JSON schema is written otherwise."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, StringConstraints

from berth.api.base import ApiModel, ListMap, Rule
from berth.schema.structural import structural_schema


class Colour(StrEnum):
    RED = "Red"


class Inner(ApiModel):
    """An inner part."""

    size: int = 3
    """How large."""


class Outer(ApiModel):
    """An outer part."""

    optional: str | None = None
    constant: Literal["only"] = "only"
    colour: Colour = Colour.RED
    inner: Inner = Inner()
    """The part inside."""
    same: Inner | None = None
    count: Annotated[int, Field(ge=1, le=10)] = 1
    large: Annotated[int, Field(ge=0)] = 0
    share: float = 0.5
    texts: Annotated[tuple[str, ...], Field(max_length=4)] | None = None
    inners: Annotated[tuple[Inner, ...], Field(max_length=4), ListMap("size")] | None = None
    labels: Annotated[dict[str, Inner], Field(max_length=4)] | None = None
    long_name: Annotated[str, StringConstraints(max_length=5), Rule("self != 'a'", "not a")]
    flag: bool = False

    rules = (Rule("self.count < self.large", "too few"),)


SCHEMA = structural_schema(Outer)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("optional", {"type": "string"}),
        ("constant", {"type": "string", "enum": ["only"], "default": "only"}),
        ("colour", {"type": "string", "enum": ["Red"], "default": "Red"}),
        ("count", {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10, "default": 1}),
        ("large", {"type": "integer", "format": "int64", "minimum": 0, "default": 0}),
        ("share", {"type": "number", "format": "double", "default": 0.5}),
        ("flag", {"type": "boolean", "default": False}),
        (
            "texts",
            {"type": "array", "items": {"type": "string"}, "maxItems": 4, "x-kubernetes-list-type": "atomic"},
        ),
        (
            "longName",
            {
                "type": "string",
                "maxLength": 5,
                "x-kubernetes-validations": [{"rule": "self != 'a'", "message": "not a"}],
            },
        ),
    ],
)
def test_a_field_is_written_so(field: str, expected: dict[str, Any]) -> None:
    assert SCHEMA["properties"][field] == expected


def test_an_object_stands_where_it_is_used_with_the_description_of_the_field() -> None:
    size = {"type": "integer", "format": "int64", "default": 3, "description": "How large."}
    assert SCHEMA["properties"]["inner"] == {
        "type": "object",
        "description": "The part inside.",
        "properties": {"size": size},
        "default": {"size": 3},
    }
    assert SCHEMA["properties"]["same"]["description"] == "An inner part."
    assert SCHEMA["properties"]["labels"]["additionalProperties"]["properties"] == {"size": size}


def test_a_list_with_keys_is_merged_by_them() -> None:
    inners = SCHEMA["properties"]["inners"]
    assert (inners["x-kubernetes-list-type"], inners["x-kubernetes-list-map-keys"]) == ("map", ["size"])


def test_the_rules_of_a_part_stand_with_it() -> None:
    assert SCHEMA["x-kubernetes-validations"] == [
        {"rule": "self.count < self.large", "message": "too few"},
    ]


def test_what_has_no_default_is_required() -> None:
    assert SCHEMA["required"] == ["longName"]


class Pair(ApiModel):
    first: Inner = Inner(size=1)
    second: Inner = Inner(size=2)


def test_the_same_part_keeps_its_own_default_in_each_place() -> None:
    fields = structural_schema(Pair)["properties"]
    assert [fields[name]["default"] for name in ("first", "second")] == [{"size": 1}, {"size": 2}]

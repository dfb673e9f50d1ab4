"""The fields of a structural schema, and for each what the API server must refuse."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from manifests import Case, cases

Schema = dict[str, Any]
CasesOf = Callable[[str], list[Case]]

ODD_TEXTS = ("-", "ü", "a b!", "Not Valid", "/", ":", "no-such-shape", "..")


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Give every field below the schema, objects and lists before what is in them."""
    for name, field in schema.get("properties", {}).items():
        inside = f"{path}.{name}".lstrip(".")
        yield inside, field
        yield from fields(field, inside)
        yield from fields(field.get("items", {}), f"{inside}[]")


def leaves(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Give the fields that hold a value of their own."""
    for path, field in fields(schema):
        if "properties" not in field and "properties" not in field.get("items", {}):
            yield path, field


def objects(schema: Schema) -> Iterator[str]:
    """Give the paths of what holds fields."""
    for path, field in fields(schema):
        if "properties" in field:
            yield path
        if "properties" in field.get("items", {}):
            yield f"{path}[]"


def complete(schema: Schema, value: Any, path: str = "", values: CasesOf = cases) -> Any:
    """Fill in what is required, wherever an object has been begun."""
    if isinstance(value, list):
        return [complete(schema["items"], item, f"{path}[]", values) for item in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    missing = [name for name in schema.get("required", ()) if name not in value]
    begun = value | {name: _first(schema["properties"][name], f"{path}.{name}", values) for name in missing}
    return {
        name: complete(schema["properties"].get(name, {}), item, f"{path}.{name}", values)
        for name, item in begun.items()
    }


def violations(field: Schema) -> Iterator[tuple[str, Any, str]]:
    """Give for each bound of the field its name, a value that breaks it and a part of the server's answer."""
    yield "type", *_wrong_type(field)
    if field.get("format") == "date-time":
        yield "format", "yesterday", "must be of type date-time"
    if "enum" in field:
        yield "enum", "NoSuchValue", 'Unsupported value: "NoSuchValue"'
    if "pattern" in field:
        yield "pattern", _odd_text(field), "in body should match"
    if field.get("minLength"):
        yield "minLength", "", f"should be at least {field['minLength']} chars long"
    if "maxLength" in field:
        yield "maxLength", "x" * (field["maxLength"] + 1), f"may not be more than {field['maxLength']} bytes"
    if "minimum" in field:
        yield "minimum", field["minimum"] - 1, f"should be greater than or equal to {field['minimum']}"
    if "maximum" in field:
        yield "maximum", field["maximum"] + 1, f"should be less than or equal to {field['maximum']}"
    if "maxProperties" in field:
        entries = {f"key-{number}": "1" for number in range(field["maxProperties"] + 1)}
        yield "maxProperties", entries, f"must have at most {field['maxProperties']} items"


def _first(field: Schema, path: str, values: CasesOf) -> Any:
    return {} if "properties" in field else values(path.lstrip("."))[0].value


def _wrong_type(field: Schema) -> tuple[Any, str]:
    if "x-kubernetes-int-or-string" in field:
        return 0.5, "must be of type"
    kind = field["type"] if "format" not in field else field["type"].replace("string", field["format"])
    return 7 if field["type"] == "string" else "text", f"must be of type {kind}"


def _odd_text(field: Schema) -> str:
    short = (text for text in ODD_TEXTS if len(text) >= field.get("minLength", 0))
    return next(text for text in short if not re.search(field["pattern"], text))

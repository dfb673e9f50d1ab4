"""The capability table as CEL rules."""

from collections.abc import Callable, Iterator

from berth.api.base import Rule
from berth.api.capabilities import CAPABILITIES, Capability
from berth.schema.structural import Schema

Condition = Callable[[Schema, str], str]


def refusals(spec: Schema) -> list[Rule]:
    """Give one rule for each row of the table that some target does not honour."""
    return [refusal(row, spec) for row in CAPABILITIES if row.refusing]


def refusal(row: Capability, spec: Schema) -> Rule:
    """Give the rule that refuses what the row speaks of, on the targets that do not honour it."""
    elsewhere = f"!(self.target in {[str(target) for target in row.refusing]})" if row.targets else None
    excuses = [f"has(self.{path})" for path in row.unless]
    return Rule(" || ".join(filter(None, [elsewhere, *excuses, f"!({_used(row, spec)})"])), row.message)


def uri_paths(schema: Schema, path: str = "") -> Iterator[str]:
    """Give the paths of all fields named `uri`."""
    for name, field in schema.get("properties", {}).items():
        inside = f"{path}.{name}".lstrip(".")
        if name == "uri":
            yield inside
        yield from uri_paths(field, inside)
        yield from uri_paths(field.get("items", {}), f"{inside}[]")


def _used(row: Capability, spec: Schema) -> str:
    paths = list(uri_paths(spec)) if row.scheme else _places(row.path)
    uses = [_reach(spec, "self", path.split("."), _condition(row)) for path in paths]
    return " || ".join(f"({use})" for use in uses) if len(uses) > 1 else uses[0]


def _places(path: str) -> list[str]:
    into_model = path.startswith("model.")
    return [path, path.replace("model.", "models[].", 1)] if into_model else [path]


def _condition(row: Capability) -> Condition:
    if row.scheme:
        return lambda _, variable: f"{variable}.startsWith('{row.scheme}://')"
    if row.value:
        return lambda _, variable: f"{variable} == '{row.value}'"
    if row.keys_other_than:
        return lambda _, variable: f"{variable}.exists(k, !(k in {list(row.keys_other_than)}))"
    return _differs


def _reach(schema: Schema, variable: str, path: list[str], condition: Condition) -> str:
    """Say in CEL that the field is there and meets the condition."""
    name, *rest = path
    field = schema["properties"][name.removesuffix("[]")]
    child = f"{variable}.{_escaped(name.removesuffix('[]'))}"
    if name.endswith("[]"):
        inner = f"{child}.exists(x, {_reach(field['items'], 'x', rest, condition)})"
    else:
        inner = _reach(field, child, rest, condition) if rest else condition(field, child)
    always_there = "default" in field or name in schema.get("required", ())
    return " && ".join(filter(None, [None if always_there else f"has({child})", inner]))


def _differs(field: Schema, variable: str) -> str:
    """Say in CEL that the field has another value than its default; nothing where there is no default."""
    if "default" not in field:
        return ""
    if field.get("type") != "object":
        return f"{variable} != {_literal(field['default'])}"
    inside = (_reach(field, variable, [name], _differs) for name in field["properties"])
    return " || ".join(f"({difference})" for difference in inside)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def _escaped(name: str) -> str:
    return name.replace("-", "__dash__")

from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema as core

Schema = dict[str, Any]

_INT32_MAX = 2**31 - 1
_NOT_STRUCTURAL = frozenset({"$ref", "$defs", "title"})


class StructuralSchema(GenerateJsonSchema):
    """JSON schema in the dialect of the API server: absent instead of null, enum instead of const."""

    def nullable_schema(self, schema: core.NullableSchema) -> JsonSchemaValue:
        """Drop the null branch: what is not given is absent."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core.WithDefaultSchema) -> JsonSchemaValue:
        """Write the default out in full, since rules are checked against it as it stands."""
        inner = self.generate_inner(schema["schema"])
        default = _visible_default(schema.get("default"))
        return inner if default is None else inner | {"default": default}

    def int_schema(self, schema: core.IntSchema) -> JsonSchemaValue:
        """Tell the width of the integer."""
        fits = schema.get("le", _INT32_MAX + 1) <= _INT32_MAX
        return super().int_schema(schema) | {"format": "int32" if fits else "int64"}

    def float_schema(self, schema: core.FloatSchema) -> JsonSchemaValue:
        """Tell the width of the number."""
        return super().float_schema(schema) | {"format": "double"}

    def literal_schema(self, schema: core.LiteralSchema) -> JsonSchemaValue:
        """List the values, even if there is only one."""
        return {"type": "string", "enum": list(schema["expected"])}

    def enum_schema(self, schema: core.EnumSchema) -> JsonSchemaValue:
        """List the values, even if there is only one."""
        return {"type": "string", "enum": [member.value for member in schema["members"]]}

    def tuple_schema(self, schema: core.TupleSchema) -> JsonSchemaValue:
        """Make a list, replaced as a whole unless something says otherwise."""
        return super().tuple_schema(schema) | {"x-kubernetes-list-type": "atomic"}

    def model_schema(self, schema: core.ModelSchema) -> JsonSchemaValue:
        """Add the rules of the model."""
        result = super().model_schema(schema)
        rules = [rule.entry() for rule in getattr(schema["cls"], "rules", ())]
        return result | ({"x-kubernetes-validations": rules} if rules else {})


def structural_schema(model: type[BaseModel]) -> Schema:
    """Give the structural schema of a model, without references and titles."""
    schema = model.model_json_schema(by_alias=True, schema_generator=StructuralSchema)
    return _inlined(schema, schema.get("$defs", {}))


def _visible_default(default: object) -> object:
    if isinstance(default, BaseModel):
        return default.model_dump(mode="json", by_alias=True, exclude_none=True)
    return default.value if isinstance(default, Enum) else default


def _inlined(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    referred = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else {}
    whole = {key: value for key, value in (referred | schema).items() if key not in _NOT_STRUCTURAL}
    if "properties" in whole:
        fields = whole["properties"].items()
        whole["properties"] = {name: _inlined(field, definitions) for name, field in fields}
    for key in whole.keys() & {"items", "additionalProperties"}:
        whole[key] = _inlined(whole[key], definitions)
    return whole

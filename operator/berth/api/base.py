from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Rule:
    """A CEL rule that the API server holds, and the message it answers with."""

    cel: str
    message: str

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core)
        return schema | {
            "x-kubernetes-validations": [*schema.get("x-kubernetes-validations", []), self.entry()]
        }

    def entry(self) -> dict[str, str]:
        """Give the item of `x-kubernetes-validations`."""
        return {"rule": self.cel, "message": self.message}


@dataclass(frozen=True)
class ListMap:
    """Marks a list whose items are told apart, and merged, by this key."""

    key: str

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        keys = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}
        return handler(core) | keys


class ApiModel(BaseModel):
    """A part of a resource: immutable, camelCase outside; attribute docstrings are the descriptions."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

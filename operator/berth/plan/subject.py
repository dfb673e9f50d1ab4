"""The ModelDeployment that a pass is about."""

from collections.abc import Mapping
from functools import cached_property
from typing import Self

from pydantic import Field, ValidationError

from berth.api.base import ApiModel
from berth.api.conditions import Reason
from berth.api.deployment import GROUP, KIND, VERSION, ModelDeployment
from berth.core.errors import Terminal
from berth.core.keys import Key
from berth.plan.observed import Observed
from berth.plan.placement import Placement, aks_placement


class Metadata(ApiModel):
    """The part of an object's metadata that Berth reads."""

    name: str
    namespace: str
    uid: str
    generation: int
    creation_timestamp: str
    deletion_timestamp: str | None = None
    annotations: Mapping[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()

    @classmethod
    def parse(cls, observed: Observed) -> Self:
        """Read what the store keeps, whatever the rest of the object holds."""
        return cls.model_validate(observed.parse()["metadata"])


class Subject(ModelDeployment):
    """A ModelDeployment together with its metadata."""

    metadata: Metadata

    @classmethod
    def parse(cls, observed: Observed) -> Self:
        """Read what the store keeps; raises Terminal where definitions and operator are of two versions."""
        try:
            return cls.model_validate_json(observed.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise Terminal(
                Reason.UNREADABLE, f"This version of Berth cannot read {field}: {first['msg']}"
            ) from None

    @property
    def key(self) -> Key:
        """Its namespace and name."""
        return Key(self.metadata.namespace, self.metadata.name)

    @cached_property
    def placement(self) -> Placement:
        """Where in a cluster its Pods run."""
        return aks_placement(self.spec)

    @property
    def owner_reference(self) -> dict[str, object]:
        """The reference by which its children are garbage-collected with it."""
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "name": self.metadata.name,
            "uid": self.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

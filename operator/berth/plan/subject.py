"""The ModelDeployment that a pass is about."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field

from berth.api.base import ApiModel
from berth.api.deployment import GROUP, KIND, VERSION, ModelDeployment
from berth.core.keys import Key
from berth.plan.observed import Observed


class Metadata(ApiModel):
    """The part of an object's metadata that Berth reads."""

    name: str
    namespace: str
    uid: str
    generation: int
    creation_timestamp: str
    deletion_timestamp: str | None = None
    annotations: Mapping[str, str] = Field(default_factory=dict)


class Subject(ModelDeployment):
    """A ModelDeployment together with its metadata."""

    metadata: Metadata

    @classmethod
    def parse(cls, observed: Observed) -> Self:
        """Read what the store keeps."""
        return cls.model_validate_json(observed.body)

    @property
    def key(self) -> Key:
        """Its namespace and name."""
        return Key(self.metadata.namespace, self.metadata.name)

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

"""The finalizer of Berth's own kinds, by server-side apply with a manager of its own."""

from typing import Protocol

from berth.core.errors import Gone
from berth.plan.observed import FINALIZER
from berth.plan.resources import Resource
from berth.targets.base import Cluster, Object

_MANAGER = "berth-finalizer"


class Held(Protocol):
    """What identifies an object, and whether it is held."""

    @property
    def name(self) -> str:
        """The name of the object."""

    @property
    def uid(self) -> str:
        """What no later object of that name shares."""

    @property
    def finalizers(self) -> tuple[str, ...]:
        """What keeps the object from vanishing."""


async def hold(api: Cluster, resource: Resource, metadata: Held) -> None:
    """Keep an object from vanishing when it is deleted; costs nothing where it is held already."""
    if FINALIZER not in metadata.finalizers:
        await api.apply(resource, _body(resource, metadata, [FINALIZER]), manager=_MANAGER)


async def release(api: Cluster, resource: Resource, metadata: Held) -> None:
    """Let an object vanish."""
    if FINALIZER in metadata.finalizers:
        try:
            await api.apply(resource, _body(resource, metadata, []), manager=_MANAGER)
        except Gone:
            return


def _body(resource: Resource, metadata: Held, finalizers: list[str]) -> Object:
    """Give the object by its uid, so that no other one of that name is meant, nor one is made."""
    namespace: str = getattr(metadata, "namespace", "")
    told = {"name": metadata.name, "uid": metadata.uid, "finalizers": finalizers}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {**told, **({"namespace": namespace} if namespace else {})},
    }

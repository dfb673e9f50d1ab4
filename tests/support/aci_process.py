"""What the operator's process needs to serve on an emulated Azure."""

from typing import Any

from aci_world import place_spec
from azure_emulator import SECRET
from container_groups import aci_spec
from operator_process import User

from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS, CONFIG_MAPS, SECRETS
from berth_sandbox.azure.server import Endpoint


def manifest(resource: Any, key: Key, **fields: Any) -> dict[str, Any]:
    metadata = {"name": key.name, **({"namespace": key.namespace} if key.namespace else {})}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}


async def put_secret(user: User, value: str) -> None:
    body = manifest(SECRETS, Key(user.namespace, "azure"), stringData={"clientSecret": value})
    await user.client.apply(SECRETS, body)


async def put_place(user: User, endpoint: Endpoint, key: Key, **aci: Any) -> None:
    """Apply a ComputeTarget for the user's namespace, with credentials and a model to serve."""
    spec = place_spec(
        endpoint, allowedNamespaces={"matchLabels": {"kubernetes.io/metadata.name": user.namespace}}
    )
    spec["aci"] |= aci
    await user.client.apply(COMPUTE_TARGETS, manifest(COMPUTE_TARGETS, key, spec=spec))
    await put_secret(user, SECRET)
    content = manifest(CONFIG_MAPS, Key(user.namespace, "iris"), data={"model.onnx": "model"})
    await user.client.apply(CONFIG_MAPS, content)


def wanted(place: Key, **fields: Any) -> dict[str, Any]:
    return aci_spec(computeTargetRef={"name": place.name}, **fields)

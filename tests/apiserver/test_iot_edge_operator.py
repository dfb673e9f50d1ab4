"""The operator's process between a real API server and an emulated hub: from apply to nothing."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from azure_emulator import configured
from iot_edge_world import DEVICES, edge_spec, place_spec
from iot_hub_emulator import HUB, base_content, connection_string, hub
from operator_process import Process, User, condition, is_stalled, operator

from berth.core.errors import Gone
from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS, SECRETS
from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.server import Endpoint, served
from berth_sandbox.azure.simulation import Simulation
from berth_sandbox.cluster.control_plane import ControlPlane


@pytest.fixture
def azure() -> Azure:
    azure = configured(Azure(backing=Simulation(), clock=Clock(factor=30)))
    configure(azure, {"hubs": {HUB: hub()}})
    return azure


@pytest.fixture
def fleet(azure: Azure) -> Hub:
    """Three devices of plant-1 with their runtime."""
    found = azure.hubs.hub(HUB)
    found.register(list(DEVICES), {"site": "plant-1"}, is_edge=True)
    content = {"modulesContent": base_content()}
    found.put_configuration("base", {"id": "base", "content": content, "targetCondition": "*"}, None)
    return found


@pytest.fixture
async def endpoint(azure: Azure, fleet: Hub, tmp_path: Path) -> AsyncIterator[Endpoint]:
    async with served(azure, tmp_path / "authority") as endpoint:
        yield endpoint


@pytest.fixture
async def place(user: User, endpoint: Endpoint) -> AsyncIterator[Key]:
    """A ComputeTarget for the test's namespace, and the connection string that opens the hub."""
    key = Key("", user.namespace)
    allowed = {"matchLabels": {"kubernetes.io/metadata.name": user.namespace}}
    spec = place_spec(endpoint, allowedNamespaces=allowed)
    await user.client.apply(COMPUTE_TARGETS, manifest(COMPUTE_TARGETS, key, spec=spec))
    await put_string(user, connection_string(endpoint))
    yield key
    with suppress(Gone):
        there = await user.client.get(COMPUTE_TARGETS, key)
        await user.client.delete(COMPUTE_TARGETS, key, uid=there["metadata"]["uid"])
        await user.client.merge_patch(COMPUTE_TARGETS, key, {"metadata": {"finalizers": None}})


@pytest.fixture
async def berth(
    control_plane: ControlPlane, user: User, place: Key, tmp_path: Path
) -> AsyncIterator[Process]:
    async with operator(control_plane.kubeconfig, user.namespace, tmp_path / "berth-0.log") as process:
        yield process


def manifest(resource: Any, key: Key, **fields: Any) -> dict[str, Any]:
    metadata = {"name": key.name, **({"namespace": key.namespace} if key.namespace else {})}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}


async def put_string(user: User, text: str) -> None:
    key = Key(user.namespace, "hub")
    await user.client.apply(SECRETS, manifest(SECRETS, key, stringData={"connectionString": text}))


async def until_ready(user: User) -> dict[str, Any]:
    """Wait longer than in a cluster: what a hub tells of devices is half a minute old."""
    for _ in range(2):
        with suppress(AssertionError):
            return await user.until_ready()
    return await user.until_ready()


async def test_apply_leads_to_devices_and_deletion_to_nothing(
    user: User, fleet: Hub, place: Key, berth: Process
) -> None:
    await user.apply(edge_spec(computeTargetRef={"name": place.name}))

    ready = await until_ready(user)

    assert ready["status"]["iotEdge"]["running"] == 3
    assert ready["status"]["replicas"] == 3
    lives = fleet.device(DEVICES[0]).situation.lives(fleet.now)
    assert "iris" in lives
    await user.delete()
    await user.until_gone(MODEL_DEPLOYMENTS)
    assert list(fleet.fleet.deployments) == ["base"]


async def test_a_wrong_connection_string_is_told_on_both_objects(
    user: User, endpoint: Endpoint, place: Key, berth: Process
) -> None:
    await put_string(user, connection_string(endpoint, "nobody"))
    await user.apply(edge_spec(computeTargetRef={"name": place.name}))

    stalled = await user.until(is_stalled)

    assert condition(stalled, "Stalled")["reason"] == "AuthenticationFailed"
    there = await user.client.get(COMPUTE_TARGETS, place)
    assert condition(there, "Stalled")["reason"] == "AuthenticationFailed"

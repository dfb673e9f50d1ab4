"""The service of container instances, asked without a network."""

import asyncio
import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.errors import ArmError
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.regions import Subscription
from berth_sandbox.azure.service import ContainerInstances
from berth_sandbox.azure.shape import CONTAINER_GROUP, misfits
from berth_sandbox.azure.simulation import Simulation

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = GroupId("sub", "rg", "iris")
BODY: dict[str, Any] = {
    "location": "eastus",
    "tags": {"owner": "us"},
    "zones": ["1"],
    "identity": {"type": "UserAssigned", "userAssignedIdentities": {"/user": {}}},
    "properties": {
        "containers": [
            {
                "name": "scoring",
                "properties": {
                    "image": "scoring:1",
                    "command": ["serve"],
                    "ports": [{"port": 80, "protocol": "TCP"}],
                    "environmentVariables": [{"name": "KEY", "secureValue": "hidden"}],
                    "volumeMounts": [{"name": "model", "mountPath": "/model"}],
                    "resources": {
                        "requests": {"cpu": 1, "memoryInGB": 1.5},
                        "limits": {"cpu": 1, "memoryInGB": 1.5},
                    },
                },
            }
        ],
        "initContainers": [{"name": "fetch", "properties": {"image": "fetch:1"}}],
        "imageRegistryCredentials": [{"server": "registry.example", "username": "me", "password": "hidden"}],
        "osType": "Linux",
        "restartPolicy": "Always",
        "ipAddress": {"type": "Public", "ports": [{"port": 80}], "dnsNameLabel": "iris-demo"},
        "volumes": [{"name": "model", "secret": {"model.onnx": "AAEC"}}],
        "encryptionProperties": {"vaultBaseUrl": "https://v", "keyName": "k", "keyVersion": "1"},
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=5,
)


def service() -> ContainerInstances:
    subscription = Subscription("sub", "tenant", {"rg"})
    return ContainerInstances(Simulation(), Clock(factor=0, start=NOW), [subscription])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in below for place in places(item, (*path, key)))]


def changed(place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    body = copy.deepcopy(BODY)
    parent: Any = body
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    return body


async def put_and_look(body: Any) -> None:
    instances = service()
    await instances.create_or_update(GROUP, body)
    await instances.get(GROUP)
    await instances.list_groups("sub")
    await instances.delete(GROUP)


async def answer_to(body: Any) -> ArmError | None:
    try:
        await put_and_look(body)
    except ArmError as error:
        return error
    return None


def test_the_body_of_these_tests_is_taken() -> None:
    assert list(misfits(CONTAINER_GROUP, BODY)) == []
    asyncio.run(put_and_look(BODY))


@given(st.sampled_from(places(BODY)), JSON)
def test_whatever_is_sent_is_taken_or_refused(place: tuple[Any, ...], value: Any) -> None:
    answered = asyncio.run(answer_to(changed(place, value)))

    assert answered is None or answered.status in {400, 409}


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("properties",), 1, ".properties"),
        (("properties", "containers", 0, "name"), 3, ".properties.containers[0].name"),
        (("properties", "volumes", 0, "secret", "model.onnx"), 1, ".properties.volumes[0].secret.model.onnx"),
        (("tags",), ["a"], ".tags"),
    ],
)
def test_what_does_not_fit_is_named(place: tuple[Any, ...], value: Any, named: str) -> None:
    assert list(misfits(CONTAINER_GROUP, changed(place, value))) == [named]


async def test_of_two_who_create_at_once_one_creates() -> None:
    instances = service()

    first, second = await asyncio.gather(
        instances.create_or_update(GROUP, BODY),
        instances.create_or_update(GROUP, BODY),
        return_exceptions=True,
    )

    assert not isinstance(first, BaseException)
    assert first.status == 201
    assert isinstance(second, ArmError)
    assert second.code == "ContainerGroupTransitioning"


async def test_an_old_operation_keeps_its_result() -> None:
    clock = Clock(factor=0, start=NOW)
    instances = ContainerInstances(Simulation(), clock, [Subscription("sub", "tenant", {"rg"})])
    first = await instances.create_or_update(GROUP, BODY)
    clock.advance(60)
    await instances.get(GROUP)
    second = await instances.create_or_update(GROUP, BODY)

    assert first.operation
    assert second.operation
    assert (await instances.operation("sub", first.operation))["status"] == "Succeeded"
    assert (await instances.operation("sub", second.operation))["status"] == "Pending"
    with pytest.raises(ArmError, match="ResourceNotFound"):
        await instances.operation("sub", "unknown")


async def test_what_a_client_read_it_can_put_again() -> None:
    clock = Clock(factor=0, start=NOW)
    instances = ContainerInstances(Simulation(), clock, [Subscription("sub", "tenant", {"rg"})])
    await instances.create_or_update(GROUP, BODY)
    clock.advance(60)
    read = await instances.get(GROUP)

    again = await instances.create_or_update(GROUP, read)

    assert again.status == 200
    assert again.document
    assert again.document["properties"]["provisioningState"] == "Pending"

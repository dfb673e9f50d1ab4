"""What is wrong with a ComputeTarget is told on all it concerns, and over once it is mended."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from aci_hours import spend
from aci_world import PLACE, SPEC, World, place_spec
from azure_clients import asked
from azure_emulator import CLIENT, RESOURCE_GROUP, SECRET, SUBSCRIPTION, TENANT
from container_groups import SUBNET

from berth.plan.resources import COMPUTE_TARGETS
from berth_sandbox.azure.directory import Application
from berth_sandbox.azure.faults import Refuse

MINUTES = 10
STRANGE_TENANT = "7a1e5c3f-0000-4000-8000-00000000dead"


@dataclass(frozen=True)
class Trouble:
    """How something is broken and mended, and what is told of it."""

    breaks: Callable[[World], None]
    mends: Callable[[World], None]
    reason: str
    words: str


def let_secret_expire(world: World) -> None:
    world.azure.directory.register(TENANT, [Application(CLIENT, {SECRET: time.time() - 1})])


def renew_secret(world: World) -> None:
    world.azure.directory.register(TENANT, [Application(CLIENT, {SECRET: None})])


def put_place(world: World, tenant: str = TENANT) -> None:
    spec = place_spec(world.endpoint)
    world.put(
        COMPUTE_TARGETS, PLACE, {"spec": spec | {"credentials": spec["credentials"] | {"tenantId": tenant}}}
    )


def forbid(world: World, method: str) -> None:
    refusal = Refuse(403, "AuthorizationFailed", "The client may not do this over scope 'models'.")
    world.azure.faults.add(refusal, method, path="/resourceGroups/", times=None)


def allow(world: World) -> None:
    world.azure.faults.clear()


def enable(world: World, enabled: bool) -> None:
    world.azure.service.subscriptions[SUBSCRIPTION].enabled = enabled


def resource_groups(world: World) -> set[str]:
    return world.azure.service.subscriptions[SUBSCRIPTION].resource_groups


TROUBLES = {
    "wrong tenant": Trouble(
        lambda world: put_place(world, STRANGE_TENANT),
        put_place,
        "AuthenticationFailed",
        "AADSTS90002",
    ),
    "expired secret": Trouble(let_secret_expire, renew_secret, "AuthenticationFailed", "AADSTS7000222"),
    "not allowed": Trouble(
        lambda world: forbid(world, ".*"),
        allow,
        "AuthorizationFailed",
        "AuthorizationFailed: The client may not",
    ),
    "allowed to read": Trouble(
        lambda world: forbid(world, "PUT"),
        allow,
        "AuthorizationFailed",
        "AuthorizationFailed: The client may not",
    ),
    "no resource group": Trouble(
        lambda world: resource_groups(world).remove(RESOURCE_GROUP),
        lambda world: resource_groups(world).add(RESOURCE_GROUP),
        "ResourceGroupNotFound",
        "'models' could not be found",
    ),
    "disabled": Trouble(
        lambda world: enable(world, False),
        lambda world: enable(world, True),
        "ReadOnlyDisabledSubscription",
        SUBSCRIPTION,
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_both_objects_tell_it_and_azure_is_seldom_asked(world: World, trouble: Trouble) -> None:
    trouble.breaks(world)
    world.apply()

    await spend(world, 60 * MINUTES)

    for told in (world.condition("Stalled"), world.condition("Stalled", COMPUTE_TARGETS, PLACE)):
        assert told["reason"] == trouble.reason
        assert trouble.words in told["message"]
    calls = asked(world.azure)
    assert calls["Token"] <= MINUTES + 1
    assert calls.total() - calls["Token"] <= 7 * MINUTES
    assert calls["ContainerGroups_CreateOrUpdate"] <= MINUTES + 2  # the finalizer's news is one more
    assert world.groups == []

    trouble.mends(world)
    await spend(world, 60 * 7)

    assert world.is_ready
    assert world.condition("Ready", COMPUTE_TARGETS, PLACE)["status"] == "True"
    assert world.condition("CredentialsAccepted", COMPUTE_TARGETS, PLACE)["status"] == "True"
    assert len(world.groups) == 1


async def test_a_region_without_room_is_told_and_the_place_is_still_of_use(world: World) -> None:
    world.azure.faults.add(Refuse(409, "ServiceUnavailable", "Not available in 'eastus'."), "PUT", times=None)
    world.apply()
    await spend(world, 120)
    told = world.condition("RegionAvailable", COMPUTE_TARGETS, PLACE)
    assert (told["status"], told["reason"]) == ("False", "CapacityUnavailable")
    assert world.condition("Ready", COMPUTE_TARGETS, PLACE)["status"] == "True"
    allow(world)
    await spend(world, 300)
    assert world.is_ready
    assert world.condition("RegionAvailable", COMPUTE_TARGETS, PLACE)["status"] == "True"


def forbid_subnet(world: World) -> None:
    """Refuse as Azure does whoever may make groups and not join the subnet."""
    words = f"The client may make groups, however it may not join the linked scope(s) '{SUBNET.upper()}'."
    world.azure.faults.add(Refuse(403, "LinkedAuthorizationFailed", words), "PUT", times=None)


async def test_a_subnet_of_one_deployment_alone_says_nothing_of_the_place(world: World) -> None:
    forbid_subnet(world)
    world.apply(SPEC | {"aci": {"subnetId": SUBNET}})
    await spend(world, 120)
    assert world.condition("Stalled")["reason"] == "AuthorizationFailed"
    assert world.condition("Ready", COMPUTE_TARGETS, PLACE)["status"] == "True"
    assert world.condition("CredentialsAccepted", COMPUTE_TARGETS, PLACE)["status"] == "True"


async def test_a_subnet_that_the_place_names_concerns_all(world: World) -> None:
    forbid_subnet(world)
    spec = place_spec(world.endpoint)
    world.put(
        COMPUTE_TARGETS, PLACE, {"spec": spec | {"aci": spec["aci"] | {"defaults": {"subnetId": SUBNET}}}}
    )
    world.apply()
    await spend(world, 120)
    for told in (world.condition("Stalled"), world.condition("Stalled", COMPUTE_TARGETS, PLACE)):
        assert told["reason"] == "AuthorizationFailed"


async def test_what_nobody_tries_any_more_is_forgotten(world: World) -> None:
    forbid(world, "PUT")
    world.apply()
    await spend(world, 120)
    assert world.condition("Stalled", COMPUTE_TARGETS, PLACE)
    world.delete()
    await spend(world, 720)
    assert world.get() is None
    assert world.condition("Ready", COMPUTE_TARGETS, PLACE)["status"] == "True"

"""What Azure alone can tell is told in its words; each refusal has its own reason and its own reaction."""

from typing import Any

import pytest
from aci_hours import spend
from aci_world import PLACE, SPEC, World, place_spec
from azure_clients import asked
from azure_emulator import SUBSCRIPTION, group_id
from certificates import pair

from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS, SECRETS
from berth_sandbox.azure.faults import Refuse
from berth_sandbox.azure.simulation import Behaviour, Simulation

OWN = SPEC | {"image": "registry.test/own:1", "imageServer": "Berth"}
MINUTE = 60
NO_ROOM = "ServiceUnavailable: "


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        (
            {"resources": {"requests": {"cpu": 40, "memory": "1G"}}},
            "CapacityUnavailable",
            NO_ROOM,
        ),
        (
            {"resources": {"requests": {"cpu": 1, "memory": "300G"}}},
            "CapacityUnavailable",
            NO_ROOM,
        ),
        ({"aci": {"location": "atlantis"}}, "Rejected", "LocationNotAvailableForResourceType: "),
    ],
    ids=["cpu", "memory", "region"],
)
async def test_what_the_region_does_not_have_is_told_in_azures_words(
    world: World, fields: dict[str, Any], reason: str, words: str
) -> None:
    world.apply(SPEC | fields)
    await spend(world, 10 * MINUTE)
    told = world.condition("Stalled")
    assert told["reason"] == reason
    assert told["message"].startswith(words)
    assert asked(world.azure)["ContainerGroups_CreateOrUpdate"] <= 7
    world.apply(SPEC)
    await spend(world, MINUTE)
    assert world.is_ready


async def test_a_certificate_with_the_key_of_another_never_reaches_azure(world: World) -> None:
    entries = pair("iris").entries | {"tls.key": pair("rose", seed="another").key}
    world.put_data(SECRETS, Key("demo", "cert"), entries)
    world.apply(SPEC | {"tls": {"secretRef": {"name": "cert"}}})
    await spend(world, MINUTE)

    told = world.condition("Stalled")
    assert told["reason"] == "CertificateInvalid"
    assert told["message"].startswith("Secret cert holds a private key in tls.key that is not that of ")
    of_the_place = {"Token", "ContainerGroups_ListByResourceGroup", "Location_ListUsage"}
    assert asked(world.azure).keys() <= of_the_place

    world.put_data(SECRETS, Key("demo", "cert"), pair("iris").entries)
    await spend(world, MINUTE)
    assert world.is_ready


async def test_a_label_that_is_taken_is_told_and_its_owner_left_alone(world: World) -> None:
    labelled = SPEC | {"aci": {"dnsNameLabel": "iris-live"}}
    world.apply(labelled)
    await spend(world, MINUTE)
    (name,) = world.groups
    shown = await world.azure.service.get(group_id(name))
    body = {key: shown[key] for key in ("location", "properties")}
    world.delete()
    await spend(world, MINUTE)
    await world.azure.service.create_or_update(group_id("of-a-stranger"), body)

    world.apply(labelled)
    await spend(world, 5 * MINUTE)

    told = world.condition("Stalled")
    assert told["reason"] == "Conflict"
    assert told["message"].startswith("DnsNameLabelNotAvailable: ")
    assert world.groups == ["of-a-stranger"]
    await world.azure.service.vanish(group_id("of-a-stranger"))
    await spend(world, 2 * MINUTE)
    assert world.is_ready


async def test_a_group_listens_where_it_is_called(world: World) -> None:
    world.apply()
    await spend(world, MINUTE)
    (put,) = world.azure.requests.of("ContainerGroups_CreateOrUpdate")
    properties = put.request_body["properties"]
    exposed = [port["port"] for port in properties["containers"][0]["properties"]["ports"]]
    assert [port["port"] for port in properties["ipAddress"]["ports"]] == exposed


async def test_four_refusals_have_four_reasons_and_reactions(world: World) -> None:
    """A quota costs no PUT, capacity is asked for again, a transition waited for, a stranger let be."""
    spec = place_spec(world.endpoint)
    full = spec | {"aci": spec["aci"] | {"quota": {"containerGroups": 0}}}
    told = []

    async def tell(kind: str) -> None:
        world.azure.requests.clear()
        await spend(world, 5 * MINUTE)
        told.append((world.condition(kind)["reason"], asked(world.azure)["ContainerGroups_CreateOrUpdate"]))
        assert not asked(world.azure)["ContainerGroups_Delete"]
        world.azure.faults.clear()

    world.put(COMPUTE_TARGETS, PLACE, {"spec": full})
    world.apply()
    await tell("Stalled")

    world.put(COMPUTE_TARGETS, PLACE, {"spec": spec})
    world.azure.faults.add(Refuse(409, "ServiceUnavailable", "No room in 'eastus'."), "PUT", times=None)
    await tell("Stalled")

    world.azure.faults.add(Refuse(409, "ContainerGroupTransitioning", "Wait."), "PUT", times=None)
    await tell("Reconciling")

    world.azure.faults.add(Refuse(409, "InvalidResourceLocation", "It is in 'westus'."), "PUT", times=None)
    await tell("Stalled")

    reasons, puts = zip(*told, strict=True)
    assert reasons == ("QuotaExceeded", "CapacityUnavailable", "ProgressingWithRetry", "Conflict")
    assert puts[0] == 0
    assert all(most // 2 < count <= most for count, most in zip(puts[1:], (3, 15, 6), strict=True))
    await spend(world, 10 * MINUTE)
    assert world.is_ready


async def test_a_quota_of_cores_is_told_in_azures_words(world: World) -> None:
    world.azure.service.subscriptions[SUBSCRIPTION].quotas["StandardCores"] = 0
    world.apply()
    await spend(world, 5 * MINUTE)
    assert world.condition("Stalled")["reason"] == "QuotaExceeded"
    assert world.condition("Stalled")["message"].startswith("ContainerGroupQuotaReached: ")
    assert asked(world.azure)["ContainerGroups_CreateOrUpdate"] <= 7


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        (Behaviour(pull_error="unauthorized"), "ImagePullFailed", "unauthorized"),
        (Behaviour(accessible=False), "ImagePullFailed", "InaccessibleImage: "),
        (
            Behaviour(run_seconds=2, exit_code=3, log=("ScriptInitFailed: no module named iris",)),
            "ScriptInitFailed",
            "no module named iris",
        ),
        (
            Behaviour(run_seconds=2, exit_code=1, log=("first", "Segmentation fault")),
            "ContainerFailed",
            "first\nSegmentation fault",
        ),
        (Behaviour(run_seconds=2, exit_code=137), "OutOfMemory", "spec.resources.requests.memory"),
    ],
    ids=["pull", "no image", "script", "crash", "memory"],
)
async def test_what_keeps_it_from_running_is_told_within_a_minute(
    world: World, simulation: Simulation, behaviour: Behaviour, reason: str, words: str
) -> None:
    simulation.behaviours["registry.test/own:1"], world.answers = behaviour, False
    world.apply(OWN)

    await spend(world, MINUTE)

    told = world.condition("Ready")
    assert (told["status"], told["reason"]) == ("False", reason)
    assert words in told["message"]
    world.azure.requests.clear()
    await spend(world, 10 * MINUTE)
    assert asked(world.azure).total() <= 10 * 20

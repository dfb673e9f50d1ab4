"""What a difference takes: one test for each row of the table, and what must never be sent."""

from collections.abc import Callable
from typing import Any

import pytest
from azure_specs import DESCRIPTIONS, MISSING, Example, examples, recording
from container_groups import (
    CONTENT,
    FULL,
    FULL_DEFAULTS,
    IMAGE,
    KEY,
    WISHES,
    aci_spec,
    aci_specs,
    desired,
    place,
    recipe,
    shown,
)
from deployments import Spec
from hypothesis import given

from berth.plan.container_group import Desired, desired_group
from berth.plan.group_changes import CHANGES, Update, Way, is_stopped, merged_tags, update
from berth.plan.group_content import Content
from berth.plan.group_names import FINGERPRINT

Group = dict[str, Any]


def container(group: Group) -> Any:
    return group["properties"]["containers"][0]["properties"]


def change(name: str, value: object) -> Callable[[Group], None]:
    return lambda group: group["properties"].update({name: value})


# What someone else changes, and what mending it takes.
DRIFTS: dict[str, tuple[Callable[[Group], None], Way]] = {
    "location": (lambda group: group.update(location="West US"), Way.RECREATE),
    "zones": (lambda group: group.update(zones=["1"]), Way.RECREATE),
    "osType": (change("osType", "Windows"), Way.RECREATE),
    "sku": (change("sku", "Dedicated"), Way.RECREATE),
    "priority": (change("priority", "Spot"), Way.RECREATE),
    "restartPolicy": (change("restartPolicy", "Never"), Way.RECREATE),
    "subnetIds": (change("subnetIds", [{"id": "/subscriptions/s/subnets/other"}]), Way.RECREATE),
    "encryptionProperties": (change("encryptionProperties", {"keyName": "k"}), Way.RECREATE),
    "ipAddress.type": (lambda group: group["properties"]["ipAddress"].update(type="Other"), Way.RECREATE),
    "ipAddress.ports": (
        lambda group: group["properties"]["ipAddress"]["ports"].append({"port": 8080}),
        Way.RECREATE,
    ),
    "containers": (
        lambda group: group["properties"]["containers"].append({"name": "x", "properties": {}}),
        Way.RECREATE,
    ),
    "initContainers": (change("initContainers", []), Way.RECREATE),
    "cpu": (lambda group: container(group)["resources"]["requests"].update(cpu=4), Way.RECREATE),
    "memory": (lambda group: container(group)["resources"]["requests"].update(memoryInGB=9), Way.RECREATE),
    "gpu": (
        lambda group: container(group)["resources"]["requests"].update(gpu={"count": 1, "sku": "V100"}),
        Way.RECREATE,
    ),
    "identity": (lambda group: group.pop("identity"), Way.IN_PLACE),
    "ipAddress.dnsNameLabel": (
        lambda group: group["properties"]["ipAddress"].update(dnsNameLabel="mine-now"),
        Way.IN_PLACE,
    ),
    "image": (lambda group: container(group).update(image="evil:1"), Way.IN_PLACE),
    "command": (lambda group: container(group).update(command=["sleep"]), Way.IN_PLACE),
    "environmentVariables": (lambda group: container(group)["environmentVariables"].pop(0), Way.IN_PLACE),
    "volumeMounts": (lambda group: container(group)["volumeMounts"].pop(), Way.IN_PLACE),
    "livenessProbe": (lambda group: container(group).pop("livenessProbe"), Way.IN_PLACE),
    "readinessProbe": (
        lambda group: container(group)["readinessProbe"].update(periodSeconds=9),
        Way.IN_PLACE,
    ),
    "volumes": (lambda group: group["properties"]["volumes"].pop(), Way.IN_PLACE),
    "imageRegistryCredentials": (change("imageRegistryCredentials", []), Way.IN_PLACE),
    "logAnalytics": (change("diagnostics", {}), Way.IN_PLACE),
}
WHERE = place(defaults={name: value for name, value in FULL_DEFAULTS.items() if name != "subnetId"})


def drifted(mend: Callable[[Group], None]) -> Update:
    wanted = desired(FULL, WHERE)
    there = shown(wanted)
    mend(there)
    return update(wanted, there)


@pytest.mark.parametrize(("row", "fields", "way"), [(row, *wish) for row, wish in WISHES.items()])
def test_a_new_wish_takes_what_its_row_says(row: str, fields: Spec, way: Way) -> None:
    found = update(desired(fields), shown(desired()))
    assert row in found.fields
    assert found.way is way
    assert not found.drifted


@pytest.mark.parametrize(("row", "mend", "way"), [(row, *drift) for row, drift in DRIFTS.items()])
def test_what_someone_else_changed_takes_what_its_row_says(
    row: str, mend: Callable[[Group], None], way: Way
) -> None:
    found = drifted(mend)
    assert row in found.fields
    assert found.way is way
    assert found.drifted


def test_every_row_has_an_example() -> None:
    assert set(DRIFTS) == {row.name for row in CHANGES}
    assert {row.name: row.way for row in CHANGES} == {row: way for row, (_, way) in DRIFTS.items()}


@given(aci_specs())
def test_what_is_as_wanted_is_left_alone(fields: Spec) -> None:
    wanted = desired(fields)
    assert update(wanted, shown(wanted)) == Update(Way.NOTHING)


def test_what_only_a_list_shows_is_left_alone() -> None:
    """A list has no instance view."""
    wanted = desired(FULL, WHERE)
    listed = shown(wanted)
    del listed["properties"]["instanceView"]
    assert update(wanted, listed) == Update(Way.NOTHING)


def test_azures_own_ways_of_writing_are_no_difference() -> None:
    fields = aci_spec(
        aci={"encryption": {"vaultBaseUrl": "https://v.test", "keyName": "k", "keyVersion": "1"}}
    )
    wanted = desired(fields, WHERE)
    there = shown(wanted, subnetIds=[])
    there["location"] = "EastUS"
    there["properties"]["encryptionProperties"]["vaultBaseUrl"] = "https://v.test/"
    there["properties"]["ipAddress"] |= {"fqdn": "iris.eastus.azurecontainer.io", "ip": "20.0.0.1"}
    there["properties"]["ipAddress"]["ports"] = [{"port": 80}]
    container(there)["resources"]["requests"]["cpu"] = 2.0
    given_to = there["identity"]["userAssignedIdentities"]
    there["identity"]["userAssignedIdentities"] = {name.upper(): {"clientId": "x"} for name in given_to}
    assert update(wanted, there) == Update(Way.NOTHING)


def test_a_rotated_secret_takes_one_restart() -> None:
    rotated = {**CONTENT.secrets, "iris-keys": {"primaryKey": b"new", "secondaryKey": b"new"}}
    wanted = desired(FULL, WHERE, content=Content(CONTENT.config_maps, rotated, CONTENT.operator_secrets))
    assert update(wanted, shown(desired(FULL, WHERE))) == Update(Way.IN_PLACE)
    assert update(wanted, shown(wanted)) == Update(Way.NOTHING)


def test_a_new_generation_without_a_new_wish_takes_tags_alone() -> None:
    there = shown(desired(generation=1))
    assert update(desired(generation=2), there) == Update(Way.TAGS, ("tags",))


def test_tags_of_others_stay() -> None:
    wanted = desired(generation=2)
    there = shown(wanted)
    there["tags"] = {"cost-centre": "7", **desired(generation=1).tags}
    assert merged_tags(wanted, there) == {"cost-centre": "7", **wanted.tags}
    there["tags"] = merged_tags(wanted, there)
    assert update(wanted, there) == Update(Way.NOTHING)


@pytest.mark.parametrize("state", ["Succeeded", "Failed"])
def test_a_group_that_ended_is_made_anew_where_it_would_be_changed(state: str) -> None:
    changed = desired(aci_spec(env=[{"name": "A", "value": "b"}]))
    assert update(changed, shown(desired(), state)).way is Way.RECREATE
    assert update(desired(), shown(desired(), state)).way is Way.NOTHING


def test_a_group_that_was_stopped_is_as_wanted_but_for_that() -> None:
    stopped = shown(desired(), "Stopped")
    assert is_stopped(stopped)
    assert not is_stopped(shown(desired()))
    assert update(desired(), stopped) == Update(Way.NOTHING)


def test_a_lost_fingerprint_is_a_difference() -> None:
    there = shown(desired())
    del there["tags"][FINGERPRINT]
    assert update(desired(), there) == Update(Way.IN_PLACE)


def test_an_upgrade_of_the_operator_changes_nothing() -> None:
    there = shown(desired())
    kept = desired_group(recipe(), "registry.test/berth-scoring:2", KEY, there)
    assert update(kept, there) == Update(Way.NOTHING)
    assert IMAGE in str(kept.body)


# Answers that do not belong to what was asked: no service makes zones out of nothing.
MISMATCHED = {
    "ContainerGroupExtensions": {"ipAddress.type", "ipAddress.ports"},
    "ContainerGroupsCreateOrUpdate": {"zones", "subnetIds", "identity"},
}


@pytest.mark.skipif(not DESCRIPTIONS.exists(), reason=MISSING)
@pytest.mark.parametrize(
    "example",
    [each for each in examples().values() if each.body and "properties" in each.body],
    ids=lambda e: e.name,
)
def test_an_official_answer_is_what_was_asked_for(example: Example) -> None:
    found = update(*exchanged(example.body, example.answers[200]))
    assert set(found.fields) == MISMATCHED.get(example.name, set())


@pytest.mark.skipif(not DESCRIPTIONS.exists(), reason=MISSING)
def test_what_the_real_service_made_is_what_was_asked_for() -> None:
    put, got = recording()[0], recording()[3]
    assert (put["method"], got["method"]) == ("PUT", "GET")
    assert update(*exchanged(put["requestBody"], got["responseBody"])) == Update(Way.NOTHING)


def exchanged(body: Group, answer: Group) -> tuple[Desired, Group]:
    tags = {"tags": {FINGERPRINT: "the same"}}
    return Desired("demo1", body | tags), answer | tags

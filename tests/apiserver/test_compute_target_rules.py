"""Every rule between fields of a ComputeTarget, and what users do with one."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_requests import COMPUTE_TARGETS, ApiServer, compute_target
from compute_targets import BASE, CLIENT, CUSTOM, HUB, IDENTITY, POOL, ROOT, TENANT, built
from manifests import put
from schema_walk import Schema, fields, leaves

MERGE = "application/merge-patch+json"
SERVER = "team.azurecr.io"
REGISTRY = "aci.defaults.registries[]"
REQUIREMENT = "allowedNamespaces.matchExpressions[]"
SIZE = "aci.defaults.resources"

HUB_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/plants"

# A part of the rule's message; what breaks the rule; what mends it.
Example = tuple[str, dict[str, Any], dict[str, Any]]

RULES: list[Example] = [
    ("kind ACI needs aci", {"aci": None}, {"aci": BASE["aci"]}),
    ("kind IoTEdge needs iotEdge", {"kind": "IoTEdge", "aci": None}, {"iotEdge": HUB["iotEdge"]}),
    ("aci is for kind ACI", {**HUB, "aci": BASE["aci"]}, {"aci": None}),
    (
        "iotEdge is for kind IoTEdge",
        {"kind": "ACI", "aci": BASE["aci"], "iotEdge": HUB["iotEdge"]},
        {"iotEdge": None},
    ),
    (
        "a toleration with operator Exists takes no value",
        {"fpga.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        {"fpga.tolerations[].operator": "Equal"},
    ),
    (
        "a toleration without key needs operator Exists",
        {"fpga.tolerations": [{"effect": "NoSchedule"}]},
        {"fpga.tolerations[].operator": "Exists"},
    ),
    (
        "tolerationSeconds needs effect NoExecute",
        {"fpga.tolerations": [{"key": "a", "tolerationSeconds": 3}]},
        {"fpga.tolerations[].effect": "NoExecute"},
    ),
    (
        "key of a toleration must be [PREFIX/]NAME",
        {"fpga.tolerations": [{"key": "gpu type", "operator": "Exists"}]},
        {"fpga.tolerations[].key": "nvidia.com/gpu"},
    ),
    (
        "a key of nodeSelector must be [PREFIX/]NAME",
        {"fpga.nodeSelector": {"a/b/c": "fpga"}},
        {"fpga.nodeSelector": {"b/c": "fpga"}},
    ),
    (
        "a value of nodeSelector must be empty",
        {"fpga.nodeSelector": {"pool": "large FPGA"}},
        {"fpga.nodeSelector": {"pool": "large-FPGA"}},
    ),
    ("kind FPGA needs fpga", {"kind": "FPGA", "aci": None}, {"fpga": POOL["fpga"]}),
    ("fpga is for kind FPGA", {"kind": "ACI", "aci": BASE["aci"], "fpga": POOL["fpga"]}, {"fpga": None}),
    ("remove cloud and credentials", {**POOL, "aci": None, "cloud.name": "AzureChina"}, {"cloud": None}),
    (
        "remove cloud and credentials",
        {**POOL, "aci": None, "credentials.clientId": CLIENT},
        {"credentials": None},
    ),
    (
        "fpga needs either resourceName or deviceClassName",
        {"fpga.resourceName": None, "fpga.scalesFromZero": True},
        {"fpga.resourceName": "example.org/card"},
    ),
    (
        "fpga needs either resourceName or deviceClassName",
        {"fpga.deviceClassName": "example.org", "fpga.dynamicResources": True},
        {"fpga.resourceName": None},
    ),
    (
        "deviceClassName needs dynamicResources",
        {"fpga.resourceName": None, "fpga.deviceClassName": "example.org"},
        {"fpga.dynamicResources": True},
    ),
    (
        "hugepages takes names such as hugepages-2Mi",
        {"fpga.hugepages": {"memory": "1Gi"}},
        {"fpga.hugepages": {"hugepages-1Gi": "1Gi"}},
    ),
    (
        "resourceId must be that of an IoT hub",
        {"iotEdge.resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/x"},
        {"iotEdge.resourceId": HUB_ID},
    ),
    (
        "Azure tells of a resource to an identity alone",
        {"iotEdge.resourceId": HUB_ID, "iotEdge.connectionStringRef.name": "hub"},
        {"iotEdge.resourceId": None},
    ),
    (
        "a connection string signs in by itself",
        {
            "iotEdge.connectionStringRef.name": "hub",
            "credentials": {"tenantId": TENANT, "clientId": CLIENT, "secretRef": {"name": "azure"}},
        },
        {"credentials": None},
    ),
    ("cloud Custom needs resourceManager and authority", {"cloud.name": "Custom"}, CUSTOM),
    (
        "cloud Custom needs resourceManager and authority",
        {"cloud.name": "Custom", "cloud.authority": "https://login.example.org"},
        {"cloud.resourceManager": "https://management.example.org"},
    ),
    (
        "resourceManager, authority and caBundle are for cloud Custom",
        {"cloud.authority": "https://login.example.org"},
        {"cloud": None},
    ),
    (
        "give tenantId and clientId with secretRef",
        {"credentials.secretRef.name": "azure", "credentials.tenantId": TENANT},
        {"credentials.clientId": CLIENT},
    ),
    (
        "a registry takes exactly one of secretRef and identity",
        {f"{REGISTRY}.server": SERVER},
        {f"{REGISTRY}.identity": IDENTITY},
    ),
    (
        "a registry takes exactly one of secretRef and identity",
        {f"{REGISTRY}.server": SERVER, f"{REGISTRY}.identity": IDENTITY, f"{REGISTRY}.secretRef.name": "a"},
        {f"{REGISTRY}.secretRef": None},
    ),
    ("cpu must be greater than 0 and at most 31", {f"{SIZE}.cpu": "0"}, {f"{SIZE}.cpu": "10m"}),
    ("cpu must be greater than 0 and at most 31", {f"{SIZE}.cpu": 32}, {f"{SIZE}.cpu": 31}),
    ("memory must be greater than 0 and at most 240G", {f"{SIZE}.memory": "1Ti"}, {f"{SIZE}.memory": "1Gi"}),
    (
        "operators In and NotIn need values",
        {f"{REQUIREMENT}.key": "team", f"{REQUIREMENT}.operator": "In"},
        {f"{REQUIREMENT}.values": ["a"]},
    ),
    (
        "operators In and NotIn need values",
        {f"{REQUIREMENT}.key": "team", f"{REQUIREMENT}.operator": "Exists", f"{REQUIREMENT}.values": ["a"]},
        {f"{REQUIREMENT}.values": None},
    ),
    (
        "a key of matchLabels must be [PREFIX/]NAME",
        {"allowedNamespaces.matchLabels": {"a/b/c": ""}},
        {"allowedNamespaces.matchLabels": {"b/c": ""}},
    ),
]
FIXED: dict[str, Any] = {
    "aci.subscriptionId": TENANT,
    "aci.resourceGroup": "other",
    "aci.location": "westus",
    "cloud.name": "AzureChina",
}
OBSERVED = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-21T12:00:00Z",
            "reason": "Ready",
            "message": "Azure answers",
        }
    ],
    "lastSeen": "2026-11-21T12:00:00Z",
    "aci": {"containerGroups": {"own": 1, "used": 3, "limit": 20}, "cores": {"used": 4, "limit": 100}},
    "iotEdge": {
        "tier": "Standard",
        "units": 2,
        "deployments": {"own": 3, "used": 7, "limit": 100},
        "devices": {"connected": 40, "all": 41},
    },
    "fpga": {
        "nodes": 2,
        "devices": {
            "resourceName": "fpga.example.com/arria10",
            "total": 4,
            "allocated": 3,
            "free": 1,
            "pending": 0,
        },
        "holders": [{"name": "demo/iris", "devices": 3}],
    },
}


@pytest.fixture(scope="module", autouse=True)
def served(api: ApiServer) -> None:
    """Wait until the kind is served."""
    deadline = time.monotonic() + 30
    while api.send("GET", COMPUTE_TARGETS)[0] != 200:
        assert time.monotonic() < deadline, "ComputeTargets are not served"
        time.sleep(0.05)


@pytest.fixture
def stored(api: ApiServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of a stored ComputeTarget."""
    name = f"stored-{abs(hash(request.node.name))}"
    status, answer = api.send("POST", COMPUTE_TARGETS, compute_target(BASE, name))
    assert status == 201, answer
    yield f"{COMPUTE_TARGETS}/{name}"
    api.send("DELETE", f"{COMPUTE_TARGETS}/{name}")


def try_create(api: ApiServer, values: dict[str, Any]) -> tuple[int, Any]:
    return api.send("POST", f"{COMPUTE_TARGETS}?dryRun=All", compute_target(built(values)))


@pytest.mark.parametrize(("message", "breaks", "mends"), RULES)
def test_what_breaks_a_rule_is_refused_and_what_mends_it_accepted(
    api: ApiServer, message: str, breaks: dict[str, Any], mends: dict[str, Any]
) -> None:
    status, refused = try_create(api, breaks)
    assert status == 422
    assert message in refused["message"]
    status, accepted = try_create(api, {**breaks, **mends})
    assert status == 201, accepted["message"]


def messages(schema: Schema) -> Iterator[str]:
    for part in (
        schema,
        *(inside for _, field in fields(schema) for inside in (field, field.get("items", {}))),
    ):
        yield from (rule["message"] for rule in part.get("x-kubernetes-validations", ()))


def test_every_rule_has_an_example() -> None:
    told = [message for message in messages(ROOT) if "cannot be changed" not in message]
    assert [message for message in told if not any(rule[0] in message for rule in RULES)] == []


def test_every_example_belongs_to_a_rule() -> None:
    known = list(messages(ROOT))
    assert [rule[0] for rule in RULES if not any(rule[0] in message for message in known)] == []


@pytest.mark.parametrize(("path", "value"), FIXED.items())
def test_where_groups_are_cannot_be_changed(api: ApiServer, stored: str, path: str, value: Any) -> None:
    change: dict[str, Any] = {"spec": {}}
    put(change["spec"], path, value)
    status, answer = api.send("PATCH", stored, change, MERGE)
    assert status == 422
    assert f"{path.removeprefix('aci.')} cannot be changed" in answer["message"]


def test_every_rule_on_changes_has_an_example() -> None:
    fixed = {m.partition(" ")[0] for m in messages(ROOT) if "cannot be changed" in m}
    assert fixed == {"kind", "cloud.name", "hostName", *(path.removeprefix("aci.") for path in FIXED)}


def test_the_hub_cannot_be_changed(api: ApiServer) -> None:
    assert api.send("POST", COMPUTE_TARGETS, compute_target(HUB, "hub"))[0] == 201
    change = {"spec": {"iotEdge": {"hostName": "other.azure-devices.net"}}}
    status, answer = api.send("PATCH", f"{COMPUTE_TARGETS}/hub", change, MERGE)
    api.send("DELETE", f"{COMPUTE_TARGETS}/hub")
    assert (status, "hostName cannot be changed" in answer["message"]) == (422, True)


@pytest.mark.parametrize("path", ["aci.quota.containerGroups", "aci.defaults.resources.cpu"])
def test_other_things_can_be_changed(api: ApiServer, stored: str, path: str) -> None:
    change: dict[str, Any] = {"spec": {}}
    put(change["spec"], path, 2)
    status, answer = api.send("PATCH", stored, change, MERGE)
    assert status == 200, answer


def test_every_default_is_visible(api: ApiServer, stored: str) -> None:
    _, answer = api.send("GET", stored)
    assert answer["spec"] == {
        "kind": "ACI",
        "cloud": {"name": "AzurePublic"},
        "credentials": {},
        "allowedNamespaces": {},
        "aci": {**BASE["aci"], "defaults": {"resources": {"cpu": "1", "memory": "1500M"}}, "quota": {}},
    }
    assert answer["status"] == {"observedGeneration": -1}


def test_every_field_of_the_status_is_read_back_unchanged(api: ApiServer, stored: str) -> None:
    _, answer = api.send("PATCH", f"{stored}/status", {"status": OBSERVED}, MERGE)
    assert answer["status"] == OBSERVED
    assert answer["metadata"]["generation"] == 1


def test_every_field_of_the_status_is_in_the_example() -> None:
    def there(part: Any, way: list[str]) -> bool:
        part = part[0] if isinstance(part, list) else part
        return not way or (way[0] in part and there(part[way[0]], way[1:]))

    ways = [path.replace("[]", "").split(".") for path, _ in leaves(ROOT["properties"]["status"])]
    assert [way for way in ways if not there(OBSERVED, way)] == []


def test_it_is_listed_by_its_short_name_and_category(
    api: ApiServer, stored: str, kubectl: Callable[..., str]
) -> None:
    api.send("PATCH", f"{stored}/status", {"status": OBSERVED}, MERGE)
    name = stored.rpartition("/")[2]
    header, row = kubectl("get", "ctgt", name).splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "KIND", "REGION", "HUB", "GROUPS", "LIMIT", "AGE"]
    assert row.split()[:-1] == [name, "True", "Ready", "ACI", "eastus", "3", "20"]
    assert name in kubectl("get", "ml", "-o", "name")


def test_an_empty_aci_block_says_what_is_missing(api: ApiServer) -> None:
    status, answer = api.send("POST", COMPUTE_TARGETS, compute_target({"kind": "ACI", "aci": {}}))
    assert status == 422
    assert "spec.aci.subscriptionId: Required value" in answer["message"]

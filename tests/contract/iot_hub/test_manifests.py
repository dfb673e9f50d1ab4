"""Microsoft's examples of deployments, and its schemas: the emulated hub and agents take what those take."""

import itertools
import json
from typing import Any

import iot_hub_specs
import pytest
from azure_emulator import configured
from iot_hub_emulator import HUB, Clients, base, base_content, deployment, hub, layer_content
from jsonschema import Draft4Validator

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.iot_hub.content import Manifest, merged
from berth_sandbox.azure.iot_hub.manifest_rules import own_rules
from berth_sandbox.azure.iot_hub.schemas import OfficialRules

if not iot_hub_specs.DESCRIPTION.exists():
    pytest.skip(iot_hub_specs.MISSING, allow_module_level=True)

FULL = [
    "deploymentLowerLayer",
    "deploymentTopLayer",
    "test_edge_deployment",
    "test_edge_deployment_ea_v11_eh_v12",
    "test_edge_deployment_v1",
    "test_edge_deployment_v11",
]
SETTLED = 200


@pytest.fixture(scope="session")
def official() -> OfficialRules:
    return OfficialRules(iot_hub_specs.SCHEMAS)


@pytest.fixture
def azure(official: OfficialRules) -> Azure:
    azure = configured(Azure(clock=Clock(factor=0), manifest_rules=official))
    configure(azure, {"hubs": {HUB: hub(devices={"press-1": {}})}})
    return azure


def schema_of(module: str) -> dict[str, Any]:
    name = {"$edgeAgent": "agent", "$edgeHub": "hub"}[module]
    found: dict[str, Any] = json.loads(
        (iot_hub_specs.SCHEMAS / f"azure-iot-edge{name}-deployment-1.1.json").read_text()
    )
    return found


async def status(azure: Azure, clients: Clients) -> dict[str, Any]:
    azure.clock.advance(SETTLED)
    found: dict[str, Any] = (await clients.agent("press-1")).properties.reported["lastDesiredStatus"]
    return found


@pytest.mark.parametrize("name", FULL)
async def test_official_examples_are_carried_out(azure: Azure, clients: Clients, name: str) -> None:
    modules = iot_hub_specs.modules_of(iot_hub_specs.example(name))
    await clients.create(deployment("example", modules))

    assert await status(azure, clients) == {"code": 200, "description": ""}
    known = (await clients.agent("press-1")).properties.reported["modules"]
    assert set(known) == set(modules["$edgeAgent"]["properties.desired"]["modules"])


async def test_the_official_layer_is_put_upon_a_base(azure: Azure, clients: Clients) -> None:
    layered = iot_hub_specs.modules_of(iot_hub_specs.example("test_edge_deployment_layered"))
    await clients.create(base())
    await clients.create(deployment("layered", layered))

    assert (await status(azure, clients))["code"] == 200
    assert set((await clients.agent("press-1")).properties.reported["modules"]) == {"mymodule0"}


WRONG = {"test_edge_deployment_malformed": 400, "test_edge_deployment_ea_v90_eh_v91": 412}


@pytest.mark.parametrize(("name", "code"), WRONG.items())
async def test_official_examples_of_what_is_wrong_are_not(
    azure: Azure, clients: Clients, name: str, code: int
) -> None:
    await clients.create(deployment("example", iot_hub_specs.modules_of(iot_hub_specs.example(name))))

    assert (await status(azure, clients))["code"] == code


def test_what_a_hub_shows_of_a_deployment_is_what_is_known_of_a_real_one(azure: Azure) -> None:
    shown = iot_hub_specs.example("test_config_modules_show")
    plants = azure.hubs.hub(HUB)

    ours = plants.put_configuration("c12", shown, None)

    assert ours["systemMetrics"]["queries"] == shown["systemMetrics"]["queries"]
    assert ours["etag"] == shown["etag"]
    assert set(shown) - set(ours) == {"contentType"}


@pytest.mark.parametrize("name", FULL)
def test_both_rules_take_the_official_examples(official: OfficialRules, name: str) -> None:
    manifest = Manifest(merged([iot_hub_specs.modules_of(iot_hub_specs.example(name))]))

    assert own_rules(manifest) is None
    assert official(manifest) is None


def without(document: dict[str, Any], *path: str) -> dict[str, Any]:
    head, *rest = path
    inner = without(document[head], *rest) if rest else None
    kept = {name: value for name, value in document.items() if name != head}
    return kept if inner is None else {**kept, head: inner}


AGENT = base_content(iris=layer_content()["$edgeAgent"]["properties.desired.modules.iris"])["$edgeAgent"][
    "properties.desired"
]
REQUIRED = [
    ("runtime",),
    ("systemModules",),
    ("systemModules", "edgeHub"),
    ("runtime", "type"),
    ("modules", "iris", "type"),
    ("modules", "iris", "status"),
    ("modules", "iris", "restartPolicy"),
    ("modules", "iris", "settings"),
    ("modules", "iris", "settings", "image"),
]


@pytest.mark.parametrize("path", REQUIRED, ids=".".join)
def test_our_own_rules_miss_what_the_schema_misses(path: tuple[str, ...]) -> None:
    broken = without(AGENT, *path)
    validator = Draft4Validator(schema_of("$edgeAgent"))

    assert validator.is_valid({"$edgeAgent": {"properties.desired": AGENT}})
    assert not validator.is_valid({"$edgeAgent": {"properties.desired": broken}})
    assert own_rules(Manifest({"$edgeAgent": broken})) is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *itertools.product(["status", "restartPolicy", "imagePullPolicy"], ["sometimes"]),
        ("type", "podman"),
        ("startupOrder", "first"),
    ],
)
def test_our_own_rules_refuse_what_the_schema_refuses(field: str, value: str) -> None:
    module = {**AGENT["modules"]["iris"], field: value}
    broken = {**AGENT, "modules": {"iris": module}}

    assert not Draft4Validator(schema_of("$edgeAgent")).is_valid(
        {"$edgeAgent": {"properties.desired": broken}}
    )
    assert own_rules(Manifest({"$edgeAgent": broken})) is not None


async def test_what_only_the_schema_refuses_is_refused_too(azure: Azure, clients: Clients) -> None:
    await clients.create(base(iris={**AGENT["modules"]["iris"], "nickname": "flower"}))

    found = await status(azure, clients)

    assert found["code"] == 400
    assert "nickname" in found["description"]

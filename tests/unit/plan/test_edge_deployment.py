"""The content of a layered deployment: what the schemas ask for, and what the scoring container needs."""

import json
from typing import Any

import pytest
from deployments import MODEL
from edge_deployments import (
    CONTENT,
    IMAGE,
    KEY,
    NEWER_IMAGE,
    REGISTRIES,
    ROUTES,
    SITE,
    desired,
    edge_spec,
    place,
    recipe,
)
from hypothesis import given
from hypothesis import strategies as st
from iot_hub_emulator import base_content
from iot_hub_specs import MISSING, SCHEMAS

from berth.api.conditions import Reason
from berth.core.errors import Terminal
from berth.plan.edge_deployment import (
    FAILED,
    OFFLINE,
    RUNNING,
    Desired,
    deployment_id,
    desired_deployment,
    needed,
)
from berth.plan.edge_module import in_parts
from berth.plan.group_content import Content
from berth.plan.group_names import Owner
from berth_sandbox.azure.iot_hub.configuration import check
from berth_sandbox.azure.iot_hub.content import Manifest, merged
from berth_sandbox.azure.iot_hub.schemas import OfficialRules

FULL = edge_spec(
    env=[
        {"name": "LOG_LEVEL", "value": "debug"},
        {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "settings", "key": "api-key"}}},
    ],
    iotEdge={
        "module": {
            "name": "iris",
            "restartPolicy": "on-failure",
            "imagePullPolicy": "never",
            "startupOrder": 7,
            "createOptions": '{"HostConfig": {"Memory": 536870912, "Binds": ["/data:/data"]}}',
        },
        "routes": ROUTES,
        "labels": {"line": "7"},
        "imagePullSecrets": [{"name": "pull"}],
        "metrics": [{"name": "seen", "query": "SELECT deviceId FROM devices"}],
    },
)
MODULE = "properties.desired.modules.iris"
CREDENTIALS = "properties.desired.runtime.settings.registryCredentials"


def module(wanted: Desired) -> dict[str, Any]:
    found: dict[str, Any] = wanted.content["$edgeAgent"][MODULE]
    return found


def options(wanted: Desired) -> dict[str, Any]:
    settings = module(wanted)["settings"]
    parts = sorted(name for name in settings if name.startswith("createOptions"))
    found: dict[str, Any] = json.loads("".join(settings[name] for name in parts))
    return found


def edge(**fields: Any) -> dict[str, Any]:
    return edge_spec(iotEdge=fields)


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason=MISSING)
@pytest.mark.parametrize("spec", [edge_spec(), FULL])
def test_on_a_base_it_is_a_manifest_that_the_official_schemas_take(spec: dict[str, Any]) -> None:
    wanted = desired(spec, defaults=REGISTRIES)
    manifest = Manifest(merged([base_content(), wanted.content]))
    rules = OfficialRules(SCHEMAS)
    assert rules(manifest) is None
    assert rules.problems(manifest, "$edgeAgent") == []


def test_a_hub_takes_it_whole() -> None:
    wanted = desired(FULL, defaults=REGISTRIES)
    body = {
        "id": wanted.id,
        "targetCondition": wanted.condition,
        "priority": wanted.priority,
        "labels": dict(wanted.labels),
        "metrics": {"queries": wanted.queries(wanted.id)},
    }
    check(wanted.id, body)


def test_the_module_is_as_the_spec_says() -> None:
    told = module(desired(FULL))
    assert (told["restartPolicy"], told["imagePullPolicy"], told["startupOrder"]) == (
        "on-failure",
        "never",
        7,
    )
    assert told["settings"]["image"] == IMAGE
    assert told["env"]["LOG_LEVEL"] == {"value": "debug"}
    assert told["env"]["API_KEY"] == {"value": "api-secret"}


def test_an_own_image_gets_no_command_and_no_read_only_disk() -> None:
    wanted = desired(edge_spec(image="team/scorer:1"))
    assert module(wanted)["settings"]["image"] == "team/scorer:1"
    assert "Cmd" not in options(wanted)
    assert "HostConfig" not in options(wanted)


def test_the_users_options_go_over_ours_and_lists_are_joined() -> None:
    host = options(desired(FULL))["HostConfig"]
    assert host["Memory"] == 536870912
    assert host["Binds"] == ["berth-iris:/var/azureml-app", "/data:/data"]
    assert host["ReadonlyRootfs"] is True
    replaced = options(
        desired(edge(module={"createOptions": '{"HostConfig":{"ReadonlyRootfs":false},"Cmd":["x"]}'}))
    )
    assert (replaced["HostConfig"]["ReadonlyRootfs"], replaced["Cmd"]) == (False, ["x"])


@given(st.text(max_size=3000))
def test_options_are_cut_at_512_and_come_together_again(text: str) -> None:
    parts = in_parts(text)
    names = [f"createOptions{number:02d}" if number else "createOptions" for number in range(len(parts))]
    assert list(parts) == names
    assert all(len(part) <= 512 for part in parts.values())
    assert "".join(parts.values()) == text


@pytest.mark.parametrize("text", ["{not json}", "{1}", '{"a": }'])
def test_options_that_are_no_json_are_refused(text: str) -> None:
    with pytest.raises(Terminal, match="no JSON") as refusal:
        desired(edge(module={"createOptions": text}))
    assert refusal.value.reason is Reason.CONFIG_INVALID


def test_routes_are_properties_of_their_own_with_the_name_of_the_module() -> None:
    routes = desired(FULL).content["$edgeHub"]
    assert routes == {
        "properties.desired.routes.iris-camera-47612b": {
            "route": "FROM /messages/modules/camera/outputs/frames WHERE size > 3"
            ' INTO BrokeredEndpoint("/modules/iris/inputs/amlInput")',
            "priority": 0,
            "timeToLiveSecs": 60,
        },
        "properties.desired.routes.iris-results-47612b": {
            "route": "FROM /messages/modules/iris/outputs/amlOutput INTO $upstream",
            "priority": 9,
            "timeToLiveSecs": 7200,
        },
    }


def test_no_route_of_one_module_takes_the_place_of_anothers() -> None:
    names = []
    for module, route in (("press", "oil-raw"), ("press-oil", "raw")):
        source = f"/messages/modules/{module}/outputs/amlOutput"
        routes = [{"name": route, "from": source, "into": "$upstream"}]
        names += desired(edge(module={"name": module}, routes=routes)).content["$edgeHub"]
    assert len(set(names)) == 2


def test_nothing_stands_before_a_device_that_would_need_time_to_send_requests_elsewhere() -> None:
    assert module(desired())["env"]["BERTH_DRAIN_SECONDS"] == {"value": "0"}


def test_without_routes_the_edge_hub_is_told_nothing() -> None:
    assert set(desired().content) == {"$edgeAgent"}


def test_registries_are_named_apart_from_those_of_other_layers() -> None:
    agent = desired(FULL, defaults=REGISTRIES).content["$edgeAgent"]
    assert {name: told["address"] for name, told in agent.items() if name.startswith(CREDENTIALS)} == {
        f"{CREDENTIALS}.iris-0": "registry.test",
        f"{CREDENTIALS}.iris-1": "team.azurecr.io",
    }
    assert agent[f"{CREDENTIALS}.iris-1"]["password"] == "registry-secret"


def test_what_is_read_is_what_is_needed() -> None:
    names = needed(recipe(FULL).subject, place(defaults=REGISTRIES))
    assert (names.config_maps, names.secrets, names.operator_secrets) == (
        frozenset(),
        {"settings", "pull"},
        {"registry"},
    )


@pytest.mark.parametrize("secret", ["api-secret", "pull-secret", "registry-secret"])
def test_a_secret_shows_in_nothing_but_the_content(secret: str) -> None:
    wanted = desired(FULL, defaults=REGISTRIES)
    shown = [wanted.id, wanted.version, wanted.labels, wanted.condition, wanted.queries(wanted.id)]
    assert secret in json.dumps(wanted.content)
    assert secret not in json.dumps(shown)


def test_another_secret_is_another_content_and_another_id() -> None:
    other = Content({}, {**CONTENT.secrets, "settings": {"api-key": b"another"}}, CONTENT.operator_secrets)
    one = desired(FULL, defaults=REGISTRIES)
    two = desired_deployment(recipe(FULL, other, defaults=REGISTRIES), IMAGE, KEY, [])
    assert one.id != two.id
    assert desired_deployment(recipe(FULL, defaults=REGISTRIES), IMAGE, b"another key", []).id != one.id


@pytest.mark.parametrize(
    "change",
    [{"priority": 99}, {"targetCondition": "tags.a=1"}, {"labels": {"a": "b"}}, {"minHealthyPercent": 5}],
)
def test_what_can_be_changed_in_place_is_no_other_content(change: dict[str, Any]) -> None:
    assert desired(edge(**change)).id == desired().id


@pytest.mark.parametrize(
    "change", [{"model": MODEL | {"version": "9"}}, {"env": [{"name": "A", "value": "b"}]}]
)
def test_what_a_device_is_told_is_another_content(change: dict[str, Any]) -> None:
    assert desired(edge_spec(**change)).id != desired().id


def test_a_newer_scoring_image_is_taken_with_the_next_change_only() -> None:
    known = desired()
    live = [{"id": known.id, "labels": known.labels, "content": {"modulesContent": known.content}}]
    assert desired_deployment(recipe(), NEWER_IMAGE, KEY, live).id == known.id
    changed = desired_deployment(recipe(edge_spec(env=[{"name": "A", "value": "b"}])), NEWER_IMAGE, KEY, live)
    assert module(changed)["settings"]["image"] == NEWER_IMAGE


def test_the_labels_say_whose_it_is() -> None:
    wanted = desired(FULL)
    assert Owner.read({"tags": wanted.labels}) == recipe(FULL).owner
    assert wanted.labels["line"] == "7"


def test_the_version_on_the_devices_is_that_of_the_content() -> None:
    wanted = desired()
    assert module(wanted)["version"] == wanted.version
    assert wanted.version in wanted.id


def test_a_device_is_chosen_by_its_id() -> None:
    assert desired(edge(targetCondition=None, deviceId="press-7")).condition == "deviceId = 'press-7'"
    assert desired().condition == SITE


@pytest.mark.parametrize(("given", "own"), [(0, 3), (2, 3), (3, 2), (5, 0)])
def test_berths_metrics_take_the_room_that_is_left(given: int, own: int) -> None:
    metrics = [{"name": f"m{number}", "query": "SELECT deviceId FROM devices"} for number in range(given)]
    names = list(desired(edge(metrics=metrics)).queries("some-id"))
    assert names == [*(each["name"] for each in metrics), *[RUNNING, FAILED, OFFLINE][:own]]


def test_a_name_of_the_runtime_is_refused() -> None:
    with pytest.raises(Terminal, match="edgeHub"):
        desired(edge(module={"name": "edgeHub"}))


def test_a_value_that_no_twin_holds_is_refused_by_its_name() -> None:
    with pytest.raises(Terminal, match="The variable BIG is longer than the 4096 bytes"):
        desired(edge_spec(env=[{"name": "BIG", "value": "é" * 2049}]))


def test_more_than_a_twin_holds_is_refused_with_a_remedy() -> None:
    variables = [{"name": f"A{number}", "value": "x" * 4000} for number in range(9)]
    with pytest.raises(Terminal, match="a hub takes 32768") as refusal:
        desired(edge_spec(env=variables))
    assert refusal.value.reason is Reason.TOO_LARGE


def test_a_long_configuration_is_told_in_pieces() -> None:
    models = [
        {**MODEL, "name": f"m{number}", "uri": f"https://example.org/{'x' * 500}"} for number in range(6)
    ]
    variables = module(desired(edge_spec(model=None, models=models)))["env"]
    pieces = [variables[name]["value"] for name in variables if name.startswith("BERTH_SCORING_CONFIG")]
    assert len(pieces) > 3
    assert all(len(piece.encode()) <= 4096 for piece in pieces)
    assert len(json.loads("".join(pieces))["models"]) == 6


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True))
def test_an_id_is_one_that_a_hub_takes(name: str) -> None:
    owner = Owner("c" * 36, "n" * 63, name, "u" * 36)
    check(deployment_id(owner, "0" * 32), {"id": deployment_id(owner, "0" * 32)})

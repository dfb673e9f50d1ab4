"""What goes wrong between Berth, the hub and its devices."""

from typing import Any

import pytest
from azure_emulator import CLIENT
from azure_world import IRIS, Killed
from container_groups import IMAGE
from iot_edge_world import APPLICATION, DEVICES, MODEL, PLACE, EdgeWorld, edge_spec, place_spec
from iot_hub_emulator import KEY, base_content

from berth.core.errors import Postponed, ReconcileError, Terminal
from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS
from berth_sandbox.azure.faults import CutConnection, LoseAnswer, Refuse
from berth_sandbox.azure.iot_hub.limits import Sku
from berth_sandbox.azure.iot_hub.modules import ModuleBehaviour

OTHER = Key("demo", "other")


async def ready(world: EdgeWorld, passes: int = 16) -> None:
    await world.settle(passes)
    assert world.is_ready(), world.condition("Ready")


def failing(world: EdgeWorld, key: Key = IRIS) -> dict[str, Any]:
    return {each["deviceId"]: each for each in world.edge(key).get("failingDevices", ())}


async def test_an_image_that_one_device_cannot_pull_is_counted_and_named(world: EdgeWorld) -> None:
    world.hub.fare(["press-2"], behaviours={IMAGE: ModuleBehaviour(pull_error="manifest unknown")})
    world.apply()
    await world.settle()
    assert world.condition("Stalled")["reason"] == "DevicesFailing"
    assert (world.edge()["running"], world.edge()["failed"]) == (2, 1)
    assert set(failing(world)) == {"press-2"}
    assert "manifest unknown" in failing(world)["press-2"]["description"]
    assert "press-2" in world.condition("Stalled")["message"]


async def test_a_module_that_crashes_on_one_device_is_named_with_its_exit_code(world: EdgeWorld) -> None:
    crash = ModuleBehaviour(run_seconds=1.0, exit_code=137)
    world.hub.fare(["press-3"], behaviours={IMAGE: crash})
    world.apply()
    await world.settle()
    assert failing(world)["press-3"]["exitCode"] == 137
    assert failing(world)["press-3"]["runtimeStatus"] == "backoff"
    assert [bool(world.module_of(device)) for device in ("press-1", "press-2")] == [True, True]


async def test_enough_healthy_devices_are_enough(world: EdgeWorld) -> None:
    world.hub.fare(["press-2"], behaviours={IMAGE: ModuleBehaviour(pull_error="manifest unknown")})
    world.apply(edge_spec(iotEdge={"minHealthyPercent": 60}))
    await ready(world)
    assert world.condition("Ready")["message"] == "2/3 devices run the current spec, 1 failing"


async def test_a_device_that_was_mended_counts_again(world: EdgeWorld) -> None:
    world.hub.fare(["press-2"], behaviours={IMAGE: ModuleBehaviour(run_seconds=1.0, exit_code=1)})
    world.apply()
    await world.settle()
    assert not world.is_ready()
    world.hub.fare(["press-2"], behaviours={})
    world.apply(edge_spec(model=MODEL | {"version": "4"}))
    await ready(world, 30)


async def test_a_device_that_is_offline_does_not_make_it_fail(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.hub.fare(["press-3"], online=False)
    world.pass_time(3600)
    await world.settle(4)
    assert world.is_ready(), world.condition("Ready")
    assert world.edge()["offline"] == 1
    assert "1 offline" in world.condition("Ready")["message"]
    world.apply(edge_spec(model=MODEL | {"version": "4"}))
    await ready(world)
    assert (world.edge()["running"], world.edge()["offline"]) == (2, 1)


async def test_a_fleet_that_is_offline_altogether_stays_ready(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.hub.fare(list(DEVICES), online=False)
    world.pass_time(3600)
    await world.settle(4)
    assert world.is_ready(), world.condition("Ready")


async def test_devices_without_a_base_deployment_are_told_of(world: EdgeWorld) -> None:
    world.hub.register(["press-9"], {"site": "plant-1"}, is_edge=True)
    world.hub.put_configuration(
        "base",
        {
            "id": "base",
            "content": {"modulesContent": base_content()},
            "targetCondition": "deviceId != 'press-9'",
            "priority": 1,
        },
        "*",
    )
    world.apply()
    await world.settle(4)
    world.pass_time(300)
    await world.settle(2)
    assert world.condition("Stalled")["reason"] == "BaseDeploymentMissing"
    assert "press-9" in failing(world)
    assert world.edge()["running"] == 3


async def test_no_device_at_all_is_said(world: EdgeWorld) -> None:
    world.apply(edge_spec(iotEdge={"targetCondition": "tags.site='plant-7'"}))
    await world.settle(2)
    world.pass_time(300)
    await world.settle(2)
    assert world.condition("Stalled")["reason"] == "NoDevices"


async def test_a_rival_for_the_module_is_named(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    spec = edge_spec(model=MODEL | {"version": "9"}, iotEdge={"module": {"name": "iris"}, "priority": 20})
    world.apply(spec, OTHER)
    await world.settle(16, OTHER)
    world.pass_time(600)
    await world.settle(2)
    assert world.is_ready(OTHER)
    (theirs,) = [name for name in world.deployments if "other" in name]
    assert theirs in world.condition("Ready")["message"]
    assert world.edge()["running"] == 0
    assert sorted(failing(world)) == sorted(DEVICES)


async def test_a_deployment_that_was_deleted_in_the_portal_is_made_again(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.hub.delete_configuration(world.deployments[0], "*")
    world.pass_time(60)
    await ready(world)
    assert "DeploymentMissing" in [each.reason for each in world.events]
    assert all(world.module_of(device) for device in DEVICES)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("targetCondition", {"targetCondition": "tags.site='plant-2'"}),
        ("priority", {"priority": 99}),
        ("metrics", {"metrics": {"queries": {}}}),
        ("targetCondition", {"labels": {}}),
    ],
)
async def test_what_was_edited_in_the_portal_is_put_back(
    world: EdgeWorld, field: str, change: dict[str, Any]
) -> None:
    world.apply()
    await ready(world)
    (known,) = world.deployments
    before = world.hub.configuration(known)
    world.hub.put_configuration(known, {**before, **change}, "*")
    world.pass_time(60)
    await ready(world, 40)
    after = world.hub.configuration(known)
    kept = ("targetCondition", "priority", "labels")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["metrics"]["queries"] == before["metrics"]["queries"]
    if change != {"labels": {}}:
        told = [each.note for each in world.events if each.reason == "DriftCorrected"]
        assert [field in note for note in told] == [True]


async def test_another_content_under_our_id_is_replaced_without_a_gap(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    (known,) = world.deployments
    there = world.hub.configuration(known)
    world.hub.delete_configuration(known, "*")
    module = there["content"]["modulesContent"]["$edgeAgent"]["properties.desired.modules.iris"]
    changed = {**module, "restartPolicy": "never"}
    content = {"$edgeAgent": {"properties.desired.modules.iris": changed}}
    world.hub.put_configuration(known, {**there, "content": {"modulesContent": content}}, None)
    world.pass_time(60)
    for _ in range(24):
        await world.attempt()
        assert world.deployments
        world.pass_time(15)
    assert world.deployments == [f"{known}-b"]
    assert (world.module_of("press-1") or {})["restartPolicy"] == "always"
    assert world.is_ready()


async def test_the_words_of_the_hub_are_in_the_status(world: EdgeWorld) -> None:
    world.apply(edge_spec(iotEdge={"targetCondition": "tags.site = = 'plant-1'"}))
    await world.settle(2)
    problem = world.condition("Stalled")
    assert problem["reason"] == "ConfigInvalid"
    assert "target condition" in problem["message"]
    assert world.writes == []


async def test_a_metric_that_the_hub_cannot_read_is_named(world: EdgeWorld) -> None:
    metric = {"name": "odd", "query": "SELECT deviceId FROM nowhere"}
    world.apply(edge_spec(iotEdge={"metrics": [metric]}))
    await world.settle(2)
    assert "metric odd" in world.condition("Stalled")["message"]
    assert world.writes == []


@pytest.mark.parametrize(
    "condition", ["tags.site='plant-1') OR (deviceId != ''", "tags.site='plant-1' OR deviceId = 'a\\'"]
)
async def test_a_condition_reaches_no_further_than_its_stage(world: EdgeWorld, condition: str) -> None:
    world.apply(edge_spec(iotEdge={"rollout": {"stages": [{"targetCondition": condition}]}}))
    await world.settle(4)
    assert world.condition("Stalled")["reason"] == "ConfigInvalid"
    assert world.deployments == []


@pytest.mark.parametrize("tier", ["Free", "Standard"])
async def test_a_full_hub_is_named_before_it_is_asked(world: EdgeWorld, tier: str) -> None:
    limit = {"Free": 10, "Standard": 100}[tier]
    world.put(COMPUTE_TARGETS, PLACE, {"spec": place_spec(world.endpoint, iotEdge={"tier": tier})})
    for number in range(limit - 1):
        body = {"id": f"other-{number}", "content": {"deviceContent": {}}, "targetCondition": ""}
        world.hub.put_configuration(body["id"], body, None)
    world.apply()
    await world.settle(2)
    problem = world.condition("Stalled")
    assert problem["reason"] == "QuotaExceeded"
    assert f"{limit} of the {limit} deployments" in problem["message"]
    assert world.writes == []
    world.hub.delete_configuration("other-0", "*")
    await ready(world)


async def test_a_hub_that_is_full_after_all_is_told_of(world: EdgeWorld) -> None:
    world.azure.faults.add(Refuse(413, "ConfigurationCountLimitExceeded", "Too many."), "PUT")
    world.apply()
    await world.settle(1)
    assert world.condition("Stalled")["reason"] == "QuotaExceeded"
    await ready(world)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"connectionStringRef": {"name": "wrong-key"}}, "AuthenticationFailed"),
        ({"connectionStringRef": {"name": "no-string"}}, "AuthenticationFailed"),
        ({"connectionStringRef": {"name": "other-hub"}}, "ConfigInvalid"),
        ({"connectionStringRef": {"name": "missing"}}, "AuthenticationFailed"),
    ],
)
async def test_a_connection_string_that_does_not_open_the_hub_stalls_and_is_not_tried_on_and_on(
    world: EdgeWorld, fields: dict[str, Any], reason: str
) -> None:
    string = world.connection_string
    world.put_secret("wrong-key", {"connectionString": string.replace(KEY, KEY.replace("a", "b"))})
    world.put_secret("no-string", {"connectionString": "something else"})
    world.put_secret("other-hub", {"connectionString": string.replace("HostName=127", "HostName=126")})
    world.put(COMPUTE_TARGETS, PLACE, {"spec": place_spec(world.endpoint, iotEdge=fields)})
    world.apply()
    error = await world.attempt()
    assert isinstance(error, Terminal)
    assert world.condition("Stalled")["reason"] == reason
    assert (error.retry_after or 0) >= 60
    await world.place_once()
    assert world.condition("Stalled", COMPUTE_TARGETS, PLACE)["reason"] == reason
    world.put(COMPUTE_TARGETS, PLACE, {"spec": place_spec(world.endpoint)})
    await ready(world)


async def test_a_revoked_policy_stalls_and_recovers(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    policies = world.azure.hubs.access(world.hub.name).policies
    revoked = policies.pop("iothubowner")
    world.pass_time(60)
    await world.settle(2)
    assert world.condition("Stalled")["reason"] == "AuthenticationFailed"
    await world.place_once()
    assert world.condition("CredentialsAccepted", COMPUTE_TARGETS, PLACE)["status"] == "False"
    asked = len(world.azure.requests)
    world.apply(key=OTHER)
    for key in (IRIS, OTHER):
        await world.attempt(key)
    assert len(world.azure.requests) == asked
    assert world.condition("Stalled", key=OTHER)["reason"] == "AuthenticationFailed"
    policies["iothubowner"] = revoked
    world.pass_time(60)
    await ready(world)


async def test_a_hub_of_the_basic_tier_is_named(world: EdgeWorld) -> None:
    world.hub.sku = Sku("B1")
    world.apply()
    await world.settle(2)
    assert world.condition("Stalled")["reason"] == "TierNotSupported"
    await world.place_once()
    assert world.condition("Stalled", COMPUTE_TARGETS, PLACE)["reason"] == "TierNotSupported"
    world.hub.sku = Sku("S1")
    world.pass_time(300)
    await ready(world)


async def test_a_hub_that_no_one_knows_is_named(world: EdgeWorld) -> None:
    spec = place_spec(
        world.endpoint, iotEdge={"hostName": "no-such-hub.invalid", "connectionStringRef": None}
    )
    string = f"HostName=no-such-hub.invalid;SharedAccessKeyName=a;SharedAccessKey={KEY}"
    world.put_secret("hub", {"connectionString": string})
    spec["iotEdge"]["connectionStringRef"] = {"name": "hub"}
    world.put(COMPUTE_TARGETS, PLACE, {"spec": spec})
    world.apply()
    error = await world.attempt()
    assert isinstance(error, Terminal)
    assert error.reason == "HubNotFound"
    await world.place_once()
    assert world.condition("HubAvailable", COMPUTE_TARGETS, PLACE)["reason"] == "HubNotFound"


async def test_an_application_with_a_secret_may_sign_in(world: EdgeWorld) -> None:
    roles = world.azure.hubs.access(world.hub.name).roles
    roles[CLIENT] = frozenset({"RegistryRead", "RegistryWrite", "ServiceConnect"})
    spec = place_spec(world.endpoint, iotEdge={"connectionStringRef": None}, credentials=APPLICATION)
    world.put(COMPUTE_TARGETS, PLACE, {"spec": spec})
    world.apply()
    await ready(world)
    world.azure.directory.signing_key = "another" * 8  # whoever holds an earlier token is refused
    world.pass_time(60)
    assert not isinstance(await world.attempt(), ReconcileError)
    assert world.is_ready()
    assert len(world.azure.requests.of("Token")) == 2


@pytest.mark.parametrize("number", range(1, 8))
async def test_an_operator_killed_after_any_call_leaves_one_deployment(world: EdgeWorld, number: int) -> None:
    world.apply()
    await ready(world)
    world.apply(edge_spec(model=MODEL | {"version": "4"}))
    world.mortal.last = world.mortal.calls + number
    died = False
    for _ in range(20):
        try:
            await world.once()
        except Killed:
            died = True
            world.restart()
        except ReconcileError:
            pass
        assert any(world.module_of(device) for device in DEVICES)
        world.pass_time(15)
    assert died
    await ready(world)
    assert len(world.deployments) == 1


@pytest.mark.parametrize("effect", [LoseAnswer(), CutConnection()])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
async def test_a_lost_answer_changes_nothing_in_the_end(world: EdgeWorld, effect: Any, method: str) -> None:
    world.apply()
    await ready(world)
    world.apply(edge_spec(model=MODEL | {"version": "4"}))
    world.azure.faults.add(effect, method)
    for _ in range(20):
        await world.attempt()
        assert any(world.module_of(device) for device in DEVICES)
        world.pass_time(15)
    assert world.is_ready()
    assert len(world.deployments) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "ConfigurationAlreadyExists"), (412, "PreconditionFailed"), (503, "ServerBusy")],
)
async def test_a_refusal_that_goes_away_is_waited_for(world: EdgeWorld, status: int, code: str) -> None:
    world.apply()
    world.azure.faults.add(Refuse(status, code, "Later."), "PUT")
    error = await world.attempt()
    assert isinstance(error, ReconcileError)
    assert world.condition("Stalled") == {}
    await ready(world)
    assert len(world.deployments) == 1


async def test_a_stale_etag_is_read_again(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    (known,) = world.deployments
    world.apply(edge_spec(iotEdge={"priority": 20}))
    await world.settle(1)
    before = world.hub.configuration(known)
    world.hub.put_configuration(known, {**before, "labels": {**before["labels"], "by": "someone"}}, "*")
    world.apply(edge_spec(iotEdge={"priority": 30}))
    await ready(world)
    assert world.hub.configuration(known)["priority"] == 30


async def test_a_hub_that_throttles_is_left_alone_for_as_long_as_it_says(world: EdgeWorld) -> None:
    world.apply()
    refusal = Refuse(429, "ThrottlingException", "Throttling.", 40)
    world.azure.faults.add(refusal, "GET")
    await world.attempt()
    before = len(world.azure.requests)
    world.pass_time(20)
    await world.attempt()
    assert len(world.azure.requests) == before
    assert world.condition("Stalled") == {}
    world.pass_time(30)
    await ready(world)


async def test_a_hub_that_is_down_is_not_asked_again_and_again(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.azure.faults.add(Refuse(503, "ServerBusy", "Down."), times=None)
    world.pass_time(60)
    world.azure.requests.clear()
    for _ in range(60):
        await world.attempt()
        world.pass_time(2)
    assert len(world.azure.requests) < 15
    world.azure.faults.clear()
    world.pass_time(300)
    await ready(world)


async def test_devices_that_are_well_stay_ready_while_the_hub_is_silent(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.azure.faults.add(Refuse(503, "ServerBusy", "Down."), times=None)
    for _ in range(8):
        world.pass_time(60)
        assert isinstance(await world.attempt(), Postponed)
        assert world.is_ready()
    world.pass_time(300)
    await world.attempt()
    assert world.condition("Ready")["reason"] == "ProgressingWithRetry"


async def test_a_deployment_that_has_gone_by_itself_does_not_stop_a_deletion(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.delete()
    world.hub.delete_configuration(world.deployments[0], "*")
    await world.settle(4)
    assert world.get() is None


async def test_who_cannot_reach_the_hub_can_give_a_deployment_up(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.azure.faults.add(Refuse(503, "ServerBusy", "Down."), times=None)
    world.apply(edge_spec(), **{"berth.dev/abandon": "true"})
    world.delete()
    await world.settle(2)
    assert world.get() is None


async def test_secrets_are_in_no_status_event_or_id(world: EdgeWorld) -> None:
    world.put_secret("token", {"value": "very-secret"}, namespace="demo")
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}}
    world.apply(edge_spec(env=[variable]))
    await ready(world)
    module = world.module_of("press-1")
    assert module is not None
    assert module["env"]["TOKEN"]["value"] == "very-secret"
    assert "very-secret" not in str(world.get())
    assert "very-secret" not in str([each.note for each in world.events])
    (first,) = world.deployments
    world.put_secret("token", {"value": "rotated"}, namespace="demo")
    world.pass_time(60)
    await ready(world, 20)
    assert world.deployments != [first]
    assert (world.module_of("press-1") or {})["env"]["TOKEN"]["value"] == "rotated"

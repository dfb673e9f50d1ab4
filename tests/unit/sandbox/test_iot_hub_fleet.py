"""Which deployments reach which devices when, and what they come to."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iot_hub_emulator import IMAGE, base_content, layer_content

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.iot_hub import content as contents
from berth_sandbox.azure.iot_hub import etags
from berth_sandbox.azure.iot_hub.content import Manifest, merged
from berth_sandbox.azure.iot_hub.device import patched
from berth_sandbox.azure.iot_hub.errors import HubError
from berth_sandbox.azure.iot_hub.fleet import Fleet, Timing
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.iot_hub.limits import Sku
from berth_sandbox.azure.iot_hub.manifest_rules import create_options, own_rules
from berth_sandbox.azure.iot_hub.modules import ModuleView, RuntimeStatus

TIMING = Timing(first_run=5, interval=300, query_lag=30)


@pytest.fixture
def hub() -> Hub:
    return Hub("plants", Clock(factor=0), Fleet(TIMING))


def put(hub: Hub, name: str, content: dict[str, Any], condition: str = "*", priority: int = 10) -> None:
    deployment = hub.fleet.deployments.get(name)
    body = {
        "id": name,
        "content": {"modulesContent": content},
        "targetCondition": condition,
        "priority": priority,
    }
    hub.put_configuration(name, body, "*" if deployment else None)


def statuses(hub: Hub, device: str) -> dict[str, str]:
    twin = hub.module_twin(device, "$edgeAgent")
    return {name: entry["status"] for name, entry in twin.get("configurations", {}).items()}


def modules(hub: Hub, device: str) -> set[str]:
    desired = hub.module_twin(device, "$edgeAgent")["properties"]["desired"]
    return set(desired.get("modules", {}))


class TestMerging:
    def test_a_layer_adds_to_what_is_there(self) -> None:
        base = base_content(telemetry={"settings": {"image": "t"}})
        layer = {**layer_content(), "$edgeHub": {"properties.desired.routes.r": "FROM /* INTO $upstream"}}

        twins = merged([base, layer])

        assert set(twins["$edgeAgent"]["modules"]) == {"telemetry", "iris"}
        assert set(twins["$edgeHub"]["routes"]) == {"upstream", "r"}

    def test_a_section_that_is_whole_replaces_what_is_there(self) -> None:
        lower = {"$edgeAgent": {}, "iris": {"properties.desired": {"a": 1, "b": 2}}}
        upper = {"$edgeAgent": {}, "iris": {"properties.desired": {"a": 3}}}

        assert merged([lower, upper])["iris"] == {"a": 3}

    def test_a_part_changes_nothing_beside_it(self) -> None:
        lower = {"$edgeAgent": {}, "iris": {"properties.desired": {"a": {"x": 1, "y": 2}, "b": 2}}}
        upper = {"$edgeAgent": {}, "iris": {"properties.desired.a.x": 3}}

        assert merged([lower, upper])["iris"] == {"a": {"x": 3, "y": 2}, "b": 2}

    @given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4), st.integers())
    def test_merging_changes_no_deployment(self, path: list[str], value: int) -> None:
        lower: Any = {"m": {"properties.desired": {"a": {"a": {"a": 1}, "b": 2}, "b": {"c": 3}}}}
        upper = {"m": {f"properties.desired.{'.'.join(path)}": value}}
        before = json.dumps([lower, upper])

        found: Any = merged([lower, upper])["m"]

        for name in path:
            found = found[name]
        assert found == value
        assert json.dumps([lower, upper]) == before

    @given(st.permutations(["x", "y", "z"]))
    def test_layers_that_touch_different_modules_can_come_in_any_order(self, order: list[str]) -> None:
        layers = [layer_content(name) for name in order]

        assert merged(layers) == merged([layer_content(name) for name in "xyz"])


class TestRuns:
    def test_a_deployment_is_run_shortly_after_it_was_put(self, hub: Hub) -> None:
        hub.register(["d"], {})
        put(hub, "base", base_content(), priority=0)

        hub.clock.advance(4.9)
        assert statuses(hub, "d") == {}
        hub.clock.advance(0.2)
        assert statuses(hub, "d") == {"base": "Applied"}

    def test_a_new_device_waits_for_the_next_run(self, hub: Hub) -> None:
        put(hub, "base", base_content(), priority=0)
        hub.clock.advance(10)
        hub.register(["d"], {})

        hub.clock.advance(290)
        assert statuses(hub, "d") == {}
        hub.clock.advance(10)
        assert statuses(hub, "d") == {"base": "Applied"}

    def test_one_of_many_that_share_their_tags_can_be_meant(self, hub: Hub) -> None:
        hub.register(["a", "b", "c"], {"site": "x"})
        put(hub, "base", base_content(), "deviceId = 'b' AND tags.site = 'x'", 0)
        hub.clock.advance(10)

        assert [statuses(hub, name) for name in "abc"] == [{}, {"base": "Applied"}, {}]

    def test_a_changed_condition_takes_effect_at_the_next_run(self, hub: Hub) -> None:
        hub.register(["a"], {"site": "a"})
        hub.register(["b"], {"site": "b"})
        put(hub, "base", base_content(), "tags.site = 'a'", 0)
        hub.clock.advance(10)
        put(hub, "base", base_content(), "tags.site = 'b'", 0)

        hub.clock.advance(1)
        assert (statuses(hub, "a"), statuses(hub, "b")) == ({"base": "Applied"}, {})
        hub.clock.advance(10)
        assert (statuses(hub, "a"), statuses(hub, "b")) == ({}, {"base": "Applied"})

    def test_a_changed_priority_changes_who_wins(self, hub: Hub) -> None:
        hub.register(["d"], {})
        put(hub, "one", base_content(one={"settings": {"image": "1"}}), priority=1)
        put(hub, "two", base_content(two={"settings": {"image": "2"}}), priority=2)
        hub.clock.advance(10)
        assert modules(hub, "d") == {"two"}

        put(hub, "one", base_content(one={"settings": {"image": "1"}}), priority=3)
        hub.clock.advance(10)

        assert modules(hub, "d") == {"one"}
        assert statuses(hub, "d") == {"one": "Applied", "two": "Targeted"}

    def test_what_comes_to_the_same_is_no_new_version(self, hub: Hub) -> None:
        hub.register(["d"], {})
        put(hub, "base", base_content(), priority=0)
        hub.clock.advance(10)
        version = hub.module_twin("d", "$edgeAgent")["properties"]["desired"]["$version"]

        put(hub, "same", base_content(), priority=1)
        hub.clock.advance(10)

        assert statuses(hub, "d") == {"same": "Applied", "base": "Targeted"}
        assert hub.module_twin("d", "$edgeAgent")["properties"]["desired"]["$version"] == version

    def test_a_layer_for_which_the_twin_has_no_room_is_left_out(self, hub: Hub) -> None:
        hub.register(["d"], {})
        put(hub, "base", base_content(), priority=0)
        for number in range(3):
            env = {"TEXT": {"value": "x" * 12_000}}
            put(hub, f"layer-{number}", layer_content(f"m{number}", env=env), priority=number + 1)
        hub.clock.advance(10)

        assert statuses(hub, "d")["layer-2"] == "Targeted"
        assert modules(hub, "d") == {"m0", "m1"}

    def test_a_device_that_is_removed_is_counted_no_more(self, hub: Hub) -> None:
        hub.register(["a", "b"], {})
        put(hub, "base", base_content(), priority=0)
        hub.clock.advance(10)

        hub.delete_device("a", None)
        hub.clock.advance(300)

        assert hub.configuration("base")["systemMetrics"]["results"]["targetedCount"] == 1
        hub.delete_configuration("base", None)

    def test_devices_that_are_no_edge_devices_are_not_meant(self, hub: Hub) -> None:
        hub.register(["sensor"], {}, is_edge=False)
        put(hub, "base", base_content(), priority=0)
        hub.clock.advance(10)

        assert hub.configuration("base")["systemMetrics"]["results"]["targetedCount"] == 0

    def test_a_deployment_that_comes_back_under_its_old_name_has_no_old_metrics(self, hub: Hub) -> None:
        hub.register(["d"], {})
        put(hub, "base", base_content(), priority=0)
        hub.clock.advance(400)
        hub.delete_configuration("base", None)
        put(hub, "base", base_content(), priority=0)

        assert hub.configuration("base")["systemMetrics"]["results"] == {}

    @given(st.lists(st.integers(0, 7), max_size=12), st.floats(0, 900))
    def test_it_makes_no_difference_how_often_somebody_looks(self, steps: list[int], rest: float) -> None:
        looked, unseen = (Hub("plants", Clock(factor=0), Fleet(TIMING)) for _ in range(2))
        for hub in (looked, unseen):
            hub.clock.run_at(0)
            hub.clock.advance(1_800_000_000 - hub.now)
            hub.register(["a", "b"], {"line": 0})
            put(hub, "base", base_content(), priority=0)
            for number, step in enumerate(steps):
                hub.clock.advance(step * 37)
                if step % 2:
                    put(hub, f"layer-{step}", layer_content(f"m{step}"), f"tags.line > {step}", step)
                else:
                    hub.change_twin("a", {"tags": {"line": number}}, None)
                if hub is looked:
                    hub.configurations(100)
                    hub.module_twin("a", "$edgeAgent")
            hub.clock.advance(rest)

        assert looked.module_twin("a", "$edgeAgent") == unseen.module_twin("a", "$edgeAgent")
        assert looked.module_twin("b", "$edgeAgent") == unseen.module_twin("b", "$edgeAgent")


class TestQueriesOfThePast:
    def test_each_of_several_changes_is_seen_when_its_time_has_come(self, hub: Hub) -> None:
        hub.register(["d"], {"step": 0})
        hub.clock.advance(100)
        for step in (1, 2, 3):
            hub.change_twin("d", {"tags": {"step": step}}, None)
            hub.clock.advance(10)

        seen = []
        for _ in range(4):
            seen.append(hub.query("SELECT tags.step AS step FROM devices", 1, None).items[0]["step"])
            hub.clock.advance(10)

        assert seen == [1, 2, 3, 3]
        assert hub.twin("d")["tags"] == {"step": 3}

    def test_what_is_no_longer_seen_is_forgotten(self, hub: Hub) -> None:
        hub.register(["d"], {})
        for step in range(50):
            hub.clock.advance(20)
            hub.change_twin("d", {"tags": {"step": step}}, None)

        assert len(hub.fleet.devices["d"].twins) <= 4


class TestScale:
    def test_devices_that_fare_alike_share_all_but_their_names(self, hub: Hub) -> None:
        hub.register([f"d{number}" for number in range(10_000)], {"site": "a"})
        put(hub, "base", base_content(), priority=0)
        for number in range(20):
            put(hub, f"iris-{number}", layer_content(f"m{number}"), priority=number + 1)
        hub.clock.advance(400)

        found = hub.configurations(100)

        assert {one["systemMetrics"]["results"]["reportedSuccessfulCount"] for one in found} == {10_000}
        assert len({device.situation for device in hub.fleet.devices.values()}) == 1

    def test_one_device_that_fares_differently_is_found(self, hub: Hub) -> None:
        hub.register([f"d{number}" for number in range(10_000)], {"site": "a"})
        put(hub, "base", base_content(), priority=0)
        hub.clock.advance(100)
        hub.fare(["d77"], online=False)
        hub.clock.advance(100)
        condition = "moduleId = '$edgeAgent' AND connectionState = 'Disconnected'"
        query = f"SELECT deviceId FROM devices.modules WHERE {condition}"

        assert hub.query(query, 100, None).items == [{"deviceId": "d77"}]
        assert hub.query(query.replace("deviceId", "COUNT() AS n", 1), 100, None).items == [{"n": 1}]

    def test_a_query_for_single_devices_looks_at_each(self, hub: Hub) -> None:
        hub.register([f"d{number}" for number in range(100)], {})
        hub.clock.advance(100)

        page = hub.query("SELECT deviceId FROM devices WHERE deviceId IN ['d7', 'd70', 'e1']", 100, None)

        assert [item["deviceId"] for item in page.items] == ["d7", "d70"]
        assert hub.query("SELECT COUNT() AS n FROM devices WHERE deviceId = 'd7'", 9, None).items == [
            {"n": 1}
        ]

    def test_a_token_of_another_query_is_refused(self, hub: Hub) -> None:
        hub.register(["a", "b"], {})
        hub.clock.advance(100)
        token = hub.query("SELECT * FROM devices", 1, None).continuation

        for continuation, query in (
            (token, "SELECT deviceId FROM devices"),
            ("%%%", "SELECT * FROM devices"),
        ):
            with pytest.raises(HubError) as caught:
                hub.query(query, 1, continuation)
            assert caught.value.code == "ArgumentInvalid"


class Pods:
    """Runs the modules of one device, and says that they fail."""

    def __init__(self) -> None:
        self.told: dict[str, set[str]] = {}

    def backs(self, device: str) -> bool:
        return device == "real"

    def run(self, device: str, modules: Any, manifest: Any) -> None:
        self.told[device] = set(modules)

    def views(self, device: str, now: float) -> dict[str, ModuleView]:
        return {"iris": ModuleView(RuntimeStatus.FAILED, exit_code=3)}


def test_what_really_runs_is_told_and_seen(hub: Hub) -> None:
    hub.fleet.backing = pods = Pods()
    hub.register(["real", "simulated"], {})
    put(hub, "base", base_content(), priority=0)
    put(hub, "iris", layer_content())
    hub.clock.advance(100)

    hub.fleet.tell_backing(hub.now)

    assert pods.told == {"real": {"edgeAgent", "edgeHub", "iris"}}
    states = {
        device: hub.module_twin(device, "$edgeAgent")["properties"]["reported"]["modules"]["iris"]
        for device in ("real", "simulated")
    }
    assert (states["real"]["runtimeStatus"], states["real"]["exitCode"]) == ("failed", 3)
    assert states["simulated"]["runtimeStatus"] == "running"
    hub.clock.advance(100)
    query = "SELECT deviceId FROM devices.modules WHERE properties.reported.modules.iris.runtimeStatus = '{}'"
    found = {status: hub.query(query.format(status), 9, None).items for status in ("failed", "running")}
    assert found == {"failed": [{"deviceId": "real"}], "running": [{"deviceId": "simulated"}]}


def test_of_a_device_that_is_cut_off_nobody_tells_what_really_runs(hub: Hub) -> None:
    hub.fleet.backing = pods = Pods()
    hub.register(["real"], {})
    put(hub, "base", base_content(), priority=0)
    put(hub, "iris", layer_content())
    hub.clock.advance(100)
    hub.fare(["real"], online=False)
    hub.delete_configuration("iris", None)
    hub.clock.advance(100)
    hub.fleet.tell_backing(hub.now)

    assert pods.told == {"real": {"edgeAgent", "edgeHub", "iris"}}
    reported = hub.module_twin("real", "$edgeAgent")["properties"]["reported"]
    assert reported["modules"]["iris"]["runtimeStatus"] == "running"

    hub.fare(["real"], online=True)
    hub.clock.advance(100)
    hub.fleet.tell_backing(hub.now)
    assert pods.told == {"real": {"edgeAgent", "edgeHub"}}


@pytest.mark.parametrize(
    ("if_match", "required", "insists"),
    [
        (None, None, False),
        ('""', None, False),
        ("MQ==", None, False),
        ('"MQ=="', "MQ==", True),
        ("*", None, True),
        ('"*"', None, True),
    ],
)
def test_what_a_condition_on_the_version_says(
    if_match: str | None, required: str | None, insists: bool
) -> None:
    assert (etags.required(if_match), etags.insists(if_match)) == (required, insists)


@given(st.integers(1, 2**40))
def test_etags_are_numbers_in_base64(number: int) -> None:
    assert etags.number(etags.of_number(number)) == number
    assert etags.of_twin(2) == "AAAAAAAAAAI="
    assert etags.number("not base64!") == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abc"), JSON), st.dictionaries(st.sampled_from("abc"), JSON))
def test_a_patch_applied_twice_changes_nothing_more(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = patched(document, patch)

    assert patched(once, patch) == once
    assert not any(name in once for name, value in patch.items() if value is None)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"createOptions": "{}"}, "{}"),
        ({"createOptions": '{"a"', "createOptions01": ":1", "createOptions02": "}"}, '{"a":1}'),
        ({"createOptions": "{}", "createOptions02": "lost"}, "{}"),
        ({}, ""),
    ],
)
def test_options_come_in_parts(settings: dict[str, Any], options: str) -> None:
    assert create_options({"image": IMAGE, **settings}) == options


def test_parts_that_come_to_no_json_are_a_format_error() -> None:
    broken = layer_content()["$edgeAgent"]["properties.desired.modules.iris"]
    broken["settings"] = {"image": IMAGE, "createOptions": '{"a":', "createOptions02": "1}"}
    agent = base_content(iris=broken)["$edgeAgent"]["properties.desired"]

    assert (own_rules(Manifest({"$edgeAgent": agent})) or (0, ""))[0] == 400


@pytest.mark.parametrize(("name", "most"), [("F1", 10), ("S1", 100), ("S3", 100), ("B1", 100)])
def test_what_a_hub_keeps(name: str, most: int) -> None:
    assert Sku(name).configurations == most


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (base_content(a={}, b={}), {"a", "b"}),
        (layer_content("iris"), {"iris"}),
        ({"$edgeAgent": {"properties.desired.modules.iris.env.A": 1}}, {"iris"}),
        ({"$edgeAgent": {}}, set()),
    ],
)
def test_the_modules_of_a_deployment(content: dict[str, Any], names: set[str]) -> None:
    assert contents.described(content) == names

"""Whatever is sent to the emulated hub, it answers or refuses."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iot_hub_emulator import base_content, layer_content

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.http import Request
from berth_sandbox.azure.iot_hub.errors import HubError
from berth_sandbox.azure.iot_hub.fleet import Fleet, Timing
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.iot_hub.operations import OPERATIONS, Call
from berth_sandbox.azure.names import Document

VALUES = {"configuration": "iris", "device": "d", "module": "m"}
NAMES = st.sampled_from(
    [
        *(
            "id",
            "content",
            "modulesContent",
            "$edgeAgent",
            "$edgeHub",
            "properties.desired",
            "labels",
            "metrics",
        ),
        *(
            "properties.desired.modules",
            "properties.desired.modules.a",
            "queries",
            "priority",
            "targetCondition",
        ),
        *(
            "schemaVersion",
            "runtime",
            "systemModules",
            "modules",
            "settings",
            "image",
            "createOptions",
            "env",
        ),
        *(
            "tags",
            "properties",
            "desired",
            "capabilities",
            "iotEdge",
            "status",
            "query",
            "customMetricQueries",
        ),
    ]
)
LEAVES = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["iris", "1.1", "*", "a = ", "docker"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
WITHOUT_A_BODY = ("Statistics", "Devices_Get", "Devices_Delete", "Modules_Get", "Modules_Delete")
WRITES = [name for name in OPERATIONS if not name.startswith(WITHOUT_A_BODY)]


def hub() -> Hub:
    found = Hub("plants", Clock(factor=0), Fleet(Timing()))
    found.register(["d"], {})
    return found


def handle(asked: Hub, operation: str, body: Any, **headers: str) -> Any:
    request = Request("", "", "", {}, headers, body)
    return OPERATIONS[operation].handle(Call(asked, VALUES, request)).body


@pytest.mark.parametrize("operation", WRITES)
@given(body=JSON)
def test_any_body_is_taken_or_refused(operation: str, body: Any) -> None:
    asked = hub()
    with suppress(HubError):
        handle(asked, operation, body)
    asked.clock.advance(1000)

    assert asked.module_twin("d", "$edgeAgent")["deviceId"] == "d"
    assert isinstance(asked.configurations(100), list)


@given(agent=st.dictionaries(NAMES, JSON, max_size=4), layer=JSON)
def test_any_manifest_is_carried_out_or_reported_as_broken(agent: Document, layer: Any) -> None:
    asked = hub()
    whole = {**base_content()["$edgeAgent"]["properties.desired"], **agent}
    for name, modules, priority in (
        ("base", {"$edgeAgent": {"properties.desired": whole}}, 0),
        ("iris", {"$edgeAgent": {"properties.desired.modules.iris": layer}}, 1),
    ):
        body = {
            "id": name,
            "content": {"modulesContent": modules},
            "targetCondition": "*",
            "priority": priority,
        }
        asked.put_configuration(name, body, None)
    asked.clock.advance(1000)

    reported = asked.module_twin("d", "$edgeAgent")["properties"]["reported"]

    assert reported["lastDesiredStatus"]["code"] in {200, 400, 412}
    asked.query("SELECT * FROM devices.modules", 100, None)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("Configuration_CreateOrUpdate", None),
        ("Configuration_CreateOrUpdate", "text"),
        ("Configuration_CreateOrUpdate", {"id": "iris", "labels": ["a"]}),
        ("Configuration_CreateOrUpdate", {"id": "iris", "priority": "high"}),
        ("Configuration_CreateOrUpdate", {"id": "iris", "priority": True}),
        ("Configuration_CreateOrUpdate", {"id": "other", "content": {"modulesContent": layer_content()}}),
        ("Query_GetTwins", {}),
        ("Devices_UpdateTwin", {"tags": "a"}),
    ],
)
def test_what_is_of_another_shape_is_refused(operation: str, body: Any) -> None:
    with pytest.raises(HubError) as caught:
        handle(hub(), operation, body)

    assert (caught.value.status, caught.value.code) == (400, "ArgumentInvalid")


@pytest.mark.parametrize("size", ["0", "-1", "many"])
def test_the_size_of_a_page_is_a_number(size: str) -> None:
    with pytest.raises(HubError):
        handle(hub(), "Query_GetTwins", {"query": "SELECT * FROM devices"}, **{"x-ms-max-item-count": size})

"""The judge of the hub: it finds what deviates, and of the real service only what is documented."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import iot_hub_specs
import pytest
from azure_judge import Judge
from iot_hub_emulator import Clients, base

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.iot_hub.operations import OPERATIONS
from berth_sandbox.azure.iot_hub.routes import ROUTES
from berth_sandbox.azure.requests import Exchange

if not iot_hub_specs.DESCRIPTION.exists():
    pytest.skip(iot_hub_specs.MISSING, allow_module_level=True)


def recorded() -> list[Exchange]:
    return [
        Exchange(
            time=datetime.now(UTC),
            operation="recorded",
            method=exchange["method"],
            url=exchange["url"].replace("2020-03-13", "2021-04-12"),
            connection="",
            status=exchange["status"],
            request_headers=dict.fromkeys(
                ["content-type"] if exchange["requestBody"] else [], "application/json"
            ),
            request_body=exchange["requestBody"],
            response_headers=exchange["headers"],
            response_body=exchange["responseBody"],
        )
        for exchange in iot_hub_specs.recording()
        if exchange["status"] < 400
    ]


def test_of_the_real_hub_one_kind_of_deviation_is_known(judge: Judge) -> None:
    found = [finding for exchange in recorded() for finding in judge.judge(exchange)]

    assert {finding.paths for finding in found} == {
        ("/content/deviceContent/properties.desired.deviceContent_key",)
    }
    assert all(finding.documented for finding in found)


def with_answer(change: Callable[[dict[str, Any]], Any]) -> Callable[[Exchange], Exchange]:
    def planted(exchange: Exchange) -> Exchange:
        body = deepcopy(exchange.response_body)
        change(body)
        return replace(exchange, response_body=body)

    return planted


PLANTED: dict[str, tuple[Callable[[Exchange], Exchange], str]] = {
    "a priority in words": (with_answer(lambda body: body.update(priority="high")), "INVALID_TYPE"),
    "a field that nobody knows": (
        with_answer(lambda body: body.update(surprise=1)),
        "OBJECT_ADDITIONAL_PROPERTIES",
    ),
    "a time that is none": (with_answer(lambda body: body.update(createdTimeUtc="now")), "INVALID_FORMAT"),
    "a list for a map": (with_answer(lambda body: body.update(labels=[])), "INVALID_TYPE"),
    "another status": (lambda exchange: replace(exchange, status=202), "INVALID_RESPONSE_CODE"),
    "words in the request": (
        lambda exchange: replace(exchange, request_body={**exchange.request_body, "priority": "high"}),
        "INVALID_TYPE",
    ),
}


@pytest.mark.parametrize(("plant", "code"), PLANTED.values(), ids=PLANTED)
def test_a_planted_deviation_is_found(judge: Judge, plant: Callable[[Exchange], Exchange], code: str) -> None:
    sound = recorded()[0]

    assert judge.findings([sound]) == []
    assert code in {finding.code for finding in judge.findings([plant(sound)])}


async def test_the_suite_is_judged(azure: Azure, clients: Clients, judge: Judge) -> None:
    await clients.create(base())
    await clients.agent("press-1")

    assert judge.findings(azure.requests) == []
    azure.requests.of("Modules_GetTwin")[0].response_body["version"] = "2"
    assert [finding.paths for finding in judge.findings(azure.requests)] == [("/version",)]
    azure.requests.clear()


def test_every_operation_is_one_of_the_description() -> None:
    described = iot_hub_specs.operations()

    assert {(route.operation, route.method) for route in ROUTES} <= described
    assert {route.operation for route in ROUTES} == set(OPERATIONS)
    beyond = {name.partition("_")[0] for name, _ in described - {(r.operation, r.method) for r in ROUTES}}
    assert beyond == {
        "BulkRegistry",
        "CloudToDeviceMessages",
        "Devices",  # methods, and the replacement of a twin
        "DigitalTwin",
        "Jobs",
        "Modules",
    }

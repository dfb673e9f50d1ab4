"""The judge itself: it finds what deviates, and of the real service only what is documented."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import azure_specs
import pytest
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient as Client
from azure_emulator import begin, get
from azure_judge import DOCUMENTED, Judge, whole

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.requests import Exchange
from berth_sandbox.azure.routes import ROUTES


def recorded() -> list[Exchange]:
    return [
        Exchange(
            time=datetime.now(UTC),
            operation="recorded",
            method=exchange["method"],
            url=exchange["url"],
            connection="",
            status=exchange["status"],
            request_headers={"content-type": "application/json"},
            request_body=exchange["requestBody"],
            response_headers=exchange["headers"],
            response_body=exchange["responseBody"],
        )
        for exchange in azure_specs.recording()
        if "/operations/" not in exchange["url"]
    ]


def test_of_the_real_service_only_two_deviations_are_known(judge: Judge) -> None:
    found = [finding for exchange in recorded() for finding in judge.judge(exchange)]

    assert {path.rpartition("/")[2] for finding in found for path in finding.paths} == DOCUMENTED
    assert all(finding.documented for finding in found)


async def test_the_emulator_deviates_in_the_same_two_places(
    azure: Azure, client: Client, judge: Judge
) -> None:
    await begin(client)

    found = judge.judge(azure.requests.of("ContainerGroups_CreateOrUpdate")[0])

    assert {path.rpartition("/")[2] for finding in found for path in finding.paths} == DOCUMENTED


def a_number_as_text(exchange: Exchange) -> Exchange:
    exchange.response_body["properties"]["containers"][0]["properties"]["instanceView"]["restartCount"] = "0"
    return exchange


def an_unknown_property(exchange: Exchange) -> Exchange:
    exchange.response_body["properties"]["surprise"] = True
    return exchange


def no_containers(exchange: Exchange) -> Exchange:
    del exchange.response_body["properties"]["containers"]
    return exchange


def words_for_a_number(exchange: Exchange) -> Exchange:
    container = exchange.request_body["properties"]["containers"][0]["properties"]
    container["resources"]["requests"]["cpu"] = "one"
    return exchange


PLANTED: dict[str, tuple[int, Callable[[Exchange], Exchange], str]] = {
    "a number as text": (1, a_number_as_text, "INVALID_TYPE"),
    "an unknown property": (1, an_unknown_property, "OBJECT_ADDITIONAL_PROPERTIES"),
    "no containers": (1, no_containers, "OBJECT_MISSING_REQUIRED_PROPERTY"),
    "words for a number in the request": (0, words_for_a_number, "INVALID_TYPE"),
    "another status": (1, lambda exchange: replace(exchange, status=202), "INVALID_RESPONSE_CODE"),
}


@pytest.mark.parametrize(("number", "plant", "code"), PLANTED.values(), ids=PLANTED)
def test_a_planted_deviation_is_found(
    judge: Judge, number: int, plant: Callable[[Exchange], Exchange], code: str
) -> None:
    deviant = plant(recorded()[number])

    assert code in {finding.code for finding in judge.findings([deviant])}


def test_every_operation_of_the_description_is_answered(official_examples: dict[str, Any]) -> None:
    described = azure_specs.operations()

    assert {(route.operation, route.method) for route in ROUTES} - {("Operation_Get", "GET")} == described


async def test_the_suite_is_judged(azure: Azure, client: Client, judge: Judge) -> None:
    await begin(client)
    await get(client)

    assert judge.findings(azure.requests) == []
    azure.requests.of("ContainerGroups_Get")[0].response_body["properties"]["surprise"] = True
    assert [finding.paths for finding in judge.findings(azure.requests)] == [("/properties/surprise",)]
    azure.requests.clear()
    assert [finding.paths for finding in judge.findings(whole(azure))] == [("/properties/surprise",)]
    whole(azure).clear()  # else this test would fail of what it has planted

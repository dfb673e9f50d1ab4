"""Each fault on demand, as Microsoft's client reports it."""

import time

import pytest
from iot_hub_emulator import Clients, connection_string, layer
from msrest.exceptions import ClientRequestError, HttpOperationError

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.faults import CutConnection, Delay, LoseAnswer, Refuse
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.server import Endpoint

PUT = ("PUT", "/configurations/iris$")


@pytest.mark.parametrize("retry_after", [None, 7])
async def test_throttling_with_and_without_the_time_to_wait(
    azure: Azure, clients: Clients, retry_after: int | None
) -> None:
    azure.faults.add(Refuse(429, "ThrottlingException", retry_after=retry_after), *PUT)

    with pytest.raises(HttpOperationError) as caught:
        await clients.create(layer())

    answer = caught.value.response
    assert answer.status_code == 429
    assert answer.headers["iothub-errorcode"] == "ThrottlingException"
    assert answer.json()["Message"].startswith("ErrorCode:ThrottlingException;")
    assert answer.headers.get("Retry-After") == (str(retry_after) if retry_after else None)
    await clients.create(layer())


@pytest.mark.parametrize("status", [500, 503])
async def test_the_service_is_down_for_one_request(azure: Azure, clients: Clients, status: int) -> None:
    azure.faults.add(Refuse(status, "ServerError"), *PUT)

    with pytest.raises(HttpOperationError) as caught:
        await clients.create(layer())

    assert caught.value.response.status_code == status
    assert (await clients.create(layer())).etag == "MQ=="


async def test_a_client_without_retries_throws_the_words_of_an_outage_away(
    azure: Azure, endpoint: Endpoint
) -> None:
    clients = Clients(endpoint, connection_string(endpoint))
    clients.configurations.protocol.config.retry_policy.policy.raise_on_status = True
    azure.faults.add(Refuse(503, "ServiceUnavailable"), *PUT)

    with pytest.raises(ClientRequestError):
        await clients.create(layer())


async def test_a_gateway_answers_with_a_page(azure: Azure, clients: Clients) -> None:
    azure.faults.add(Refuse(502), *PUT)

    with pytest.raises(HttpOperationError) as caught:
        await clients.create(layer())

    assert "iothub-errorcode" not in caught.value.response.headers
    assert caught.value.response.text.startswith("<html>")


async def test_the_answer_to_a_put_is_lost_but_the_deployment_is_there(
    azure: Azure, clients: Clients
) -> None:
    azure.faults.add(LoseAnswer(), *PUT)

    with pytest.raises(ClientRequestError):
        await clients.create(layer())

    assert (await clients.get("iris")).etag == "MQ=="
    with pytest.raises(HttpOperationError) as caught:
        await clients.create(layer())
    assert caught.value.response.status_code == 409


async def test_the_clients_own_retries_turn_a_lost_answer_into_a_conflict(
    azure: Azure, endpoint: Endpoint
) -> None:
    clients = Clients(endpoint, connection_string(endpoint))
    clients.configurations.protocol.config.retry_policy.retries = 1
    azure.faults.add(LoseAnswer(), *PUT)

    with pytest.raises(HttpOperationError):
        await clients.create(layer())

    assert [put.status for put in azure.requests.of("Configuration_CreateOrUpdate")] == [None, 409]
    assert (await clients.get("iris")).etag == "MQ=="


async def test_a_cut_connection_leaves_nothing_behind(azure: Azure, plants: Hub, clients: Clients) -> None:
    azure.faults.add(CutConnection(), *PUT)

    with pytest.raises(ClientRequestError):
        await clients.create(layer())

    assert not plants.fleet.deployments


async def test_the_answer_to_a_delete_is_lost_but_the_deployment_is_gone(
    azure: Azure, plants: Hub, clients: Clients
) -> None:
    await clients.create(layer())
    azure.faults.add(LoseAnswer(), "DELETE", "/configurations/iris$")

    with pytest.raises(ClientRequestError):
        await clients.delete("iris")

    assert not plants.fleet.deployments


async def test_an_answer_is_late(azure: Azure, clients: Clients) -> None:
    azure.faults.add(Delay(0.3), *PUT)
    clients.configurations.protocol.config.connection.timeout = (5, 0.1)

    with pytest.raises(ClientRequestError):
        await clients.create(layer())

    asked = time.monotonic()
    azure.faults.add(Delay(0.2), "GET")
    clients.configurations.protocol.config.connection.timeout = (5, 30)
    await clients(clients.configurations.get_configurations)
    assert time.monotonic() - asked >= 0.2


async def test_a_deployment_changes_behind_our_back(azure: Azure, plants: Hub, clients: Clients) -> None:
    made = await clients.create(layer())
    body = {"id": "iris", "priority": 99, "targetCondition": "*", "content": {}}
    plants.put_configuration("iris", body, "*")

    with pytest.raises(HttpOperationError) as caught:
        await clients.update(made, made.etag)

    assert caught.value.response.status_code == 412
    assert (await clients.get("iris")).priority == 99
    assert len(azure.requests.of("Configuration_CreateOrUpdate")) == 2

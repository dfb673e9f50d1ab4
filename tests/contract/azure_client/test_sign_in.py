"""Who Berth is, each way in which that can fail, and how often a token is asked for."""

import asyncio
import time
from pathlib import Path

import pytest
from azure_clients import Watch, asked, cloud_at, groups_of, token_file
from azure_emulator import CLIENT, RESOURCE_GROUP, SECRET, SUBSCRIPTION, TENANT

from berth.api.azure import Credentials
from berth.api.common import ObjectRef
from berth.api.conditions import Reason
from berth.azure.connection import Connection
from berth.azure.container_groups import ContainerGroups
from berth.core.errors import Gone, Terminal, Transient
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.faults import CutConnection, Refuse
from berth_sandbox.azure.server import Endpoint

UNKNOWN = "99999999-0000-4000-8000-000000000009"
TOKEN = "/oauth2/"
NOWHERE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    "/providers/Microsoft.ContainerInstance/containerGroups/none"
)


def credentials(tenant: str = TENANT, client: str = CLIENT) -> Credentials:
    return Credentials(tenant_id=tenant, client_id=client, secret_ref=ObjectRef(name="azure"))


async def listed(groups: ContainerGroups) -> None:
    await groups.list_by_resource_group(RESOURCE_GROUP)


async def refused(groups: ContainerGroups) -> Terminal:
    with pytest.raises(Terminal) as caught:
        await listed(groups)
    assert caught.value.reason == Reason.AUTHENTICATION_FAILED
    return caught.value


async def test_a_workload_identity_signs_in_with_its_token(
    azure: Azure, connection: Connection, endpoint: Endpoint
) -> None:
    await listed(await groups_of(connection, endpoint, credentials=Credentials(), secret=None))

    (token,) = azure.requests.of("Token")
    assert token.request_body["client_id"] == CLIENT
    assert "client_assertion_type" in token.request_body


async def test_an_operator_without_identity_says_what_to_do(endpoint: Endpoint) -> None:
    bare = Connection(environment={})

    with pytest.raises(Terminal, match=r"secretRef") as caught:
        await groups_of(bare, endpoint, credentials=Credentials(), secret=None)
    await bare.close()

    assert caught.value.reason == Reason.AUTHENTICATION_FAILED


async def test_an_identity_of_its_own_goes_before_the_operators(
    azure: Azure, connection: Connection, endpoint: Endpoint
) -> None:
    groups = await groups_of(connection, endpoint, credentials=Credentials(client_id=UNKNOWN), secret=None)

    assert (await refused(groups)).message.startswith("AADSTS700016: ")
    assert azure.requests.of("Token")[0].request_body["client_id"] == UNKNOWN


async def test_a_federated_token_that_is_not_there_says_so(
    azure: Azure, connection: Connection, endpoint: Endpoint, environment: dict[str, str]
) -> None:
    environment["AZURE_FEDERATED_TOKEN_FILE"] += "-elsewhere"
    groups = await groups_of(connection, endpoint, credentials=Credentials(), secret=None)

    assert "No such file" in (await refused(groups)).message
    assert len(azure.requests) == 0


async def test_a_federated_token_of_a_stranger_is_refused(
    connection: Connection, endpoint: Endpoint, tmp_path: Path
) -> None:
    token_file(tmp_path, sub="system:serviceaccount:other:other")
    groups = await groups_of(connection, endpoint, credentials=Credentials(), secret=None)

    assert (await refused(groups)).message.startswith("AADSTS700213: No matching federated identity record")


@pytest.mark.parametrize(
    ("given", "secret", "code"),
    [
        (credentials(), "wrong", "AADSTS7000215"),
        (credentials(), "expired", "AADSTS7000222"),
        (credentials(tenant=UNKNOWN), SECRET, "AADSTS90002"),
        (credentials(client=UNKNOWN), SECRET, "AADSTS700016"),
    ],
)
async def test_a_refusal_is_told_by_its_code_and_asked_for_once(
    azure: Azure, connection: Connection, endpoint: Endpoint, given: Credentials, secret: str, code: str
) -> None:
    expiring = {SECRET: None, "expired": time.time() - 1}
    configure(azure, {"tenants": {TENANT: {CLIENT: {"secrets": expiring}}}})
    groups = await groups_of(connection, endpoint, credentials=given, secret=secret)

    first = await refused(groups)
    for _ in range(20):
        assert (await refused(groups)).message == first.message

    assert first.message.startswith(f"{code}: ")
    assert "(" not in first.message
    assert asked(azure) == {"Token": 1}


async def test_the_words_are_the_same_each_time(azure: Azure, groups: ContainerGroups, watch: Watch) -> None:
    text = "AADSTS7000222: The keys are expired. Trace ID: {0} Correlation ID: {0} Timestamp: 2026-11-2{0}"
    messages = []
    for number in (1, 2):
        refusal = {"error": "invalid_client", "error_description": text.format(number)}
        azure.faults.add(Refuse(401, "invalid_client", refusal["error_description"]), "POST", TOKEN)
        messages.append((await refused(groups)).message)
        watch.now += 100

    assert messages == ["AADSTS7000222: The keys are expired"] * 2


async def test_a_refusal_is_asked_about_again_after_a_while(
    azure: Azure, connection: Connection, endpoint: Endpoint, watch: Watch
) -> None:
    groups = await groups_of(connection, endpoint, secret="new")
    wait = (await refused(groups)).retry_after
    configure(azure, {"tenants": {TENANT: {CLIENT: {"secrets": {"new": None}}}}})
    assert wait == 60

    watch.now += 59
    assert (await refused(groups)).retry_after == pytest.approx(1)
    watch.now += 1
    await listed(groups)

    assert asked(azure)["Token"] == 2


async def test_a_new_secret_is_used_at_once(azure: Azure, connection: Connection, endpoint: Endpoint) -> None:
    await refused(await groups_of(connection, endpoint, secret="wrong"))

    await listed(await groups_of(connection, endpoint))

    assert asked(azure)["Token"] == 2


async def test_a_throttled_sign_in_waits_as_it_was_told(
    azure: Azure, groups: ContainerGroups, watch: Watch
) -> None:
    azure.faults.add(Refuse(429, "throttled", retry_after=23), "POST", TOKEN)
    for elapsed in (0, 10):
        watch.now = 1000 + elapsed
        with pytest.raises(Transient) as caught:
            await listed(groups)
        assert caught.value.retry_after == pytest.approx(23 - elapsed)

    assert asked(azure) == {"Token": 1}
    watch.now = 1023
    await listed(groups)


@pytest.mark.parametrize("fault", [Refuse(500, "server_error"), Refuse(502), CutConnection()])
async def test_an_ill_authority_is_asked_later_each_time(
    azure: Azure, groups: ContainerGroups, watch: Watch, fault: Refuse | CutConnection
) -> None:
    azure.faults.add(fault, "POST", TOKEN, times=3)
    waits = []
    for _ in range(3):
        with pytest.raises(Transient) as caught:
            await listed(groups)
        assert caught.value.retry_after
        waits.append(caught.value.retry_after)
        watch.now += caught.value.retry_after

    await listed(groups)

    assert waits == sorted(waits)
    assert asked(azure)["Token"] == 4


async def test_many_calls_without_a_token_ask_for_one(azure: Azure, groups: ContainerGroups) -> None:
    azure.faults.add(Refuse(503, "server_error"), "POST", TOKEN)

    results = await asyncio.gather(*(listed(groups) for _ in range(4)), return_exceptions=True)

    assert all(isinstance(result, Transient) for result in results)
    assert asked(azure) == {"Token": 1}


async def test_a_token_that_was_revoked_is_renewed_at_once(
    azure: Azure, connection: Connection, endpoint: Endpoint, watch: Watch
) -> None:
    groups = await groups_of(connection, endpoint)
    cloud = cloud_at(endpoint)
    resources = await connection.resources(SUBSCRIPTION, cloud, credentials(), SECRET)
    await listed(groups)
    with pytest.raises(Gone):
        await resources.get(NOWHERE, "2023-05-01")
    azure.directory.signing_key = "another" * 8
    watch.now += 60

    await listed(groups)
    with pytest.raises(Gone):
        await resources.get(NOWHERE, "2023-05-01")

    assert asked(azure)["Token"] == 2


async def test_tokens_that_are_refused_one_after_the_other_are_not_asked_for_each_time(
    azure: Azure, groups: ContainerGroups, watch: Watch
) -> None:
    azure.faults.add(Refuse(401, "InvalidAuthenticationToken"), "GET", "/resourceGroups/", times=100)
    for _ in range(10):
        await refused(groups)
    assert asked(azure)["Token"] == 1

    watch.now += 60
    for _ in range(10):
        await refused(groups)
    assert asked(azure)["Token"] == 2


async def test_an_ill_authority_does_not_open_the_circuit(
    azure: Azure, groups: ContainerGroups, watch: Watch
) -> None:
    azure.faults.add(Refuse(503, "server_error"), "POST", TOKEN)
    for _ in range(20):
        with pytest.raises(Transient):
            await listed(groups)
    watch.now += 2

    await listed(groups)


async def test_an_authority_that_nobody_listens_at(connection: Connection, endpoint: Endpoint) -> None:
    gone = cloud_at(endpoint).model_copy(update={"authority": "https://127.0.0.1:1"})
    groups = await groups_of(connection, endpoint, cloud=gone)

    with pytest.raises(Transient) as caught:
        await listed(groups)

    assert caught.value.message == "Sign-in: Azure cannot be reached at 127.0.0.1:1: Connection refused"


async def test_no_secret_is_shown(connection: Connection, endpoint: Endpoint) -> None:
    await groups_of(connection, endpoint)

    assert SECRET not in repr(vars(connection))

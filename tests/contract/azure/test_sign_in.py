"""Entra's endpoints through the real azure-identity, and what the resource manager makes of tokens."""

import asyncio
import time
from pathlib import Path

import aiohttp
import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential as SyncClientSecretCredential
from azure.identity import CredentialUnavailableError
from azure.identity import WorkloadIdentityCredential as SyncWorkloadIdentityCredential
from azure.identity.aio import (
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.mgmt.containerinstance import ContainerInstanceManagementClient as SyncClient
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient
from azure_emulator import (
    CLIENT,
    ISSUER,
    SECRET,
    SUBJECT,
    SUBSCRIPTION,
    TENANT,
    begin,
    connected,
    credential,
    get,
    group,
    transport,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.directory import Application, Directory, FederatedCredential
from berth_sandbox.azure.faults import CutConnection, Refuse
from berth_sandbox.azure.server import Endpoint

SCOPE = "https://management.azure.com/.default"
KEY = ec.generate_private_key(ec.SECP256R1())


def federated_token(key: ec.EllipticCurvePrivateKey = KEY, **claims: object) -> str:
    return jwt.encode(
        {
            "iss": ISSUER,
            "sub": SUBJECT,
            "aud": ["api://AzureADTokenExchange"],
            "exp": int(time.time()) + 600,
            **claims,
        },
        key,
        algorithm="ES256",
    )


async def refused(
    endpoint: Endpoint, tenant: str = TENANT, client: str = CLIENT, secret: str = SECRET
) -> str:
    async with (
        transport(endpoint) as session,
        ClientSecretCredential(
            tenant, client, secret, authority=endpoint.url, transport=session, retry_total=0
        ) as signing_in,
    ):
        with pytest.raises(ClientAuthenticationError) as caught:
            await signing_in.get_token(SCOPE)
    return f"{caught.value.status_code} {caught.value.message}"


async def test_a_secret_gets_a_token(endpoint: Endpoint) -> None:
    async with transport(endpoint) as session, credential(endpoint, transport=session) as signed_in:
        token = await signed_in.get_token(SCOPE)

    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert (claims["aud"], claims["tid"], claims["appid"]) == ("https://management.azure.com", TENANT, CLIENT)
    assert 3500 < token.expires_on - time.time() <= 3600


async def test_the_synchronous_clients_work_with_the_ca_file(azure: Azure, endpoint: Endpoint) -> None:
    def create() -> str:
        with (
            SyncClientSecretCredential(
                TENANT,
                CLIENT,
                SECRET,
                authority=endpoint.url,
                disable_instance_discovery=True,
                connection_verify=str(endpoint.ca_file),
            ) as signed_in,
            SyncClient(
                signed_in, SUBSCRIPTION, base_url=endpoint.url, connection_verify=str(endpoint.ca_file)
            ) as client,
        ):
            azure.clock.run_at(1000)
            poller = client.container_groups.begin_create_or_update(
                "models", "iris", group(), polling_interval=0
            )
            return str(poller.result().provisioning_state)

    assert await asyncio.to_thread(create) == "Succeeded"
    assert azure.requests.of("OpenIdConfiguration")


async def test_the_asynchronous_client_works_with_the_ca_file(azure: Azure, endpoint: Endpoint) -> None:
    ca_file = str(endpoint.ca_file)
    async with (
        credential(endpoint, connection_verify=ca_file) as signed_in,
        ContainerInstanceManagementClient(
            signed_in, SUBSCRIPTION, base_url=endpoint.url, connection_verify=ca_file
        ) as client,
    ):
        await begin(client)


async def test_one_session_is_one_connection(azure: Azure, endpoint: Endpoint) -> None:
    async with connected(endpoint) as client:
        await begin(client)
        for _ in range(10):
            await get(client)

    assert len(azure.requests.of("ContainerGroups_Get")) == 10
    assert len(azure.requests.of("Token")) == 1
    assert len(azure.requests.connections()) == 1


async def token_for(endpoint: Endpoint, token_file: Path) -> str:
    async with (
        transport(endpoint) as session,
        WorkloadIdentityCredential(
            tenant_id=TENANT,
            client_id=CLIENT,
            token_file_path=str(token_file),
            authority=endpoint.url,
            transport=session,
        ) as signing_in,
    ):
        return (await signing_in.get_token(SCOPE)).token


async def test_a_federated_token_gets_a_token(endpoint: Endpoint, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(federated_token())

    assert await token_for(endpoint, token_file)


async def test_workload_identity_is_found_in_the_environment(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(federated_token())
    for name, value in {
        "AZURE_AUTHORITY_HOST": endpoint.url,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_FEDERATED_TOKEN_FILE": str(token_file),
        "REQUESTS_CA_BUNDLE": str(endpoint.ca_file),
    }.items():
        monkeypatch.setenv(name, value)

    def sign_in() -> str:
        with SyncWorkloadIdentityCredential() as signed_in:
            return signed_in.get_token(SCOPE).token

    assert await asyncio.to_thread(sign_in)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://another.example"}, "AADSTS700211"),
        ({"aud": "another"}, "AADSTS700212"),
        ({"sub": "system:serviceaccount:default:default"}, "AADSTS700213"),
        ({"exp": 1}, "AADSTS700024"),
    ],
    ids=["issuer", "audience", "subject", "expired"],
)
async def test_a_federated_token_that_does_not_fit_is_refused(
    endpoint: Endpoint, tmp_path: Path, claims: dict[str, object], code: str
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(federated_token(**claims))

    with pytest.raises(ClientAuthenticationError, match=code) as caught:
        await token_for(endpoint, token_file)

    assert caught.value.status_code == 401


async def test_the_secret_is_wrong_or_has_expired(azure: Azure, endpoint: Endpoint) -> None:
    assert (await refused(endpoint, secret="wrong")).startswith(
        "401 Microsoft Entra ID error '(invalid_client) AADSTS7000215"
    )
    azure.directory.register(TENANT, [Application(CLIENT, {SECRET: time.time() - 1})])
    assert "AADSTS7000222" in await refused(endpoint)


async def test_tenant_or_client_is_unknown(endpoint: Endpoint) -> None:
    assert "AADSTS90002" in await refused(endpoint, tenant="11111111-0000-4000-8000-000000000000")
    assert "AADSTS700016" in await refused(endpoint, client="11111111-0000-4000-8000-000000000000")


async def test_the_token_endpoint_can_be_down_alone(azure: Azure, endpoint: Endpoint) -> None:
    azure.faults.add(Refuse(500, "server_error"), path="/oauth2/")
    assert (await refused(endpoint)).startswith("500")
    azure.faults.add(Refuse(502), path="/oauth2/")
    assert (await refused(endpoint)).startswith("None Unexpected response")
    async with connected(endpoint) as client:
        await begin(client)


async def test_a_cut_connection_at_sign_in_is_no_refusal(azure: Azure, endpoint: Endpoint) -> None:
    azure.faults.add(CutConnection(), path="/oauth2/")
    with pytest.raises(Exception, match="disconnected") as caught:
        async with transport(endpoint) as session, credential(endpoint, transport=session) as signing_in:
            await signing_in.get_token(SCOPE)
    assert not isinstance(caught.value, ClientAuthenticationError)


async def asked_with(endpoint: Endpoint, authorization: str | None) -> tuple[int, str, str]:
    url = f"{endpoint.url}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerInstance/containerGroups"
    headers = {"Authorization": authorization} if authorization else {}
    async with transport(endpoint) as session:
        client: aiohttp.ClientSession = session.session
        async with client.get(url, params={"api-version": "2023-05-01"}, headers=headers) as answer:
            document = await answer.json()
            return answer.status, document["error"]["code"], answer.headers["WWW-Authenticate"]


def token_of(directory: Directory, tenant: str = TENANT, scope: str = SCOPE) -> str:
    form = {"client_id": CLIENT, "client_secret": SECRET, "grant_type": "client_credentials", "scope": scope}
    return f"Bearer {directory.token(tenant, form)['access_token']}"


async def test_who_has_no_good_token_is_turned_away(azure: Azure, endpoint: Endpoint) -> None:
    storage = token_of(azure.directory, scope="https://storage.azure.com/.default")
    azure.directory._now = lambda: time.time() - 7200
    expired = token_of(azure.directory)
    azure.directory._now = time.time

    answers = {
        "AuthenticationFailed": await asked_with(endpoint, None),
        "InvalidAuthenticationToken": await asked_with(endpoint, "Bearer made-up"),
        "InvalidAuthenticationTokenAudience": await asked_with(endpoint, storage),
        "ExpiredAuthenticationToken": await asked_with(endpoint, expired),
    }

    assert {code: answer[:2] for code, answer in answers.items()} == {code: (401, code) for code in answers}
    assert all(answer[2].startswith("Bearer ") for answer in answers.values())


async def test_a_token_of_another_tenant_does_not_open_the_subscription(
    azure: Azure, endpoint: Endpoint
) -> None:
    azure.directory.register("other", [Application(CLIENT, {SECRET: None})])
    url = f"{endpoint.url}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerInstance/containerGroups"

    async with transport(endpoint) as session:
        headers = {"Authorization": token_of(azure.directory, "other")}
        client: aiohttp.ClientSession = session.session
        async with client.get(url, params={"api-version": "2023-05-01"}, headers=headers) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["code"] == "InvalidAuthenticationTokenTenant"


@pytest.mark.parametrize("client_id", [None, CLIENT], ids=["system", "user assigned"])
async def test_a_managed_identity_gets_a_token(
    azure: Azure, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, client_id: str | None
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", endpoint.plain_url)
    azure.directory.system_identity = CLIENT

    async with ManagedIdentityCredential(client_id=client_id) as signed_in:
        token = await signed_in.get_token("https://storage.azure.com/.default")

    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert (claims["aud"], claims["oid"]) == ("https://storage.azure.com", CLIENT)


async def test_an_identity_that_the_machine_has_not_got_is_unavailable(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", endpoint.plain_url)

    async with ManagedIdentityCredential() as signing_in:
        with pytest.raises(CredentialUnavailableError):
            await signing_in.get_token("https://storage.azure.com/.default")


async def test_arm_answers_without_tls_too(azure: Azure, endpoint: Endpoint) -> None:
    async with (
        credential(endpoint, connection_verify=str(endpoint.ca_file)) as signed_in,
        ContainerInstanceManagementClient(
            signed_in, SUBSCRIPTION, base_url=endpoint.plain_url, polling_interval=0
        ) as client,
    ):
        azure.clock.run_at(1000)
        poller = await client.container_groups.begin_create_or_update(
            "models", "iris", group(), enforce_https=False
        )
        assert (await poller.result()).provisioning_state == "Succeeded"


async def test_the_log_keeps_no_secret_of_sign_in(azure: Azure, endpoint: Endpoint, tmp_path: Path) -> None:
    async with connected(endpoint) as client:
        await begin(client)

    remembered = str([exchange.document() for exchange in azure.requests if exchange.operation != "Token"])
    asked = str([exchange.request_body for exchange in azure.requests.of("Token")])

    assert azure.requests.of("Token")[0].principal == CLIENT
    assert SECRET not in remembered + asked
    assert "Bearer ey" not in remembered


async def test_signatures_are_verified_where_the_key_is_known(azure: Azure) -> None:
    pem = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    trusted = FederatedCredential(ISSUER, SUBJECT, key=pem.decode())
    azure.directory.register(TENANT, [Application(CLIENT, federated=(trusted,))])
    form = {
        "client_id": CLIENT,
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }

    assert azure.directory.token(TENANT, {**form, "client_assertion": federated_token()})
    forged = federated_token(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(Exception, match="AADSTS700027"):
        azure.directory.token(TENANT, {**form, "client_assertion": forged})

"""Who may ask a hub for what, and how often."""

import base64
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.credentials import AccessToken, TokenCredential
from azure.identity import ClientSecretCredential
from azure.iot.hub import IoTHubConfigurationManager
from azure.iot.hub.models import Device, DeviceCapabilities, QuerySpecification
from azure.iot.hub.sastoken import SasToken
from azure_emulator import CLIENT, SECRET, TENANT, configured
from iot_hub_emulator import HUB, KEY, READ_KEY, Clients, base, connection_string, hub, layer, trusting
from msrest.exceptions import ClientRequestError, HttpOperationError

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.iot_hub.access import RIGHTS
from berth_sandbox.azure.server import Endpoint, served

OTHER_KEY = base64.b64encode(b"o" * 32).decode()
UNAUTHORIZED = (401, "IotHubUnauthorizedAccess")


async def refusal(clients: Clients, call: Any, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(HttpOperationError) as caught:
        await clients(call, *arguments)
    return caught.value.response.status_code, caught.value.response.headers["iothub-errorcode"]


@pytest.mark.parametrize(
    ("policy", "key"),
    [("iothubowner", OTHER_KEY), ("nobody", KEY), ("iothubowner", READ_KEY)],
    ids=["wrong key", "unknown policy", "key of another policy"],
)
async def test_a_key_that_does_not_fit_opens_nothing(endpoint: Endpoint, policy: str, key: str) -> None:
    clients = Clients(endpoint, connection_string(endpoint, policy, key))

    assert await refusal(clients, clients.configurations.get_configurations) == UNAUTHORIZED


async def test_a_policy_opens_what_it_is_for(endpoint: Endpoint) -> None:
    reader = Clients(endpoint, connection_string(endpoint, "registryRead", READ_KEY))

    assert await reader(reader.configurations.get_configurations) == []
    assert await refusal(reader, reader.configurations.create_configuration, base()) == UNAUTHORIZED
    assert await refusal(reader, reader.registry.get_twin, "press-1") == UNAUTHORIZED


async def test_a_revoked_policy_opens_nothing_and_a_renewed_one_does_again(
    azure: Azure, clients: Clients
) -> None:
    policies = azure.hubs.access(HUB).policies
    kept = policies.pop("iothubowner")

    assert await refusal(clients, clients.configurations.get_configurations) == UNAUTHORIZED
    policies["iothubowner"] = kept
    assert await clients(clients.configurations.get_configurations) == []


def token(uri: str, key: str = KEY, seconds: int = 60) -> str:
    return str(SasToken(uri, key, "iothubowner", ttl=seconds))


FORGED = {
    "expired": lambda host: token(host, seconds=-1),
    "of another hub": lambda host: token("other.azure-devices.net"),
    "with a later end": lambda host: token(host).replace("se=", "se=9"),
    "without a signature": lambda host: token(host).replace("sig=", "nosig="),
    "with a signature that is no base64": lambda host: token(host).replace("sig=", "sig=*"),
    "without an end": lambda host: token(host).replace("se=", "nose="),
    "empty": lambda host: "SharedAccessSignature ",
    "nothing": lambda host: "",
    "words": lambda host: "let me in",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_a_token_that_is_not_sound_opens_nothing(
    endpoint: Endpoint, clients: Clients, forged: Any
) -> None:
    host = endpoint.url.removeprefix("https://")

    def ask(authorization: str) -> int:
        with requests.Session() as session:
            return session.get(
                f"{endpoint.url}/configurations?api-version=2021-04-12",
                headers={"Authorization": authorization},
                verify=str(endpoint.ca_file),
            ).status_code

    assert await clients(ask, token(host)) == 200
    assert await clients(ask, forged(host)) == 401


class Signed:
    """A credential that gives a token for a service, whatever it is asked for."""

    def __init__(self, azure: Azure, audience: str) -> None:
        form = {
            "client_id": CLIENT,
            "client_secret": SECRET,
            "grant_type": "client_credentials",
            "scope": f"{audience}/.default",
        }
        self._token = azure.directory.token(TENANT, form)["access_token"]

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)


async def with_identity(endpoint: Endpoint, credential: TokenCredential) -> IoTHubConfigurationManager:
    manager = IoTHubConfigurationManager.from_token_credential(
        endpoint.url.removeprefix("https://"), credential
    )
    trusting(manager, endpoint)
    return manager


async def test_an_identity_with_a_role_may_what_the_role_says(
    azure: Azure, endpoint: Endpoint, clients: Clients
) -> None:
    credential = ClientSecretCredential(
        TENANT,
        CLIENT,
        SECRET,
        authority=endpoint.url,
        connection_verify=str(endpoint.ca_file),
        disable_instance_discovery=True,
    )
    manager = await with_identity(endpoint, credential)
    assert await refusal(clients, manager.get_configurations) == UNAUTHORIZED

    azure.hubs.access(HUB).roles[CLIENT] = RIGHTS

    assert (await clients(manager.create_configuration, layer())).id == "iris"
    assert azure.requests.of("Configuration_CreateOrUpdate")[0].principal == CLIENT


async def test_a_token_for_another_service_opens_nothing(
    azure: Azure, endpoint: Endpoint, clients: Clients
) -> None:
    azure.hubs.access(HUB).roles[CLIENT] = RIGHTS
    manager = await with_identity(endpoint, Signed(azure, "https://management.azure.com"))

    assert await refusal(clients, manager.get_configurations) == UNAUTHORIZED


async def test_a_hub_that_is_not_there_cannot_be_reached(endpoint: Endpoint, clients: Clients) -> None:
    manager = IoTHubConfigurationManager.from_connection_string(
        f"HostName=no-such-hub.invalid;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
    )
    trusting(manager, endpoint)

    with pytest.raises(ClientRequestError):
        await clients(manager.get_configurations)


async def test_the_log_holds_no_token(azure: Azure, clients: Clients) -> None:
    await clients(clients.configurations.get_configurations)

    asked = azure.requests.of("Configuration_GetConfigurations")[0]

    assert "authorization" not in {name.lower() for name in asked.request_headers}
    assert asked.principal == "iothubowner"


class TestBasicTier:
    @pytest.fixture
    def azure(self) -> Azure:
        azure = configured(Azure(clock=Clock(factor=0)))
        configure(azure, {"hubs": {HUB: hub(sku="B1", devices={"press-1": {}})}})
        return azure

    async def test_it_knows_devices_and_nothing_of_deployments(self, clients: Clients) -> None:
        assert (await clients(clients.registry.get_device, "press-1")).device_id == "press-1"
        for call, *arguments in (
            (clients.configurations.get_configurations,),
            (clients.configurations.create_configuration, base()),
            (clients.registry.get_twin, "press-1"),
            (clients.registry.query_iot_hub, QuerySpecification(query="SELECT * FROM devices")),
        ):
            assert await refusal(clients, call, *arguments) == (403, "OperationNotAvailableInCurrentTier")


class TestFreeTier:
    @pytest.fixture
    def azure(self) -> Azure:
        azure = configured(Azure(clock=Clock(factor=0)))
        configure(azure, {"hubs": {HUB: hub(sku="F1")}})
        return azure

    async def test_it_keeps_ten_deployments(self, clients: Clients) -> None:
        for number in range(10):
            await clients.create(layer(f"iris-{number}"))

        full = (413, "ConfigurationCountLimitExceeded")
        assert await refusal(clients, clients.configurations.create_configuration, layer()) == full


class TestLimits:
    @pytest.fixture
    def azure(self) -> Azure:
        azure = configured(Azure(clock=Clock(factor=0)))
        configure(azure, {"hubs": {HUB: hub(rates={"configurations": 3 / 60, "queries": 1 / 60})}})
        return azure

    async def test_what_is_asked_too_often_is_refused_by_its_kind(self, clients: Clients) -> None:
        for _ in range(3):
            await clients(clients.configurations.get_configurations)

        with pytest.raises(HttpOperationError) as caught:
            await clients(clients.configurations.get_configurations)

        assert caught.value.response.headers["iothub-errorcode"] == "ThrottlingException"
        assert 15 <= int(caught.value.response.headers["Retry-After"]) <= 20
        assert caught.value.response.status_code == 429
        page = await clients(
            clients.registry.query_iot_hub, QuerySpecification(query="SELECT * FROM devices")
        )
        assert page.items == []

    async def test_each_unit_takes_its_share(self, tmp_path: Path) -> None:
        azure = configured(Azure(clock=Clock(factor=0)))
        configure(azure, {"hubs": {HUB: hub(units=2, rates={"queries": 1 / 60})}})
        async with served(azure, tmp_path) as endpoint:
            clients = Clients(endpoint, connection_string(endpoint))
            query = clients.registry.query_iot_hub, QuerySpecification(query="SELECT * FROM devices")

            await clients(*query)
            await clients(*query)

            assert await refusal(clients, *query) == (429, "ThrottlingException")


class TestRegistry:
    @pytest.fixture
    async def registered(self, clients: Clients) -> Device:
        return await clients(
            clients.registry.create_device_with_sas, "new-1", KEY, OTHER_KEY, "enabled", True
        )

    async def test_a_device_is_registered_once(self, registered: Device, clients: Clients) -> None:
        again = clients.registry.create_device_with_sas, "new-1", KEY, OTHER_KEY, "enabled", True

        assert registered.capabilities == DeviceCapabilities(iot_edge=True)
        assert await refusal(clients, *again) == (409, "DeviceAlreadyExists")

    async def test_a_stale_etag_changes_and_deletes_no_device(
        self, registered: Device, clients: Clients
    ) -> None:
        update = clients.registry.update_device_with_sas
        await clients(update, "new-1", registered.etag, KEY, OTHER_KEY, "disabled")

        stale = update, "new-1", registered.etag, KEY, OTHER_KEY, "enabled"
        assert await refusal(clients, *stale) == (412, "PreconditionFailed")
        gone = clients.registry.delete_device, "new-1", registered.etag
        assert await refusal(clients, *gone) == (412, "PreconditionFailed")
        assert (await clients(clients.registry.get_device, "new-1")).status == "disabled"

    async def test_a_deleted_device_is_gone(self, registered: Device, clients: Clients) -> None:
        await clients(clients.registry.delete_device, "new-1", registered.etag)

        missing = (404, "DeviceNotFound")
        assert await refusal(clients, clients.registry.get_device, "new-1") == missing
        assert await refusal(clients, clients.registry.get_twin, "new-1") == missing

    async def test_the_hub_counts_its_devices(self, registered: Device, clients: Clients) -> None:
        devices = await clients(clients.registry.get_device_registry_statistics)
        service = await clients(clients.registry.get_service_statistics)

        assert (devices.total_device_count, devices.enabled_device_count) == (4, 4)
        assert service.connected_device_count == 4

    async def test_a_module_of_ones_own(self, clients: Clients) -> None:
        registry = clients.registry
        await clients(registry.create_module_with_sas, "press-1", "probe", "", KEY, OTHER_KEY)

        assert (await clients(registry.get_module, "press-1", "probe")).module_id == "probe"
        await clients(registry.delete_module, "press-1", "probe")
        assert await refusal(clients, registry.get_module, "press-1", "probe") == (404, "ModuleNotFound")
        twin = registry.get_module_twin, "press-1", "probe"
        assert await refusal(clients, *twin) == (404, "ModuleNotFound")

"""What is opened once, and where each cloud is."""

import sys
from subprocess import run

import pytest
import trustme

from berth.api.azure import Cloud, CloudName, Credentials
from berth.api.common import ObjectRef
from berth.api.conditions import Reason
from berth.azure import connection
from berth.azure.clients import Clients
from berth.azure.clouds import addresses
from berth.azure.connection import Connection
from berth.azure.container_groups import ContainerGroups
from berth.azure.session import Session
from berth.core.errors import Terminal

TENANT, CLIENT = "7a1e5c3f-0000-4000-8000-00000000000a", "c11e0700-0000-4000-8000-00000000000c"
PUBLIC = Cloud()
CREDENTIALS = Credentials(tenant_id=TENANT, client_id=CLIENT, secret_ref=ObjectRef(name="azure"))
LOADED = "import sys; sys.exit(' '.join(n for n in sys.modules if n.startswith(('azure', 'msal'))) or 0)"


@pytest.mark.parametrize("module", ["berth.app", "berth.cli", "berth.azure.clients", "berth.azure.limits"])
def test_who_does_not_use_azure_does_not_load_its_libraries(module: str) -> None:
    program = [sys.executable, "-c", f"import {module}; {LOADED}"]

    assert run(program, check=False, capture_output=True, text=True).stderr == ""


async def test_the_first_who_asks_loads_them_and_all_share_one_client() -> None:
    clients = Clients()
    await clients.close()
    opened = [await clients.container_groups("sub", PUBLIC, CREDENTIALS, "secret") for _ in range(2)]
    await clients.close()

    assert isinstance(opened[0], ContainerGroups)
    assert opened[0] is opened[1]


async def test_a_new_secret_is_a_new_client_and_old_ones_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MOST_HELD", 3)
    opened = Connection(environment={})
    first = await opened.container_groups("sub", PUBLIC, CREDENTIALS, "0")
    for number in range(1, 6):
        assert await opened.container_groups("sub", PUBLIC, CREDENTIALS, str(number)) is not first
    await opened.close()

    assert (len(opened._clients), len(opened._sign_ins), len(opened._gates)) == (3, 3, 1)


@pytest.mark.parametrize(
    ("name", "resource_manager", "authority", "scope"),
    [
        (
            CloudName.PUBLIC,
            "https://management.azure.com",
            "login.microsoftonline.com",
            "https://management.azure.com/.default",
        ),
        (
            CloudName.GOVERNMENT,
            "https://management.usgovcloudapi.net",
            "login.microsoftonline.us",
            "https://management.core.usgovcloudapi.net/.default",
        ),
        (
            CloudName.CHINA,
            "https://management.chinacloudapi.cn",
            "login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn/.default",
        ),
    ],
)
def test_each_cloud_has_its_addresses(
    name: CloudName, resource_manager: str, authority: str, scope: str
) -> None:
    found = addresses(Cloud(name=name))

    assert (found.resource_manager, found.authority, found.scope) == (resource_manager, authority, scope)
    assert found.ca_bundle == ""


def test_a_cloud_of_ones_own_is_where_it_says() -> None:
    own = Cloud(name=CloudName.CUSTOM, resource_manager="https://arm.test/", authority="https://sign.test")

    found = addresses(own)

    assert (found.resource_manager, found.authority) == ("https://arm.test", "https://sign.test")


async def test_a_bundle_may_hold_comments_in_any_language() -> None:
    session = Session()
    certificate = trustme.CA().cert_pem.bytes().decode()

    transport = await session.transport(f"# Főtanúsítvány\n{certificate}")

    assert transport is await session.transport(f"# Főtanúsítvány\n{certificate}")
    assert transport is not await session.transport()
    await session.close()


@pytest.mark.parametrize("text", ["", "no base64 é", "bm8gY2VydGlmaWNhdGU="])
async def test_a_bundle_without_certificates_says_so(text: str) -> None:
    session = Session()
    try:
        with pytest.raises(Terminal, match="caBundle") as caught:
            await session.transport(f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    finally:
        await session.close()

    assert caught.value.reason == Reason.CONFIG_INVALID

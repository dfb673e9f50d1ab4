"""Who has no hubs does not need the library for them, which is not to be had everywhere."""

import socket
import subprocess
import sys
import textwrap

import pytest

from berth.api.azure import Cloud, Credentials
from berth.api.iot_hub import IotEdgePlace
from berth.azure.connection import Connection
from berth.azure.hubs import Hubs
from berth.core.errors import Terminal, Transient

HOST = "plants.azure-devices.net"
KEY = "a2V5"
STRING = f"HostName={HOST};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"


def place(**fields: object) -> IotEdgePlace:
    return IotEdgePlace.model_validate({"hostName": HOST, "connectionStringRef": {"name": "hub"}, **fields})


def run(probe: str) -> str:
    printed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(probe)], check=True, capture_output=True, text=True
    )
    return printed.stdout.strip()


def test_container_groups_come_without_the_library_of_hubs() -> None:
    probe = """
        import asyncio, sys
        from berth.azure.clients import Clients

        async def main():
            clients = Clients()
            await clients._opened()
            await clients.close()

        asyncio.run(main())
        print([name for name in sys.modules if name.startswith(("azure.iot", "uamqp", "msrest"))])
    """
    assert run(probe) == "[]"


def test_where_there_is_no_library_a_sentence_says_so() -> None:
    probe = """
        import asyncio, sys
        sys.modules["azure.iot"] = None
        from berth.api.azure import Cloud, Credentials
        from berth.api.iot_hub import IotEdgePlace
        from berth.azure.clients import Clients
        from berth.core.errors import Terminal

        async def main():
            clients = Clients()
            try:
                await clients.iot_hub(IotEdgePlace(host_name="a.b"), Cloud(), Credentials(), None)
            except Terminal as error:
                print(error.reason, error.message)
            await clients.close()

        asyncio.run(main())
    """
    told = run(probe)
    assert told.startswith("TargetNotAvailable This operator cannot reach IoT hubs")
    assert "amd64" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks HostName"),
        ("HostName=a", "lacks HostName"),
        (STRING.replace(KEY, "no base64!"), "lacks HostName"),
        (STRING.replace(HOST, "other.azure-devices.net"), "is for other.azure-devices.net"),
    ],
)
async def test_a_connection_string_that_cannot_be_used_is_named_without_its_key(
    text: str, words: str
) -> None:
    connection = Connection(environment={})
    hubs = Hubs(connection)
    with pytest.raises(Terminal, match=words) as refusal:
        await hubs.get(place(), Cloud(), Credentials(), text)
    assert KEY not in refusal.value.message
    hubs.close()
    await connection.close()


async def test_the_same_hub_has_one_client_until_its_secret_changes() -> None:
    connection = Connection(environment={})
    hubs = Hubs(connection)
    one = await hubs.get(place(), Cloud(), Credentials(), STRING)
    assert await hubs.get(place(), Cloud(), Credentials(), STRING) is one
    assert await hubs.get(place(), Cloud(), Credentials(), STRING.replace(KEY, "b3RoZXI=")) is not one
    hubs.close()
    await connection.close()


async def test_two_who_share_a_hub_keep_a_client_each() -> None:
    connection = Connection(environment={})
    hubs = Hubs(connection)
    strings = [STRING, STRING.replace(KEY, "b3RoZXI=")]
    one, other = [await hubs.get(place(), Cloud(), Credentials(), each) for each in strings]
    assert [await hubs.get(place(), Cloud(), Credentials(), each) for each in strings] == [one, other]
    hubs.close()
    await connection.close()


@pytest.mark.parametrize(("number", "error"), [(socket.EAI_NONAME, Terminal), (socket.EAI_AGAIN, Transient)])
async def test_name_servers_that_are_away_do_not_make_a_hub_unknown(
    monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> object:
        raise socket.gaierror(number, "no answer")

    connection = Connection(environment={})
    hubs = Hubs(connection)
    client = await hubs.get(place(), Cloud(), Credentials(), STRING)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(error):
        await client.deployments()
    hubs.close()
    await connection.close()


async def test_without_any_identity_it_says_what_is_missing() -> None:
    connection = Connection(environment={})
    hubs = Hubs(connection)
    with pytest.raises(Terminal, match="no workload identity"):
        await hubs.get(place(connectionStringRef=None), Cloud(), Credentials(), None)
    hubs.close()
    await connection.close()

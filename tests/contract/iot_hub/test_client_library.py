"""What Microsoft's client library needs, and what of it works without its part in C."""

import asyncio
import importlib.metadata
import subprocess
import sys

import pytest
from iot_hub_emulator import HUB, Clients, base, connection_string

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint

WITHOUT_C = """
import importlib.machinery, importlib.util, sys, types

class NoC:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "uamqp":
            raise ImportError("there is no wheel of uamqp for this platform")

sys.meta_path.insert(0, NoC())
"""
BARE_PACKAGE = """
around = importlib.util.find_spec("azure.iot").submodule_search_locations
found = importlib.machinery.PathFinder.find_spec("azure.iot.hub", around)
package = types.ModuleType("azure.iot.hub")
package.__path__ = list(found.submodule_search_locations)
sys.modules["azure.iot.hub"] = package
"""
USE = """
from azure.iot.hub.auth import ConnectionStringAuthentication
from azure.iot.hub.iothub_configuration_manager import IoTHubConfigurationManager
from azure.iot.hub.protocol import IotHubGatewayServiceAPIs
from azure.iot.hub.protocol.models import QuerySpecification

connection, authority = sys.argv[1:]
manager = IoTHubConfigurationManager.from_connection_string(connection)
authentication = ConnectionStringAuthentication(connection)
hub = IotHubGatewayServiceAPIs(authentication, "https://" + authentication["HostName"])
for config in (manager.protocol.config, hub.config):
    config.connection.verify = authority
print(*[one.id for one in manager.get_configurations()])
query = QuerySpecification(query="SELECT deviceId FROM devices")
print(*[one.device_id for one in hub.query.get_twins(query)])
print(hub.modules.get_twin("press-1", "$edgeAgent").module_id)
print(hub.statistics.get_service_statistics().connected_device_count)
"""


def ran(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("module", ["azure.iot.hub", "azure.iot.hub.protocol", "azure.iot.hub.models"])
def test_nothing_of_the_library_is_imported_without_its_part_in_c(module: str) -> None:
    failed = ran(f"{WITHOUT_C}\nimport {module}")

    assert "there is no wheel of uamqp" in failed.stderr


async def test_all_that_speaks_https_works_where_the_package_imports_nothing_by_itself(
    azure: Azure, endpoint: Endpoint, clients: Clients
) -> None:
    await clients.create(base())
    azure.clock.advance(60)

    done = await asyncio.to_thread(
        ran, WITHOUT_C + BARE_PACKAGE + USE, connection_string(endpoint), str(endpoint.ca_file)
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["base", "press-1 press-2 oven-1", "$edgeAgent", "3"]
    assert azure.hubs.names() == [HUB]


def test_the_library_does_not_say_that_it_needs_six() -> None:
    declared = importlib.metadata.requires("azure-iot-hub") or []

    assert not any(requirement.startswith("six") for requirement in declared)
    assert "six" in ran(f"{WITHOUT_C.replace('uamqp', 'six')}\nimport azure.iot.hub").stderr

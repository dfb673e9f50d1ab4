import pytest

from berth_scoring.edge.identity import ModuleIdentity

ENVIRONMENT = {
    "IOTEDGE_WORKLOADURI": "unix:///var/run/iotedge/workload.sock",
    "IOTEDGE_APIVERSION": "2018-06-28",
    "IOTEDGE_MODULEGENERATIONID": "638",
    "IOTEDGE_MODULEID": "amlmodule",
    "IOTEDGE_DEVICEID": "dev1",
    "IOTEDGE_IOTHUBHOSTNAME": "hub.example",
    "IOTEDGE_GATEWAYHOSTNAME": "edgehub",
}


@pytest.fixture
def environment() -> dict[str, str]:
    return dict(ENVIRONMENT)


@pytest.fixture
def identity(environment: dict[str, str]) -> ModuleIdentity:
    return ModuleIdentity.from_environment(environment)

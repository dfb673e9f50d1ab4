"""Who this module is, as IoT Edge tells it by environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from berth_scoring import __version__
from berth_scoring.startup import StartupError

API_VERSION = "2019-10-01"
CLIENT_TYPE = quote(f"berth-scoring/{__version__}", safe="")
GIVEN = {
    "workload_uri": "IOTEDGE_WORKLOADURI",
    "generation": "IOTEDGE_MODULEGENERATIONID",
    "module": "IOTEDGE_MODULEID",
    "device": "IOTEDGE_DEVICEID",
    "hub": "IOTEDGE_IOTHUBHOSTNAME",
    "gateway": "IOTEDGE_GATEWAYHOSTNAME",
    "workload_version": "IOTEDGE_APIVERSION",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleIdentity:
    """A module on a device of a hub, and where the device offers its services."""

    hub: str
    device: str
    module: str
    generation: str
    gateway: str
    """The host name of the edge hub, which its certificate bears."""
    workload_uri: str
    workload_version: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read what the edge agent sets in every module."""
        if missing := [name for name in GIVEN.values() if not environment.get(name)]:
            raise StartupError(
                "EdgeIdentityMissing",
                f"edge is configured, but {', '.join(missing)} is not set:"
                " IoT Edge sets it in the modules that it starts",
            )
        return cls(**{field: environment[name] for field, name in GIVEN.items()})

    @property
    def client_id(self) -> str:
        """The name of the session at the hub."""
        return f"{self.device}/{self.module}"

    @property
    def username(self) -> str:
        """The user name of CONNECT."""
        return f"{self.hub}/{self.client_id}/?api-version={API_VERSION}&DeviceClientType={CLIENT_TYPE}"

    @property
    def resource(self) -> str:
        """What a token is for, as it is signed: already quoted."""
        return quote(f"{self.hub}/devices/{self.device}/modules/{self.module}", safe="")

"""All parts of the emulated Azure, put together."""

from dataclasses import dataclass, field
from pathlib import Path

from berth_sandbox.azure.backing import Backing
from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.directory import Directory
from berth_sandbox.azure.entra import Entra
from berth_sandbox.azure.faults import Faults
from berth_sandbox.azure.iot_hub.gateway import IotHubs
from berth_sandbox.azure.iot_hub.manifest_rules import Rules, own_rules
from berth_sandbox.azure.iot_hub.resources import HubResources
from berth_sandbox.azure.manager import ResourceManager
from berth_sandbox.azure.operations import Operations
from berth_sandbox.azure.requests import RequestLog
from berth_sandbox.azure.service import ContainerInstances
from berth_sandbox.azure.simulation import Simulation
from berth_sandbox.azure.throttle import Limits


@dataclass
class Azure:
    """An Azure without a network: the directory, the service, and what goes wrong on demand."""

    backing: Backing = field(default_factory=Simulation)
    clock: Clock = field(default_factory=Clock)
    limits: Limits = field(default_factory=Limits)
    page_size: int = 1000
    directory: Directory = field(default_factory=Directory)
    faults: Faults = field(default_factory=Faults)
    requests: RequestLog = field(default_factory=RequestLog)
    hubs: IotHubs = field(default_factory=IotHubs)
    manifest_rules: Rules = own_rules
    websites: dict[str, Path] = field(default_factory=dict)
    """Folders of files that are to be had under other names than Azure's."""
    service: ContainerInstances = field(init=False)
    manager: ResourceManager = field(init=False)
    entra: Entra = field(init=False)

    def __post_init__(self) -> None:
        self.service = ContainerInstances(self.backing, self.clock)
        hubs = HubResources(self.hubs).handlers()
        operations = Operations(self.service, self.faults, self.page_size, hubs)
        self.manager = ResourceManager(self.directory, self.service, operations, self.limits)
        self.entra = Entra(self.directory)

"""Hubs as Azure Resource Manager shows them: their edition, which they do not tell themselves."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from berth_sandbox.azure.errors import ArmError
from berth_sandbox.azure.http import Answer, Request
from berth_sandbox.azure.iot_hub.limits import Sku
from berth_sandbox.azure.names import Document
from berth_sandbox.azure.routes import RESOURCE_GROUP, SUBSCRIPTION, Route

if TYPE_CHECKING:
    from berth_sandbox.azure.iot_hub.gateway import IotHubs

TYPE = "Microsoft.Devices/IotHubs"
API_VERSION = "2023-06-30"
TIERS = {"F": "Free", "B": "Basic", "S": "Standard"}
Values = dict[str, str]
Handler = Callable[[Values, Request], Awaitable[Answer]]

ROUTES = (
    Route("IotHubResource_Get", "GET", f"{RESOURCE_GROUP}/providers/{TYPE}/{{hub}}", API_VERSION),
    Route("IotHubResource_ListBySubscription", "GET", f"{SUBSCRIPTION}/providers/{TYPE}", API_VERSION),
)


@dataclass(frozen=True)
class HubResource:
    """Where a hub is, and what it is called there and by its callers."""

    subscription: str
    resource_group: str
    name: str
    host: str
    region: str
    sku: Sku

    @property
    def id(self) -> str:
        """Return the resource id."""
        scope = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{scope}/providers/{TYPE}/{self.name}"

    def document(self) -> Document:
        """Return the resource."""
        return {
            "id": self.id,
            "name": self.name,
            "type": TYPE,
            "location": self.region,
            "tags": {},
            "etag": "AAAADGk=",
            "properties": {"state": "Active", "provisioningState": "Succeeded", "hostName": self.host},
            "sku": {"name": self.sku.name, "tier": TIERS[self.sku.name[0]], "capacity": self.sku.units},
        }


class HubResources:
    """Answers what Azure Resource Manager is asked of hubs."""

    def __init__(self, hubs: "IotHubs") -> None:
        self._hubs = hubs

    def handlers(self) -> dict[str, Handler]:
        """Return who answers which operation."""
        return {"IotHubResource_Get": self._get, "IotHubResource_ListBySubscription": self._list}

    async def _get(self, values: Values, _: Request) -> Answer:
        name, group = values["hub"].lower(), values["resource_group"].lower()
        for resource in self._of(values["subscription"]):
            if (resource.name.lower(), resource.resource_group.lower()) == (name, group):
                return Answer(200, resource.document())
        raise ArmError(404, "ResourceNotFound", f"The Resource '{TYPE}/{values['hub']}' was not found.")

    async def _list(self, values: Values, _: Request) -> Answer:
        return Answer(200, {"value": [resource.document() for resource in self._of(values["subscription"])]})

    def _of(self, subscription: str) -> list[HubResource]:
        resources = (self._hubs.resource(name) for name in self._hubs.names())
        return [one for one in resources if one and one.subscription.lower() == subscription.lower()]

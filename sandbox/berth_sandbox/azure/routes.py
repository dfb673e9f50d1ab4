"""Which request is which operation, as Microsoft's description of the service has it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from berth_sandbox.azure.names import API_VERSION, CONTAINER_GROUPS, PROVIDER

SUBSCRIPTION = "/subscriptions/{subscription}"
RESOURCE_GROUP = f"{SUBSCRIPTION}/resourceGroups/{{resource_group}}"
GROUPS = f"{RESOURCE_GROUP}/providers/{CONTAINER_GROUPS}"
GROUP = f"{GROUPS}/{{group}}"
CONTAINER = f"{GROUP}/containers/{{container}}"
LOCATION = f"{SUBSCRIPTION}/providers/{PROVIDER}/locations/{{location}}"
SUBNET = f"{RESOURCE_GROUP}/providers/Microsoft.Network/virtualNetworks/{{network}}/subnets/{{subnet}}"


@dataclass(frozen=True)
class Route:
    """An operation by its id, method and path; without an `api_version` it takes any."""

    operation: str
    method: str
    path: str
    api_version: str = API_VERSION

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Return the expression that matches the paths."""
        parts = re.split(r"\{(\w+)\}", self.path)
        names = [f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)]
        return re.compile("".join(names), re.IGNORECASE)


@dataclass(frozen=True)
class Match:
    """An operation and the values in its path."""

    operation: str
    values: dict[str, str]
    api_version: str = API_VERSION


ROUTES = (
    Route("ContainerGroups_List", "GET", f"{SUBSCRIPTION}/providers/{CONTAINER_GROUPS}"),
    Route("ContainerGroups_ListByResourceGroup", "GET", GROUPS),
    Route("ContainerGroups_Get", "GET", GROUP),
    Route("ContainerGroups_CreateOrUpdate", "PUT", GROUP),
    Route("ContainerGroups_Update", "PATCH", GROUP),
    Route("ContainerGroups_Delete", "DELETE", GROUP),
    Route("ContainerGroups_Restart", "POST", f"{GROUP}/restart"),
    Route("ContainerGroups_Stop", "POST", f"{GROUP}/stop"),
    Route("ContainerGroups_Start", "POST", f"{GROUP}/start"),
    Route(
        "ContainerGroups_GetOutboundNetworkDependenciesEndpoints",
        "GET",
        f"{GROUP}/outboundNetworkDependenciesEndpoints",
    ),
    Route("Containers_ListLogs", "GET", f"{CONTAINER}/logs"),
    Route("Containers_ExecuteCommand", "POST", f"{CONTAINER}/exec"),
    Route("Containers_Attach", "POST", f"{CONTAINER}/attach"),
    Route("Operations_List", "GET", f"/providers/{PROVIDER}/operations"),
    Route("Location_ListUsage", "GET", f"{LOCATION}/usages"),
    Route("Location_ListCachedImages", "GET", f"{LOCATION}/cachedImages"),
    Route("Location_ListCapabilities", "GET", f"{LOCATION}/capabilities"),
    Route("Operation_Get", "GET", f"{LOCATION}/operations/{{operation}}", ""),
    Route(
        "SubnetServiceAssociationLink_Delete",
        "DELETE",
        f"{SUBNET}/providers/{PROVIDER}/serviceAssociationLinks/default",
    ),
)


def match(method: str, path: str, routes: Sequence[Route] = ROUTES) -> Match | None:
    """Return the operation that is asked for."""
    for route in routes:
        found = route.pattern.fullmatch(path) if route.method == method else None
        if found:
            values = {name: unquote(value) for name, value in found.groupdict().items()}
            return Match(route.operation, values, route.api_version)
    return None

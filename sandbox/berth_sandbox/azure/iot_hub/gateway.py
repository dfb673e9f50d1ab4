"""IoT Hub's own interface: whose hub is asked, by whom, and how often."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from berth_sandbox.azure.http import Answer, Asked, Request
from berth_sandbox.azure.iot_hub.access import Access
from berth_sandbox.azure.iot_hub.errors import HubError, invalid_argument
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.iot_hub.limits import Rates, Throttle
from berth_sandbox.azure.iot_hub.operations import OPERATIONS, Call
from berth_sandbox.azure.iot_hub.resources import HubResource
from berth_sandbox.azure.iot_hub.routes import ROOTS, ROUTES
from berth_sandbox.azure.routes import Match, match

API_VERSIONS = ("2020-03-13", "2021-04-12")
PORT = re.compile(r":\d+$")
HEADERS: Mapping[str, str] = MappingProxyType({"Server": "Microsoft-HTTPAPI/2.0", "Vary": "Origin"})


@dataclass(frozen=True)
class Served:
    """A hub, who may use it, and how often."""

    hub: Hub
    access: Access
    throttle: Throttle
    resource: HubResource | None = None


class IotHubs:
    """Answers requests to hubs, which are told apart by the name of the host that is asked."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._served: dict[str, Served] = {}
        self._hosts: dict[str, str] = {}

    def serve(
        self, hub: Hub, access: Access, hosts: list[str], rates: Rates, resource: HubResource | None = None
    ) -> None:
        """Answer for a hub under some host names."""
        throttle = Throttle(hub.sku, rates, self._elapsed)
        self._served[hub.name] = Served(hub, access, throttle, resource)
        self._hosts |= {host.lower(): hub.name for host in hosts}

    def hub(self, name: str) -> Hub:
        """Return a hub by its name."""
        return self._served[name].hub

    def all(self) -> list[Hub]:
        """Return all hubs."""
        return [served.hub for served in self._served.values()]

    def access(self, name: str) -> Access:
        """Return who may use a hub."""
        return self._served[name].access

    def resource(self, name: str) -> HubResource | None:
        """Return what Azure Resource Manager knows of a hub, if it does."""
        return self._served[name].resource

    def names(self) -> list[str]:
        """Name every hub."""
        return sorted(self._served)

    def asked(self, request: Request) -> Asked | None:
        """Tell whether a hub is asked, for what, and by whom, if they are known."""
        served = self._asked(request)
        if served is None:
            return None
        found = match(request.method, request.path, ROUTES)
        try:
            principal: str | None = served.access.principal(request)[0]
        except HubError:
            principal = None
        return Asked(found.operation if found else "", principal)

    async def answer(self, request: Request) -> Answer:
        """Answer a request, with an error if it comes to that."""
        try:
            return self._answer(request)
        except HubError as error:
            return Answer(error.status, error.document(), error.headers)

    @staticmethod
    def refused(status: int, code: str, message: str) -> Answer:
        """Say no in the words of a hub."""
        error = HubError(status, code, message)
        return Answer(status, error.document(), error.headers)

    @staticmethod
    def common_headers() -> Mapping[str, str]:
        """Return the headers of every answer."""
        return HEADERS

    def _answer(self, request: Request) -> Answer:
        served = self._asked(request)
        if served is None:
            raise HubError(404, "IotHubNotFound", "IoT hub not found.")
        found = _found(request)
        operation = OPERATIONS[found.operation]
        served.access.check(request, operation.right)
        if not operation.is_basic:
            served.hub.sku.check_standard()
        served.throttle.admit(operation.limit)
        return operation.handle(Call(served.hub, found.values, request))

    def _asked(self, request: Request) -> Served | None:
        if request.path.split("/")[1] not in ROOTS:
            return None
        host = PORT.sub("", request.headers.get("host", "")).lower()
        return self._served.get(self._hosts.get(host, ""))


def _found(request: Request) -> Match:
    found = match(request.method, request.path, ROUTES)
    if found is None:
        raise HubError(404, "NotFound", f"Nothing answers {request.method} {request.path}.")
    if request.query.get("api-version") not in API_VERSIONS:
        raise invalid_argument("The api-version is missing or not supported.")
    return found

"""The operations of a hub, from what a request says to what the answer says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from berth_sandbox.azure.http import Answer, Request
from berth_sandbox.azure.iot_hub import shapes
from berth_sandbox.azure.iot_hub.access import READ_REGISTRY, SERVICE, WRITE_REGISTRY
from berth_sandbox.azure.iot_hub.errors import invalid_argument
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.iot_hub.metrics import LARGEST_PAGE
from berth_sandbox.azure.iot_hub.shapes import checked
from berth_sandbox.azure.names import Document

MOST_DEVICES = 1000


@dataclass(frozen=True)
class Call:
    """A request to a hub, and the values in its path."""

    hub: Hub
    values: dict[str, str]
    request: Request

    @property
    def device(self) -> str:
        """Return the device that is meant."""
        return self.values["device"]

    @property
    def module(self) -> tuple[str, str]:
        """Return the module that is meant, and its device."""
        return self.values["device"], self.values["module"]

    @property
    def configuration(self) -> str:
        """Return the configuration that is meant."""
        return self.values["configuration"]

    @property
    def if_match(self) -> str | None:
        """Return which version the request insists on."""
        return self.request.headers.get("if-match")

    def body(self, shape: Document) -> Document:
        """Return what was sent, which has to be of that shape."""
        return checked(shape, self.request.body)

    def top(self, most: int) -> int:
        """Return how many are asked for."""
        asked = self.request.query.get("top", str(most))
        if not asked.isdigit():
            raise invalid_argument("top is a number.")
        return min(int(asked), most)


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Operation:
    """What an operation takes: a right, a share of a limit, and the standard tier."""

    handle: Handler
    right: str
    limit: str
    is_basic: bool = False


def _test_queries(call: Call) -> Answer:
    body = call.body(shapes.QUERIES)
    condition, queries = body.get("targetCondition"), body.get("customMetricQueries")
    return Answer(200, call.hub.test_queries(condition or "", queries or {}))


def _delete_configuration(call: Call) -> Answer:
    call.hub.delete_configuration(call.configuration, call.if_match)
    return Answer(204)


def _apply(call: Call) -> Answer:
    call.hub.apply(call.device, call.body(shapes.CONTENT))
    return Answer(204)


def _query(call: Call) -> Answer:
    asked = call.request.headers.get("x-ms-max-item-count", str(LARGEST_PAGE))
    if not asked.isdigit() or int(asked) < 1:
        raise invalid_argument("x-ms-max-item-count is a number from 1 on.")
    text = call.body(shapes.QUERY)["query"]
    page = call.hub.query(text, int(asked), call.request.headers.get("x-ms-continuation"))
    more = {"x-ms-continuation": page.continuation} if page.continuation else {}
    return Answer(200, page.items, {"x-ms-item-type": page.item_type, **more})


def _delete_device(call: Call) -> Answer:
    call.hub.delete_device(call.device, call.if_match)
    return Answer(204)


def _delete_module(call: Call) -> Answer:
    call.hub.delete_module(*call.module)
    return Answer(204)


def _tagged(read: Callable[[Call], Document]) -> Handler:
    """Answer with a document and its ETag."""

    def answer(call: Call) -> Answer:
        document = read(call)
        return Answer(200, document, {"ETag": f'"{document["etag"]}"'})

    return answer


def _plain(read: Callable[[Call], Any]) -> Handler:
    """Answer with what is read."""
    return lambda call: Answer(200, read(call))


OPERATIONS = {
    "Configuration_GetConfigurations": Operation(
        _plain(lambda call: call.hub.configurations(call.top(call.hub.sku.configurations))),
        READ_REGISTRY,
        "configurations",
    ),
    "Configuration_TestQueries": Operation(_test_queries, READ_REGISTRY, "configurations"),
    "Configuration_Get": Operation(
        _tagged(lambda call: call.hub.configuration(call.configuration)), READ_REGISTRY, "configurations"
    ),
    "Configuration_CreateOrUpdate": Operation(
        _tagged(
            lambda call: call.hub.put_configuration(
                call.configuration, call.body(shapes.CONFIGURATION), call.if_match
            )
        ),
        WRITE_REGISTRY,
        "configurations",
    ),
    "Configuration_Delete": Operation(_delete_configuration, WRITE_REGISTRY, "configurations"),
    "Configuration_ApplyOnEdgeDevice": Operation(_apply, WRITE_REGISTRY, "configurations"),
    "Statistics_GetDeviceStatistics": Operation(
        _plain(lambda call: call.hub.statistics()[0]), READ_REGISTRY, "registry", is_basic=True
    ),
    "Statistics_GetServiceStatistics": Operation(
        _plain(lambda call: call.hub.statistics()[1]), SERVICE, "registry", is_basic=True
    ),
    "Query_GetTwins": Operation(_query, SERVICE, "queries"),
    "Devices_GetDevices": Operation(
        _plain(lambda call: call.hub.identities(call.top(MOST_DEVICES))),
        READ_REGISTRY,
        "registry",
        is_basic=True,
    ),
    "Devices_GetIdentity": Operation(
        _tagged(lambda call: call.hub.identity(call.device)), READ_REGISTRY, "registry", is_basic=True
    ),
    "Devices_CreateOrUpdateIdentity": Operation(
        _tagged(lambda call: call.hub.put_device(call.device, call.body(shapes.DEVICE), call.if_match)),
        WRITE_REGISTRY,
        "registry",
        is_basic=True,
    ),
    "Devices_DeleteIdentity": Operation(_delete_device, WRITE_REGISTRY, "registry", is_basic=True),
    "Modules_GetModulesOnDevice": Operation(
        _plain(lambda call: call.hub.modules(call.device)), READ_REGISTRY, "registry"
    ),
    "Modules_GetIdentity": Operation(
        _tagged(lambda call: call.hub.module(*call.module)), READ_REGISTRY, "registry"
    ),
    "Modules_CreateOrUpdateIdentity": Operation(
        _tagged(lambda call: call.hub.put_module(*call.module)), WRITE_REGISTRY, "registry"
    ),
    "Modules_DeleteIdentity": Operation(_delete_module, WRITE_REGISTRY, "registry"),
    "Devices_GetTwin": Operation(_tagged(lambda call: call.hub.twin(call.device)), SERVICE, "twin reads"),
    "Devices_UpdateTwin": Operation(
        _tagged(lambda call: call.hub.change_twin(call.device, call.body(shapes.TWIN), call.if_match)),
        SERVICE,
        "twin updates",
    ),
    "Modules_GetTwin": Operation(
        _tagged(lambda call: call.hub.module_twin(*call.module)), SERVICE, "twin reads"
    ),
}

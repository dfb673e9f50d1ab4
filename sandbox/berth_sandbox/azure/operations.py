"""The operations of the service, from what a request says to what the answer says."""

import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from berth_sandbox.azure.errors import bad_request
from berth_sandbox.azure.faults import FailOperation, Faults, SlowDelete, StickPending
from berth_sandbox.azure.group import Failure, Fate, Stuck
from berth_sandbox.azure.http import Answer, Request
from berth_sandbox.azure.names import (
    API_VERSION,
    CONTAINER_GROUPS,
    OPERATIONS_API_VERSION,
    PROVIDER,
    Document,
    GroupId,
)
from berth_sandbox.azure.service import Accepted, ContainerInstances

CACHED_IMAGES = [{"osType": "Linux", "image": image} for image in ("alpine:3.6", "ubuntu:16.04")]
VERBS = ("read", "write", "delete", "start/action", "stop/action", "restart/action")

Values = dict[str, str]
Handler = Callable[[Values, Request], Awaitable[Answer]]
NO_HANDLERS: Mapping[str, Handler] = MappingProxyType({})


class Operations:
    """Performs operations by their id in Microsoft's description."""

    def __init__(
        self,
        service: ContainerInstances,
        faults: Faults,
        page_size: int,
        others: Mapping[str, Handler] = NO_HANDLERS,
    ) -> None:
        self._service = service
        self._faults = faults
        self._page_size = page_size
        self._handlers: dict[str, Handler] = {
            "ContainerGroups_List": self._list,
            "ContainerGroups_ListByResourceGroup": self._list,
            "ContainerGroups_Get": self._get,
            "ContainerGroups_CreateOrUpdate": self._create_or_update,
            "ContainerGroups_Update": self._update,
            "ContainerGroups_Delete": self._delete,
            "ContainerGroups_Restart": self._restart,
            "ContainerGroups_Stop": self._stop,
            "ContainerGroups_Start": self._start,
            "ContainerGroups_GetOutboundNetworkDependenciesEndpoints": self._outbound,
            "Containers_ListLogs": self._logs,
            "Containers_ExecuteCommand": self._web_socket,
            "Containers_Attach": self._web_socket,
            "Operations_List": self._operations,
            "Location_ListUsage": self._usages,
            "Location_ListCachedImages": self._cached_images,
            "Location_ListCapabilities": self._capabilities,
            "Operation_Get": self._operation,
            "SubnetServiceAssociationLink_Delete": self._delete_link,
            **others,
        }

    async def perform(self, operation: str, values: Values, request: Request) -> Answer:
        """Perform an operation on what the values of the path name."""
        return await self._handlers[operation](values, request)

    async def _list(self, values: Values, request: Request) -> Answer:
        groups = await self._service.list_groups(values["subscription"], values.get("resource_group"))
        begin = int(request.query.get("$skiptoken", "0"))
        end = begin + self._page_size
        page: Document = {"value": groups[begin:end]}
        if end < len(groups):
            link = f"{request.origin}{request.path}?api-version={API_VERSION}&%24skiptoken={end}"
            page["nextLink"] = link
        return Answer(200, page)

    async def _get(self, values: Values, _: Request) -> Answer:
        return Answer(200, await self._service.get(_group(values)))

    async def _create_or_update(self, values: Values, request: Request) -> Answer:
        group, fate = _group(values), self._fate(request)
        return _accepted(await self._service.create_or_update(group, _object(request), fate), group, request)

    async def _update(self, values: Values, request: Request) -> Answer:
        return Answer(200, await self._service.update_tags(_group(values), _object(request)))

    async def _delete(self, values: Values, request: Request) -> Answer:
        group, slow = _group(values), self._faults.take(SlowDelete, request.method, request.path)
        return _accepted(await self._service.delete(group, slow.seconds if slow else None), group, request)

    async def _restart(self, values: Values, request: Request) -> Answer:
        return _accepted(await self._service.restart(_group(values)), _group(values), request)

    async def _stop(self, values: Values, request: Request) -> Answer:
        return _accepted(await self._service.stop(_group(values)), _group(values), request)

    async def _start(self, values: Values, request: Request) -> Answer:
        return _accepted(await self._service.start(_group(values)), _group(values), request)

    async def _outbound(self, values: Values, _: Request) -> Answer:
        await self._service.get(_group(values))
        return Answer(200, [])

    async def _logs(self, values: Values, request: Request) -> Answer:
        tail = request.query.get("tail")
        document = await self._service.logs(
            _group(values),
            values["container"],
            tail=int(tail) if tail else None,
            timestamps=request.query.get("timestamps", "").lower() == "true",
        )
        return Answer(200, document)

    async def _web_socket(self, values: Values, request: Request) -> Answer:
        await self._service.check_container(_group(values), values["container"])
        address = f"{request.origin.replace('https:', 'wss:')}/exec/{uuid.uuid4()}"
        return Answer(200, {"webSocketUri": address, "password": secrets.token_urlsafe(16)})

    async def _operations(self, _: Values, __: Request) -> Answer:
        return Answer(200, {"value": [_described(f"{CONTAINER_GROUPS}/{verb}") for verb in VERBS]})

    async def _usages(self, values: Values, _: Request) -> Answer:
        return Answer(200, self._service.usages(values["subscription"], values["location"]))

    async def _cached_images(self, values: Values, _: Request) -> Answer:
        self._service.region(values["location"])
        return Answer(200, {"value": CACHED_IMAGES})

    async def _capabilities(self, values: Values, _: Request) -> Answer:
        return Answer(200, self._service.region(values["location"]).capabilities_document())

    async def _operation(self, values: Values, _: Request) -> Answer:
        return Answer(200, await self._service.operation(values["subscription"], values["operation"]))

    async def _delete_link(self, _: Values, __: Request) -> Answer:
        return Answer(204)

    def _fate(self, request: Request) -> Fate:
        if self._faults.take(StickPending, request.method, request.path):
            return Stuck()
        failing = self._faults.take(FailOperation, request.method, request.path)
        return Failure(failing.code, failing.message, failing.after) if failing else None


def _group(values: Values) -> GroupId:
    return GroupId(values["subscription"], values["resource_group"], values["group"])


def _object(request: Request) -> Document:
    if not isinstance(request.body, dict):
        raise bad_request(
            "InvalidRequestContent", "The request content was invalid and could not be deserialized."
        )
    return request.body


def _accepted(accepted: Accepted, group: GroupId, request: Request) -> Answer:
    if accepted.operation is None:
        return Answer(accepted.status, accepted.document)
    where = f"/subscriptions/{group.subscription}/providers/{PROVIDER}/locations/{accepted.location}"
    url = f"{request.origin}{where}/operations/{accepted.operation}?api-version={OPERATIONS_API_VERSION}"
    return Answer(accepted.status, accepted.document, {"Azure-AsyncOperation": url})


def _described(operation: str) -> Document:
    verb = operation.removeprefix(f"{CONTAINER_GROUPS}/")
    display = {
        "provider": PROVIDER,
        "resource": "Container Group",
        "operation": verb,
        "description": f"The operation {verb} on container groups.",
    }
    return {"name": operation, "display": display, "origin": "User"}

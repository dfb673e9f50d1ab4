"""Container groups of one subscription: JSON in and out, one request for each call or page, no waiting."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson
from azure.core.exceptions import DecodeError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import ContentDecodePolicy
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient

from berth.azure.clouds import Addresses
from berth.azure.credentials import SignIn
from berth.azure.gate import Answer, Gate
from berth.azure.limits import Budget
from berth.azure.pipeline import policies
from berth.azure.session import Transport

Object = dict[str, Any]

_REMAINING = "x-ms-ratelimit-remaining-subscription-"
_LOG_LINES = 50


class ContainerGroups:
    """The operations of one subscription's container groups.

    The methods raise `Terminal`, `Transient`, `Immutable`, `Gone` and `Postponed`. What was lost with its
    connection aiohttp asks for again, once: a PUT that was carried out may be told that it is in transition.
    """

    def __init__(
        self, subscription: str, where: Addresses, credential: SignIn, transport: Transport, gate: Gate
    ) -> None:
        client = ContainerInstanceManagementClient(
            credential,
            subscription,
            where.resource_manager,
            transport=transport,
            credential_scopes=[where.scope],
            policies=policies(credential, where.scope),
        )
        self._groups = client.container_groups
        self._containers = client.containers
        self._locations = client.location
        self._gate = gate

    async def put(self, resource_group: str, name: str, body: Object) -> Answer:
        """Create or change a group, and return it as it is when its operation has begun."""
        begin = self._groups.begin_create_or_update
        return await self._begin("put", Budget.WRITES, begin, resource_group, name, orjson.dumps(body))

    async def get(self, resource_group: str, name: str) -> Answer:
        """Read a group with its instance view."""
        return await self._ask("get", Budget.READS, self._groups.get, resource_group, name)

    async def delete(self, resource_group: str, name: str) -> Answer:
        """Begin to delete a group; it is gone when `get` says so."""
        return await self._begin("delete", Budget.DELETES, self._groups.begin_delete, resource_group, name)

    async def tag(self, resource_group: str, name: str, tags: Mapping[str, str]) -> Answer:
        """Replace the tags of a group, which restarts nothing."""
        body = orjson.dumps({"tags": dict(tags)})
        return await self._ask("tag", Budget.WRITES, self._groups.update, resource_group, name, body)

    async def start(self, resource_group: str, name: str) -> Answer:
        """Begin to start the containers of a group that was stopped."""
        return await self._begin("start", Budget.WRITES, self._groups.begin_start, resource_group, name)

    async def restart(self, resource_group: str, name: str) -> Answer:
        """Begin to restart all containers of a group."""
        return await self._begin("restart", Budget.WRITES, self._groups.begin_restart, resource_group, name)

    async def logs(self, resource_group: str, name: str, container: str, tail: int = _LOG_LINES) -> str:
        """Read the last lines that a container wrote."""
        read = partial(self._containers.list_logs, tail=tail)
        answer = await self._ask("logs", Budget.READS, read, resource_group, name, container)
        return str(answer.body.get("content") or "")

    async def list_by_resource_group(self, resource_group: str) -> Answer:
        """Read all groups of a resource group, without their instance views."""
        return await self._list("list", self._groups.list_by_resource_group, resource_group)

    async def usages(self, location: str) -> Answer:
        """Read what is used of each quota in a region."""
        return await self._list("usages", self._locations.list_usage, location)

    async def capabilities(self, location: str) -> Answer:
        """Read how large a group may be in a region."""
        return await self._list("capabilities", self._locations.list_capabilities, location)

    async def _ask(
        self, operation: str, budget: Budget, method: Callable[..., Awaitable[object]], *args: object
    ) -> Answer:
        return await self._gate.call(operation, budget, partial(_answered, partial(method, *args)))

    async def _begin(
        self, operation: str, budget: Budget, method: Callable[..., Awaitable[object]], *args: object
    ) -> Answer:
        return await self._ask(operation, budget, partial(method, polling=False), *args)

    async def _list(self, operation: str, method: Callable[..., Any], *args: object) -> Answer:
        """Read page by page, since each of them is a request."""
        pages = _Pages(method, *args)
        items: list[Object] = []
        while True:
            answer = await self._gate.call(operation, Budget.READS, pages.next)
            items += answer.body.get("value") or ()
            if pages.is_at_end:
                return Answer(answer.status, {"value": items}, answer.remaining)


class _Receiver:
    """Takes an answer before the library makes models of it, which lack some fields and take long to make."""

    answer: Answer

    def __call__(self, response: PipelineResponse[Any, Any]) -> None:
        """Keep the answer, and leave to the library what it needs to go on."""
        http, body = response.http_response, response.context.get(ContentDecodePolicy.CONTEXT_NAME)
        if http.status_code >= HTTPStatus.BAD_REQUEST or body is None:
            body = {}
        elif not isinstance(body, dict):
            raise DecodeError("Something else than JSON", response=http)
        self.answer = Answer(http.status_code, body, _remaining(http.headers))
        rest: Object = {"value": [], "nextLink": body.get("nextLink")}
        response.context[ContentDecodePolicy.CONTEXT_NAME] = rest


class _Pages:
    """The pages of a list, as they came."""

    def __init__(self, method: Callable[..., Any], *args: object) -> None:
        self._receiver = _Receiver()
        self._pages = method(*args, raw_response_hook=self._receiver).by_page()

    @property
    def is_at_end(self) -> bool:
        return self._pages.continuation_token is None

    async def next(self) -> Answer:
        await anext(self._pages)
        return self._receiver.answer


async def _answered(method: Callable[..., Awaitable[object]]) -> Answer:
    receiver = _Receiver()
    await method(raw_response_hook=receiver)
    return receiver.answer


def _remaining(headers: Mapping[str, str]) -> dict[str, int]:
    named = ((name.lower(), count) for name, count in headers.items())
    return {
        name.removeprefix(_REMAINING): int(count)
        for name, count in named
        if name.startswith(_REMAINING) and count.isdigit()
    }

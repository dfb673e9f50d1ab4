"""One IoT hub by the library of its service: JSON in and out, one request for each call, no retries.

The library blocks, so that its calls run in threads of a pool that all hubs share.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from http import HTTPStatus
from typing import Any

from azure.core.exceptions import HttpResponseError, ODataV4Format, ServiceRequestError
from azure.iot.hub import IoTHubConfigurationManager
from azure.iot.hub.auth import ConnectionStringAuthentication
from azure.iot.hub.models import Configuration, ConfigurationContent, ConfigurationMetrics, QuerySpecification
from azure.iot.hub.protocol.models import ConfigurationQueriesTestInput
from msrest.authentication import BasicTokenAuthentication
from msrest.exceptions import ClientException, ClientRequestError, HttpOperationError

from berth.azure.credentials import SignIn
from berth.azure.gate import Answer, Gate
from berth.azure.limits import Budget

SCOPE = "https://iothubs.azure.net/.default"
MOST_DEPLOYMENTS = 100
_LARGEST_PAGE = 100

_CONNECT_SECONDS, _READ_SECONDS = 5, 20
_CONTINUATION = "x-ms-continuation"
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

Object = dict[str, Any]


class HeldToken(BasicTokenAuthentication):
    """Shows the token that was got for it: the library signs in a thread, where nothing may be awaited."""

    def __init__(self, sign_in: SignIn) -> None:
        super().__init__({})
        self._sign_in = sign_in

    async def refresh(self) -> str:
        """Get a token, which is asked for only when the last one is about to expire, and return it."""
        token = (await self._sign_in.get_token(SCOPE)).token
        self.token = {"access_token": token}
        return token

    def discard(self, token: str) -> bool:
        """Give up a token that the hub has refused; tells whether another one is worth a try."""
        return self._sign_in.discard(token)


class IotHub:
    """The operations of one hub; they raise `Terminal`, `Transient`, `Gone` and `Postponed`."""

    def __init__(
        self,
        host_name: str,
        authentication: ConnectionStringAuthentication | HeldToken,
        gate: Gate,
        threads: Executor,
        *,
        ca_file: str | None = None,
    ) -> None:
        self._token = authentication if isinstance(authentication, HeldToken) else None
        manager = IoTHubConfigurationManager(host=host_name, auth=authentication)
        self._protocol = manager.protocol
        self._protocol.config.connection.timeout = (_CONNECT_SECONDS, _READ_SECONDS)
        self._protocol.config.retry_policy.retries = 0
        if ca_file:
            self._protocol.config.connection.verify = ca_file
        self._host_name = host_name
        self._gate = gate
        self._threads = threads

    async def deployments(self) -> list[Object]:
        """Read all deployments, of whomever, with what the hub has counted for each."""
        call = partial(self._protocol.configuration.get_configurations, MOST_DEPLOYMENTS)
        return list((await self._ask("list", Budget.CONFIGURATIONS, call)).body["value"])

    async def create(self, document: Object) -> None:
        """Make a deployment; raises Transient where there is one already, which the next look shows."""
        call = partial(
            self._protocol.configuration.create_or_update, document["id"], _configuration(document)
        )
        await self._ask("create", Budget.CONFIGURATIONS, call)

    async def update(self, document: Object, etag: str) -> None:
        """Change what may change; raises Transient where someone was faster."""
        put = self._protocol.configuration.create_or_update
        call = partial(put, document["id"], _configuration(document), f'"{etag}"')
        await self._ask("update", Budget.CONFIGURATIONS, call)

    async def delete(self, deployment: str, etag: str) -> None:
        """Delete a deployment as it was seen; raises Gone, or Transient where someone has changed it."""
        call = partial(self._protocol.configuration.delete, deployment, f'"{etag}"')
        await self._ask("delete", Budget.CONFIGURATIONS, call)

    async def test(self, condition: str, metrics: Mapping[str, str]) -> Object:
        """Let the hub read a condition and queries, and return what is wrong with each."""
        given = ConfigurationQueriesTestInput(target_condition=condition, custom_metric_queries=dict(metrics))
        call = partial(self._protocol.configuration.test_queries, given)
        return (await self._ask("test", Budget.CONFIGURATIONS, call)).body

    async def query(self, query: str, *, most: int) -> list[Object]:
        """Read what a query finds, so many items at most; a page may hold fewer, and others follow."""
        found: list[Object] = []
        token: str | None = None
        specification, size = QuerySpecification(query=query), str(min(most, _LARGEST_PAGE))
        while len(found) < most:
            call = partial(self._protocol.query.get_twins, specification, token, size)
            answer = await self._ask("query", Budget.QUERIES, call)
            found += answer.body["value"]
            token = answer.body["continuation"]
            if not token:
                break
        return found[:most]

    async def devices(self) -> Object:
        """Count the devices that the hub knows."""
        call = self._protocol.statistics.get_device_statistics
        return (await self._ask("devices", Budget.REGISTRY, call)).body

    async def connected(self) -> Object:
        """Count the devices that are connected."""
        call = self._protocol.statistics.get_service_statistics
        return (await self._ask("connected", Budget.REGISTRY, call)).body

    async def _ask(self, operation: str, budget: Budget, call: Callable[..., Any]) -> Answer:
        return await self._gate.call(operation, budget, partial(self._send, call))

    async def _send(self, call: Callable[..., Any]) -> Answer:
        """Send a request, and once more with a new token where the hub refuses the one that was kept."""
        if self._token is None:
            return await self._carried_out(call)
        shown = await self._token.refresh()
        try:
            return await self._carried_out(call)
        except HttpResponseError as error:
            if error.status_code != HTTPStatus.UNAUTHORIZED or not self._token.discard(shown):
                raise
        await self._token.refresh()
        return await self._carried_out(call)

    async def _carried_out(self, call: Callable[..., Any]) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(_answered, call, self._host_name))


def _answered(call: Callable[..., Any], host_name: str) -> Answer:
    """Carry a call out, and say what went wrong in the words of Azure's other libraries."""
    try:
        response = call(raw=True).response
    except HttpOperationError as error:
        raise _refusal(error.response) from error
    except ClientRequestError as error:
        if _is_unknown(error):
            raise _refused(HTTPStatus.NOT_FOUND, "HubNotFound", f"No hub is known as {host_name}") from error
        raise ServiceRequestError(str(error), error=_innermost(error)) from error
    except ClientException as error:
        raise ServiceRequestError(str(error), error=error) from error
    value = response.json() if response.content else {}
    body = {"value": value} if isinstance(value, list) else value
    return Answer(response.status_code, {**body, "continuation": response.headers.get(_CONTINUATION)})


def _configuration(document: Object) -> Configuration:
    return Configuration(
        id=document["id"],
        schema_version=document["schemaVersion"],
        labels=document["labels"],
        content=ConfigurationContent(modules_content=document["content"]["modulesContent"]),
        target_condition=document["targetCondition"],
        priority=document["priority"],
        metrics=ConfigurationMetrics(queries=document["metrics"]["queries"]),
    )


def _refusal(response: Any) -> HttpResponseError:  # noqa: ANN401 - of the library beneath
    code = response.headers.get("iothub-errorcode", "")
    try:
        told = str(json.loads(response.text).get("Message") or "")
    except (ValueError, AttributeError):
        told = ""
    words = told.partition(";")[2] if told.startswith("ErrorCode:") else told
    return _refused(response.status_code, code, words, response)


def _refused(status: int, code: str, words: str, response: Any = None) -> HttpResponseError:  # noqa: ANN401 - of the library beneath
    error = HttpResponseError(words or code or f"The hub answered {status}")
    error.status_code, error.response = status, response
    error.error = ODataV4Format({"code": code, "message": words})
    return error


def _is_unknown(error: BaseException) -> bool:
    """Tell whether the name of the hub leads nowhere, and not only the way to the name servers."""
    cause = _innermost(error)
    return isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_NAME


def _innermost(error: BaseException) -> BaseException:
    """Return the first cause: the library, requests and urllib3 wrap it, each in its own way."""
    inner: object = getattr(error, "inner_exception", None) or getattr(error, "reason", None)
    for candidate in (inner, *getattr(error, "args", ()), error.__cause__, error.__context__):
        if isinstance(candidate, BaseException) and candidate is not error:
            return _innermost(candidate)
    return error

"""A thin client of the Kubernetes API: a few verbs, plain dicts, typed errors, no retries."""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from berth.core.errors import Transient
from berth.core.keys import Key
from berth.kube.connection import Connection
from berth.kube.failures import failure
from berth.plan.observed import FIELD_MANAGER, key_of
from berth.plan.resources import Resource

Object = dict[str, Any]

_APPLY = {"Content-Type": "application/apply-patch+yaml"}
_MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
_JSON = {"Content-Type": "application/json"}
_METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
_APPLY_PARAMS = {"fieldManager": FIELD_MANAGER, "force": "true"}
_WRITE_PARAMS = {"fieldManager": FIELD_MANAGER}
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
# The API server sends a bookmark each minute: a watch that is silent for longer is dead.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=75)
_WATCH_PARAMS = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "300"}


class RequestObserver:
    """Hears of each request and does nothing; telemetry overrides it."""

    def requested(self, verb: str, resource: Resource, code: str, seconds: float) -> None:
        """Hear of an answer, or of `code` "<error>" if there was none."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind as they were at one resourceVersion."""

    items: list[Object]
    resource_version: str


class Api:
    """The verbs of the API server on one shared session."""

    def __init__(self, connection: Connection, observer: RequestObserver | None = None) -> None:
        self._host = connection.host
        self._session = connection.session
        self._observer = observer or RequestObserver()

    async def get(self, resource: Resource, key: Key) -> Object:
        """Read one object from etcd."""
        return await self._request("GET", resource, resource.path(key))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        chunk: int = 500,
    ) -> Listing:
        """Read all objects that the selectors match, `chunk` at a time."""
        return await self._list(resource, namespace, _selectors(labels, fields), chunk, {})

    async def list_metadata(
        self, resource: Resource, namespace: str = "", *, labels: str = "", chunk: int = 500
    ) -> Listing:
        """Read the metadata alone of all objects that a label selector matches."""
        return await self._list(resource, namespace, _selectors(labels), chunk, _METADATA_ONLY)

    async def apply(
        self, resource: Resource, body: Object, *, manager: str = FIELD_MANAGER, force: bool = True
    ) -> Object:
        """Create or change an object by server-side apply; with `force` taking over what others own of it.

        Raises Conflict without `force` where another manager owns a field.
        """
        params = {"fieldManager": manager, "force": str(force).lower()}
        return await self._request(
            "PATCH", resource, resource.path(key_of(body)), body, params=params, headers=_APPLY
        )

    async def apply_status(self, resource: Resource, body: Object) -> Object:
        """Set an existing object's status by server-side apply."""
        path = f"{resource.path(key_of(body))}/status"
        return await self._request("PATCH", resource, path, body, params=_APPLY_PARAMS, headers=_APPLY)

    async def merge_patch(self, resource: Resource, key: Key, patch: Object) -> Object:
        """Change the given fields; with a resourceVersion in the patch only if no one else did."""
        return await self._request(
            "PATCH", resource, resource.path(key), patch, params=_WRITE_PARAMS, headers=_MERGE_PATCH
        )

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create an object; Conflict if it exists."""
        path = resource.collection(key_of(body).namespace)
        return await self._request("POST", resource, path, body, params=_WRITE_PARAMS, headers=_JSON)

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Write the whole object; Conflict if its resourceVersion is not the newest."""
        return await self._request(
            "PUT", resource, resource.path(key_of(body)), body, params=_WRITE_PARAMS, headers=_JSON
        )

    async def delete(
        self, resource: Resource, key: Key, *, uid: str, propagation: str = "Background"
    ) -> None:
        """Delete the object that has this uid; Conflict if another one has its name now."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": propagation}
        await self._request("DELETE", resource, resource.path(key), body, headers=_JSON)

    async def watch(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", since: str
    ) -> AsyncIterator[tuple[str, Object]]:
        """Yield (type, object) for what happens after a resourceVersion, until the server ends it."""
        params = _WATCH_PARAMS | {"resourceVersion": since} | _selectors(labels, fields)
        url = self._host + resource.collection(namespace)
        try:
            async with self._session.get(url, params=params, timeout=_WATCH_TIMEOUT) as response:
                if response.status >= 400:  # noqa: PLR2004
                    raise failure(response.status, await response.read(), response.headers)
                async for line in _lines(response.content):
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise failure(event["object"]["code"], orjson.dumps(event["object"]), {})
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Transient(f"The watch was cut: {str(error) or 'timeout'}") from error

    async def _list(
        self,
        resource: Resource,
        namespace: str,
        selectors: Mapping[str, str],
        chunk: int,
        headers: Mapping[str, str],
    ) -> Listing:
        items: list[Object] = []
        params = {"limit": str(chunk), **selectors}
        while True:
            page = await self._request(
                "GET", resource, resource.collection(namespace), params=params, headers=headers
            )
            items += page["items"] or ()  # the metadata of nothing is null
            token = page["metadata"].get("continue")
            if not token:
                return Listing(items, page["metadata"]["resourceVersion"])
            params["continue"] = token

    async def _request(
        self,
        verb: str,
        resource: Resource,
        path: str,
        body: Object | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        began = time.monotonic()
        code = "<error>"
        try:
            async with self._session.request(
                verb,
                self._host + path,
                params=params,
                headers=headers,
                data=None if body is None else orjson.dumps(body),
                timeout=_TIMEOUT,
            ) as response:
                code = str(response.status)
                payload = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Transient(f"The API server did not answer: {str(error) or 'timeout'}") from error
        finally:
            self._observer.requested(verb, resource, code, time.monotonic() - began)
        if response.status >= 400:  # noqa: PLR2004
            raise failure(response.status, payload, response.headers)
        answer: Object = orjson.loads(payload)
        return answer


def _selectors(labels: str, fields: str = "") -> dict[str, str]:
    selectors = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in selectors.items() if value}


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # aiohttp's own iteration by lines refuses long ones.
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line

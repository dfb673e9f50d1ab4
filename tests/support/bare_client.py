"""The least that any client does for a model: reads the watches, sends the requests with ready-made bodies.

Run as a process with a kubeconfig and a namespace; it prints a line for each watch that is open.
"""

import asyncio
import ssl
import sys
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import uvloop
from deployments import IMAGE, SERVED, subject
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config
from reconciled import KEY, World

from berth.feed import CHILDREN
from berth.plan.labels import SELECT_OWN
from berth.plan.resources import DEPLOYMENTS, EVENTS, MODEL_DEPLOYMENTS, Resource
from berth.plan.steps import wanted

APPLY = "application/apply-patch+yaml"
WORKERS = 16
FOLLOWED = (MODEL_DEPLOYMENTS, *CHILDREN)
CONNECTIONS = 30

Object = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request about demo/iris, to be made one about another model."""

    method: str
    path: str
    content_type: str
    body: bytes

    def about(self, namespace: str, name: str, uid: str) -> tuple[str, bytes]:
        """Give path and body for another model."""
        path = self.path.replace(KEY.namespace, namespace).replace(KEY.name, name)
        replaced = self.body.replace(b"uid-1", uid.encode()).replace(b"demo", namespace.encode())
        return path, replaced.replace(b"iris", name.encode())


def writes_of_children() -> list[Request]:
    """Give the writes of a new model."""
    return [
        Request("PATCH", _forced(each.resource.path(KEY)), APPLY, orjson.dumps(each.body))
        for each in wanted(subject(SERVED), IMAGE, {})
    ]


async def writes_when_ready() -> list[Request]:
    """Give the writes that follow once the model serves: status and Event."""
    world = World(SERVED)
    await world.settle(ready=1)
    reference = _body(MODEL_DEPLOYMENTS, uid="uid-1")
    status = orjson.dumps(reference | {"status": world.status})
    event = _body(EVENTS) | {
        "eventTime": "2026-11-01T12:00:00.000000Z",
        "reportingController": "berth.dev/operator",
        "reportingInstance": "bare",
        "action": "Reconcile",
        "reason": "Ready",
        "note": "The current spec serves",
        "type": "Normal",
        "regarding": {"kind": MODEL_DEPLOYMENTS.kind, **reference["metadata"]},
    }
    return [
        Request("PATCH", _forced(f"{MODEL_DEPLOYMENTS.path(KEY)}/status"), APPLY, status),
        Request("POST", EVENTS.collection(KEY.namespace), "application/json", orjson.dumps(event)),
    ]


class BareClient:
    """Answers each new model with the writes of its children, and each ready Deployment with the rest."""

    def __init__(self, session: aiohttp.ClientSession, namespace: str) -> None:
        self._session = session
        self._namespace = namespace
        self._uids: dict[str, str] = {}
        self._queue: asyncio.Queue[tuple[list[Request], str, str]] = asyncio.Queue()

    async def run(self) -> None:
        """Serve for ever."""
        self._first, self._last = writes_of_children(), await writes_when_ready()
        async with asyncio.TaskGroup() as group:
            for resource in FOLLOWED:
                group.create_task(self._watch(resource))
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _watch(self, resource: Resource) -> None:
        params = {"watch": "true"}
        if resource is not MODEL_DEPLOYMENTS:
            params["labelSelector"] = SELECT_OWN
        rest = b""
        async with self._session.get(resource.collection(self._namespace), params=params) as response:
            print(resource.kind, flush=True)
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._heard(resource, orjson.loads(line)["object"])

    def _heard(self, resource: Resource, raw: Object) -> None:
        name, uid = raw["metadata"]["name"], raw["metadata"]["uid"]
        if resource is MODEL_DEPLOYMENTS and name not in self._uids:
            self._uids[name] = uid
            self._queue.put_nowait((self._first, name, uid))
        elif resource is DEPLOYMENTS and raw["status"].get("availableReplicas"):
            self._queue.put_nowait((self._last, name, self._uids[name]))

    async def _work(self) -> None:
        while True:
            requests, name, uid = await self._queue.get()
            for request in requests:
                path, body = request.about(self._namespace, name, uid)
                headers = {"Content-Type": request.content_type}
                async with self._session.request(request.method, path, data=body, headers=headers) as answer:
                    orjson.loads(await answer.read())


async def main(kubeconfig: str, namespace: str) -> None:
    configuration = Configuration()
    load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    token = configuration.get_api_key_with_prefix("BearerToken", "authorization")
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    async with aiohttp.ClientSession(
        configuration.host,
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=context),
        headers={"Authorization": token, "User-Agent": "bare"},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        raise_for_status=True,
    ) as session:
        await BareClient(session, namespace).run()


def _body(resource: Resource, **metadata: str) -> Object:
    named = {"namespace": KEY.namespace, "name": KEY.name, **metadata}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": named}


def _forced(path: str) -> str:
    return f"{path}?fieldManager=berth&force=true"


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))

"""The objects of one namespace, through the API server of the cluster that this process runs in."""

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from berth_sandbox.azure.names import Document

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS = aiohttp.ClientTimeout(total=30)


class Refusal(Exception):  # noqa: N818 - it is the API server's answer
    """What the API server answers to a request that it does not fulfil."""


class Api:
    """Pods, Secrets and Events of a namespace."""

    def __init__(self, session: aiohttp.ClientSession, namespace: str, token: Callable[[], str]) -> None:
        self._session = session
        self._root = f"/api/v1/namespaces/{namespace}"
        self._token = token

    async def create(self, kind: str, body: Document) -> None:
        """Create an object; `kind` is in the plural."""
        await self._send("POST", f"/{kind}", body=body)

    async def list(self, kind: str, **selectors: str) -> list[Document]:
        """Return the objects that a `labelSelector` or `fieldSelector` chooses."""
        items: list[Document] = (await self._read(f"/{kind}", **selectors))["items"]
        return items

    async def delete(self, kind: str, **selectors: str) -> None:
        """Delete the objects that selectors choose; they are gone a little later."""
        await self._send("DELETE", f"/{kind}", **selectors)

    async def log(self, pod: str, container: str) -> str:
        """Return what a container wrote since its last start, each line after its time."""
        try:
            return await self._send("GET", f"/pods/{pod}/log", container=container, timestamps="true")
        except Refusal:  # it has not begun
            return ""

    async def _read(self, path: str, **query: str) -> Document:
        async with self._asked("GET", path, query) as answer:
            document: Document = await answer.json()
            return document

    async def _send(self, method: str, path: str, body: Document | None = None, **query: str) -> str:
        async with self._asked(method, path, query, body) as answer:
            return await answer.text()

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, query: dict[str, str], body: Document | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Authorization": f"Bearer {self._token()}"}
        async with self._session.request(
            method, self._root + path, params=query, json=body, headers=headers
        ) as answer:
            if not answer.ok:
                raise Refusal(f"{method} {path}: {answer.status} {await answer.text()}")
            yield answer


@asynccontextmanager
async def in_cluster(namespace: str) -> AsyncIterator[Api]:
    """Connect as the service account of this process's own Pod."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    async with aiohttp.ClientSession(
        f"https://{host}:{port}", connector=aiohttp.TCPConnector(ssl=trusted), timeout=SECONDS
    ) as session:
        yield Api(session, namespace, _own_token)


def _own_token() -> str:
    """Read the token each time: the kubelet replaces it."""
    return (ACCOUNT / "token").read_text()

"""The objects of one namespace, through the API server of the cluster that this process runs in."""

import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
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
        """Create an object of a kind, in the plural; a field that there is not is refused."""
        async with self._asked("POST", f"/{kind}", {"fieldValidation": "Strict"}, body):
            pass

    async def list(self, kind: str, **selectors: str) -> list[Document]:
        """Return the objects that a `labelSelector` or `fieldSelector` chooses."""
        async with self._asked("GET", f"/{kind}", selectors) as answer:
            items: list[Document] = (await answer.json())["items"]
            return items

    async def delete(self, kind: str, **selectors: str) -> None:
        """Delete the objects that selectors choose; they are gone a little later."""
        async with self._asked("DELETE", f"/{kind}", selectors):
            pass

    async def log(self, pod: str, container: str) -> str:
        """Return what a container wrote since its last start, each line after its time."""
        query = {"container": container, "timestamps": "true"}
        try:
            async with self._asked("GET", f"/pods/{pod}/log", query) as answer:
                return await answer.text()
        except Refusal:  # it has not begun
            return ""

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, query: Mapping[str, str], body: Document | None = None
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

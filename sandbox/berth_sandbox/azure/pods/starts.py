"""Pods that begin and end together with the Secrets that they read."""

from collections.abc import Iterable
from typing import Protocol

from berth_sandbox.azure.backing import Observation
from berth_sandbox.azure.names import Document
from berth_sandbox.azure.pods.parts import START
from berth_sandbox.azure.pods.view import observation


class Objects(Protocol):
    """The objects of one namespace."""

    async def create(self, kind: str, body: Document) -> None:
        """Create an object; raises Refusal."""

    async def list(self, kind: str, **selectors: str) -> list[Document]:
        """Return the objects that selectors choose."""

    async def delete(self, kind: str, **selectors: str) -> None:
        """Delete the objects that selectors choose."""


class Starts:
    """The Pods of one namespace, each known by the label of its start."""

    def __init__(self, api: Objects) -> None:
        self._api = api

    async def clear(self) -> None:
        """End everything that is there."""
        await self._delete(START)

    async def begin(self, pod: Document, secrets: Iterable[Document]) -> None:
        """Create a Pod, after its Secrets; raises Refusal."""
        for secret in secrets:
            await self._api.create("secrets", secret)
        await self._api.create("pods", pod)

    async def end(self, start: str) -> None:
        """Delete a Pod and its Secrets."""
        await self._delete(f"{START}={start}")

    async def seen(self, name: str, restarts: int = 0) -> Observation | None:
        """Look at a Pod, unless it is gone."""
        pods = await self._api.list("pods", fieldSelector=f"metadata.name={name}")
        events = await self._api.list("events", fieldSelector=f"involvedObject.name={name}")
        return observation(pods[0], events, restarts) if pods else None

    async def _delete(self, selector: str) -> None:
        for kind in ("pods", "secrets"):
            await self._api.delete(kind, labelSelector=selector)

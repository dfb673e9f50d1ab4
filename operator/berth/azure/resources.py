"""Any resource of a subscription by its id, for which no library of its own is needed."""

from typing import Any

from azure.core.rest import HttpRequest
from azure.mgmt.core import AsyncARMPipelineClient

from berth.azure.clouds import Addresses
from berth.azure.credentials import SignIn
from berth.azure.gate import Answer, Gate
from berth.azure.limits import Budget
from berth.azure.pipeline import policies
from berth.azure.session import Transport

Object = dict[str, Any]


class Resources:
    """The resources of one subscription; it raises `Terminal`, `Transient`, `Gone` and `Postponed`."""

    def __init__(self, where: Addresses, credential: SignIn, transport: Transport, gate: Gate) -> None:
        self._client: AsyncARMPipelineClient[Any, Any] = AsyncARMPipelineClient(
            base_url=where.resource_manager, policies=policies(credential, where.scope), transport=transport
        )
        self._gate = gate

    async def get(self, resource_id: str, api_version: str) -> Object:
        """Read a resource."""

        async def send() -> Answer:
            url = self._client.format_url(resource_id)
            response = await self._client.send_request(
                HttpRequest("GET", url, params={"api-version": api_version})
            )
            await response.read()
            response.raise_for_status()
            return Answer(response.status_code, response.json())

        return (await self._gate.call("resource", Budget.READS, send)).body

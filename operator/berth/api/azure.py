"""How Azure is reached: its clouds, who Berth is there, and what resources are called."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.aci import ResourceId
from berth.api.base import ApiModel, ListMap, Rule
from berth.api.common import ObjectRef, Quantity

_HEX = "[0-9a-fA-F]"
Guid = Annotated[
    str, StringConstraints(max_length=36, pattern=rf"^{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}$")
]
ResourceGroupName = Annotated[
    str, StringConstraints(min_length=1, max_length=90, pattern=r"^[-A-Za-z0-9._()]*[-A-Za-z0-9_()]$")
]
Location = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z0-9]+$")]
_HOST = r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]+)?"
Server = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=rf"^{_HOST}$")]
Endpoint = Annotated[str, StringConstraints(min_length=9, max_length=253, pattern=rf"^https://{_HOST}/?$")]


class CloudName(StrEnum):
    """An Azure of its own, with its own addresses."""

    PUBLIC = "AzurePublic"
    GOVERNMENT = "AzureGovernment"
    CHINA = "AzureChina"
    CUSTOM = "Custom"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an Azure is, by URLs without a slash at the end."""

    resource_manager: str
    authority: str
    scope: str
    """What a token for the resource manager is asked for."""


_PUBLIC_AUDIENCE = "https://management.azure.com"
_ENDPOINTS = {
    CloudName.PUBLIC: (_PUBLIC_AUDIENCE, "https://login.microsoftonline.com"),
    CloudName.GOVERNMENT: ("https://management.usgovcloudapi.net", "https://login.microsoftonline.us"),
    CloudName.CHINA: ("https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"),
}


class Cloud(ApiModel):
    """Which Azure is meant."""

    name: CloudName = CloudName.PUBLIC
    """One of Microsoft's clouds, or `Custom` with addresses of its own."""
    resource_manager: Endpoint | None = None
    """Address of the resource manager, such as `https://management.example.org`; only with `Custom`."""
    authority: Endpoint | None = None
    """Address that tokens come from, such as `https://login.example.org`; only with `Custom`."""
    ca_bundle: (
        Annotated[
            str, StringConstraints(max_length=65536, pattern=r"^\s*-----BEGIN CERTIFICATE-----\n[\s\S]+$")
        ]
        | None
    ) = None
    """PEM certificates of the authorities to trust besides the system's; only with `Custom`."""

    rules = (
        Rule("self.name == oldSelf.name", "cloud.name cannot be changed: create another ComputeTarget"),
        Rule(
            "self.name != 'Custom' || (has(self.resourceManager) && has(self.authority))",
            "cloud Custom needs resourceManager and authority",
        ),
        Rule(
            "self.name == 'Custom'"
            " || !(has(self.resourceManager) || has(self.authority) || has(self.caBundle))",
            "resourceManager, authority and caBundle are for cloud Custom: remove them, or give that name",
        ),
    )

    @property
    def endpoints(self) -> Endpoints:
        """Where this Azure is; one of your own takes the tokens of the public one."""
        if self.name is CloudName.CUSTOM:
            manager, authority = (
                str(given or "").rstrip("/") for given in (self.resource_manager, self.authority)
            )
            return Endpoints(manager, authority, f"{_PUBLIC_AUDIENCE}/.default")
        manager, authority = _ENDPOINTS[self.name]
        return Endpoints(manager, authority, f"{manager}/.default")


class Credentials(ApiModel):
    """Who Berth is for Azure: a workload identity, or an application with a secret."""

    tenant_id: Guid | None = None
    """Tenant; without it, that of the operator's own workload identity."""
    client_id: Guid | None = None
    """Application or managed identity; without it, that of the operator's own workload identity."""
    secret_ref: ObjectRef | None = None
    """Secret in the operator's namespace with the key `clientSecret`; without it, workload identity."""

    rules = (
        Rule(
            "!has(self.secretRef) || (has(self.tenantId) && has(self.clientId))",
            "a client secret belongs to an application: give tenantId and clientId with secretRef",
        ),
    )


class Registry(ApiModel):
    """How images are pulled from one registry."""

    server: Server
    """Host of the registry, such as `team.azurecr.io`."""
    secret_ref: ObjectRef | None = None
    """Secret in the operator's namespace with the keys `username` and `password`."""
    identity: ResourceId | None = None
    """Resource id of a managed identity that may pull."""

    rules = (
        Rule(
            "has(self.secretRef) != has(self.identity)",
            "a registry takes exactly one of secretRef and identity",
        ),
    )


class LogAnalytics(ApiModel):
    """The workspace that containers' logs go to."""

    workspace_id: Guid
    """Id of the workspace."""
    secret_ref: ObjectRef
    """Secret in the operator's namespace with the key `workspaceKey`."""


def _within(name: str, most: str) -> Rule:
    given = f"quantity(string(self.{name}))"
    return Rule(
        f"{given}.isGreaterThan(quantity('0')) && {given}.compareTo(quantity('{most}')) <= 0",
        f"{name} must be greater than 0 and at most {most}, as the largest container group has",
    )


class GroupSize(ApiModel):
    """CPU and memory of a container group."""

    cpu: Quantity = "1"
    """CPU cores, such as `1` or `1500m`; a container group has at least 1."""
    memory: Quantity = "1500M"
    """Memory, such as `1500M`; a container group has at least 1 GB."""

    rules = (_within("cpu", "31"), _within("memory", "240G"))


class GroupDefaults(ApiModel):
    """What a container group gets where its ModelDeployment says nothing."""

    resources: GroupSize = GroupSize()
    """CPU and memory where a ModelDeployment leaves its `resources` as they are by default."""
    registries: Annotated[tuple[Registry, ...], Field(max_length=16), ListMap("server")] | None = None
    """How images are pulled."""
    identities: Annotated[tuple[ResourceId, ...], Field(max_length=16)] | None = None
    """Resource ids of the managed identities that every container group may use."""
    subnet_id: ResourceId | None = None
    """Resource id of the subnet that groups join; they then have a private address only."""
    log_analytics: LogAnalytics | None = None
    """The workspace that containers' logs go to."""

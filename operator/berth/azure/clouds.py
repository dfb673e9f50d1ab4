"""The addresses of Azure's clouds, as Azure's own libraries know them."""

from dataclasses import dataclass

from azure.core import AzureClouds
from azure.identity import AzureAuthorityHosts
from azure.mgmt.core.tools import get_arm_endpoints

from berth.api.azure import Cloud, CloudName

_CLOUDS = {
    CloudName.PUBLIC: (AzureClouds.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD),
    CloudName.GOVERNMENT: (AzureClouds.AZURE_US_GOVERNMENT, AzureAuthorityHosts.AZURE_GOVERNMENT),
    CloudName.CHINA: (AzureClouds.AZURE_CHINA_CLOUD, AzureAuthorityHosts.AZURE_CHINA),
    CloudName.CUSTOM: (AzureClouds.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD),
}
"""Tokens for a custom cloud are asked for as for the public one: the audience is not the address."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a cloud is."""

    resource_manager: str
    authority: str
    scope: str
    """What a token has to be good for."""
    ca_bundle: str = ""


def addresses(cloud: Cloud) -> Addresses:
    """Return where a cloud is."""
    known, authority = _CLOUDS[cloud.name]
    endpoints = get_arm_endpoints(known)
    return Addresses(
        (cloud.resource_manager or endpoints["resource_manager"]).rstrip("/"),
        (cloud.authority or authority).rstrip("/"),
        endpoints["credential_scopes"][0],
        cloud.ca_bundle or "",
    )

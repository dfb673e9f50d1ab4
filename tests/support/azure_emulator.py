"""An emulated Azure with one tenant, one application and two subscriptions, and the real clients of it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import ClientSecretCredential
from azure.mgmt.containerinstance import models
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.server import Endpoint

TENANT = "7a1e5c3f-0000-4000-8000-00000000000a"
CLIENT = "c11e0700-0000-4000-8000-00000000000c"
SECRET = "a secret of the tests"
ISSUER, SUBJECT = "https://cluster.example", "system:serviceaccount:berth-system:berth"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
RESOURCE_GROUP = "models"
REGION = "eastus"
CONFIGURATION = {
    "tenants": {
        TENANT: {CLIENT: {"secrets": {SECRET: None}, "federated": [{"issuer": ISSUER, "subject": SUBJECT}]}}
    },
    "subscriptions": {
        SUBSCRIPTION: {"tenant": TENANT, "resourceGroups": [RESOURCE_GROUP, "other", "clitest.rg000001"]},
        "subid": {"tenant": TENANT, "resourceGroups": ["demo", "demoResource"]},
    },
}


def configured(azure: Azure) -> Azure:
    """Add the tenant and the subscriptions of the tests."""
    configure(azure, CONFIGURATION)
    return azure


@asynccontextmanager
async def transport(endpoint: Endpoint) -> AsyncIterator[AioHttpTransport]:
    """One HTTP session for all clients: with `connection_verify` they would connect for every request."""
    context = ssl.create_default_context(cafile=str(endpoint.ca_file))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:
        yield AioHttpTransport(session=session, session_owner=False)


@asynccontextmanager
async def connected(
    endpoint: Endpoint, subscription: str = SUBSCRIPTION
) -> AsyncIterator[ContainerInstanceManagementClient]:
    """Microsoft's client with a credential of Microsoft's, both without retries."""
    async with (
        transport(endpoint) as session,
        credential(endpoint, transport=session) as signed_in,
        ContainerInstanceManagementClient(
            signed_in,
            subscription,
            base_url=endpoint.url,
            transport=session,
            retry_total=0,
            polling_interval=0,
        ) as client,
    ):
        yield client


def credential(endpoint: Endpoint, secret: str = SECRET, **options: Any) -> ClientSecretCredential:
    """Return the application's credential."""
    return ClientSecretCredential(
        TENANT, CLIENT, secret, authority=endpoint.url, **{"retry_total": 0, **options}
    )


async def begin(
    client: ContainerInstanceManagementClient,
    name: str = "iris",
    *containers: models.Container,
    resource_group: str = RESOURCE_GROUP,
    **options: Any,
) -> models.ContainerGroup:
    """Put a group, and return the first answer."""
    poller = await client.container_groups.begin_create_or_update(
        resource_group, name, group(*containers, **options), polling=False
    )
    return await poller.result()


async def get(client: ContainerInstanceManagementClient, name: str = "iris") -> models.ContainerGroup:
    """Get a group of the resource group of the tests."""
    return await client.container_groups.get(RESOURCE_GROUP, name)


async def delete(client: ContainerInstanceManagementClient, name: str = "iris") -> None:
    """Ask for a group's deletion, and do not wait for its end."""
    await client.container_groups.begin_delete(RESOURCE_GROUP, name, polling=False)


def group_id(name: str) -> GroupId:
    """Return the id of a group in the resource group of the tests."""
    return GroupId(SUBSCRIPTION, RESOURCE_GROUP, name)


def container(name: str = "scoring", image: str = "scoring:1", **options: Any) -> models.Container:
    """Describe a container of 1 CPU and 1 GB that listens on port 80."""
    requests = models.ResourceRequests(
        cpu=options.pop("cpu", 1.0), memory_in_gb=options.pop("memory_in_gb", 1.0)
    )
    resources = models.ResourceRequirements(requests=requests, limits=options.pop("limits", None))
    ports = options.pop("ports", [models.ContainerPort(port=80)])
    return models.Container(name=name, image=image, resources=resources, ports=ports, **options)


def group(*containers: models.Container, **options: Any) -> models.ContainerGroup:
    """Describe a group, by default of one container."""
    return models.ContainerGroup(
        **{"location": REGION, "os_type": "Linux", "containers": list(containers) or [container()], **options}
    )


def public(port: int = 80, label: str | None = None) -> models.IpAddress:
    """Describe a public address."""
    return models.IpAddress(type="Public", ports=[models.Port(port=port)], dns_name_label=label)

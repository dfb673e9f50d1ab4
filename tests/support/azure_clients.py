"""The operator's clients of an emulated Azure, and what they ask of it."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import jwt
from azure_emulator import CLIENT, ISSUER, SECRET, SUBJECT, SUBSCRIPTION, TENANT

from berth.api.azure import Cloud, CloudName, Credentials
from berth.api.common import ObjectRef
from berth.azure.connection import Connection
from berth.azure.container_groups import ContainerGroups
from berth.azure.observer import CallObserver
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint

WITH_SECRET = Credentials(tenant_id=TENANT, client_id=CLIENT, secret_ref=ObjectRef(name="azure"))


class Watch:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Heard(CallObserver):
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.counters: dict[str, int] = {}
        self.causes: Counter[str] = Counter()
        self.waits: list[float] = []
        self.circuits: list[bool] = []

    def called(self, subscription: str, operation: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append((subscription, operation, code))

    def remaining(self, subscription: str, counter: str, count: int) -> None:
        self.counters[counter] = count

    def withheld(self, subscription: str, cause: str, wait: float) -> None:
        self.causes[cause] += 1
        self.waits.append(wait)

    def circuit(self, subscription: str, *, is_open: bool) -> None:
        self.circuits.append(is_open)


def cloud_at(endpoint: Endpoint) -> Cloud:
    """Describe the emulated Azure as a ComputeTarget does."""
    return Cloud(
        name=CloudName.CUSTOM,
        resource_manager=endpoint.url,
        authority=endpoint.url,
        ca_bundle=endpoint.ca_file.read_text(),
    )


async def groups_of(
    connection: Connection,
    endpoint: Endpoint,
    subscription: str = SUBSCRIPTION,
    credentials: Credentials = WITH_SECRET,
    secret: str | None = SECRET,
    cloud: Cloud | None = None,
) -> ContainerGroups:
    """Open the client of a subscription, by default of the emulated Azure."""
    return await connection.container_groups(subscription, cloud or cloud_at(endpoint), credentials, secret)


def body(image: str = "scoring:1", **properties: Any) -> dict[str, Any]:
    """Describe a group of one container, as JSON."""
    container = {
        "name": "scoring",
        "properties": {"image": image, "resources": {"requests": {"cpu": 1.0, "memoryInGB": 1.5}}},
    }
    return {
        "location": "eastus",
        "tags": {"berth.dev-uid": "1"},
        "properties": {"containers": [container], "osType": "Linux", "restartPolicy": "Always", **properties},
    }


def asked(azure: Azure) -> Counter[str]:
    """Count what was asked of the emulated Azure, by operation."""
    return Counter(exchange.operation for exchange in azure.requests)


def connections(azure: Azure, *operations: str) -> set[str]:
    """Name the connections over which operations were asked for."""
    return {exchange.connection for exchange in azure.requests.of(*operations)}


def token_file(folder: Path, **claims: object) -> Path:
    """Write a federated token, as a service account's volume holds it."""
    path = folder / "token"
    token = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": ["api://AzureADTokenExchange"],
        "exp": int(time.time()) + 600,
        **claims,
    }
    path.write_text(jwt.encode(token, "k" * 32, algorithm="HS256"))
    return path

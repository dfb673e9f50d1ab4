"""An emulated IoT hub with devices, and Microsoft's clients of it."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any, TypeVar

from azure.iot.hub import IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import Configuration, ConfigurationContent, ConfigurationMetrics

from berth_sandbox.azure.server import Endpoint

T = TypeVar("T")

HUB = "plants"
KEY = base64.b64encode(b"k" * 32).decode()
READ_KEY = base64.b64encode(b"r" * 32).decode()
UNLIMITED = dict.fromkeys(("configurations", "queries", "registry", "twin reads", "twin updates"), 1000.0)
FIRST_RUN, INTERVAL, LAG = 5.0, 300.0, 30.0
BASE_PRIORITY = 1
IMAGE = "registry.example/scoring@sha256:1"


def hub(**options: Any) -> dict[str, Any]:
    """Describe a hub whose limits no test meets by accident."""
    policies = {"iothubowner": KEY, "registryRead": READ_KEY}
    return {"hosts": ["127.0.0.1"], "policies": policies, "rates": UNLIMITED, **options}


def connection_string(endpoint: Endpoint, policy: str = "iothubowner", key: str = KEY) -> str:
    """Return how to reach the emulated hub with a key."""
    host = endpoint.url.removeprefix("https://")
    return f"HostName={host};SharedAccessKeyName={policy};SharedAccessKey={key}"


class Clients:
    """Microsoft's clients, which block: each call goes to a thread; neither tries anything again."""

    def __init__(self, endpoint: Endpoint, connection: str) -> None:
        self.configurations = IoTHubConfigurationManager.from_connection_string(connection)
        self.registry = IoTHubRegistryManager.from_connection_string(connection)
        for client in (self.configurations, self.registry):
            trusting(client, endpoint)

    async def __call__(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.to_thread(call, *arguments)

    async def create(self, configuration: Configuration) -> Configuration:
        return await self(self.configurations.create_configuration, configuration)

    async def update(self, configuration: Configuration, etag: str) -> Configuration:
        return await self(self.configurations.update_configuration, configuration, f'"{etag}"')

    async def get(self, name: str) -> Configuration:
        return await self(self.configurations.get_configuration, name)

    async def delete(self, name: str, etag: str | None = None) -> None:
        await self(self.configurations.delete_configuration, name, etag and f'"{etag}"')

    async def agent(self, device: str) -> Any:
        return await self(self.registry.get_module_twin, device, "$edgeAgent")


def trusting(client: Any, endpoint: Endpoint) -> None:
    """Let a client trust the emulator and leave retries to its caller."""
    client.protocol.config.connection.verify = str(endpoint.ca_file)
    client.protocol.config.connection.timeout = (5, 30)
    client.protocol.config.retry_policy.retries = 0
    # Otherwise the last answer of a 408 or 5xx is thrown away, and its words with it.
    client.protocol.config.retry_policy.policy.raise_on_status = False


def module(image: str = IMAGE, **options: Any) -> dict[str, Any]:
    """Describe a module as an agent is told of it."""
    settings = {"image": image, "createOptions": "{}"}
    return {
        "version": "1.0",
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "settings": settings,
        **options,
    }


def base_content(**modules: Any) -> dict[str, Any]:
    """Describe a full deployment, by default of nothing but the runtime."""
    system = {
        "edgeAgent": {
            "type": "docker",
            "settings": {"image": "mcr.example/edge-agent:1.6", "createOptions": ""},
        },
        "edgeHub": {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "settings": {"image": "mcr.example/edge-hub:1.6", "createOptions": ""},
        },
    }
    runtime = {"type": "docker", "settings": {"minDockerVersion": "v1.25"}}
    agent = {"schemaVersion": "1.1", "runtime": runtime, "systemModules": system, "modules": modules}
    edge_hub = {
        "schemaVersion": "1.1",
        "routes": {"upstream": "FROM /messages/modules/telemetry/* INTO $upstream"},
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
    }
    return {"$edgeAgent": {"properties.desired": agent}, "$edgeHub": {"properties.desired": edge_hub}}


def layer_content(name: str = "iris", image: str = IMAGE, **options: Any) -> dict[str, Any]:
    """Describe a layer of one module."""
    return {"$edgeAgent": {f"properties.desired.modules.{name}": module(image, **options)}}


def deployment(
    name: str,
    content: dict[str, Any],
    condition: str = "*",
    priority: int = 10,
    queries: dict[str, str] | None = None,
    **options: Any,
) -> Configuration:
    """Describe a deployment to edge devices."""
    return Configuration(
        id=name,
        schema_version="2.0",
        content=ConfigurationContent(modules_content=content),
        target_condition=condition,
        priority=priority,
        metrics=ConfigurationMetrics(queries=queries or {}),
        **options,
    )


def base(**modules: Any) -> Configuration:
    """Describe the deployment that every device needs."""
    return deployment("base", base_content(**modules), priority=BASE_PRIORITY)


def layer(name: str = "iris", condition: str = "*", priority: int = 10, **options: Any) -> Configuration:
    """Describe a layer that runs a module of its own name."""
    return deployment(name, layer_content(name, **options), condition, priority)

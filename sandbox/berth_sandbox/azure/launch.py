"""From Azure's description of a container group to what a backing starts."""

import base64
from collections.abc import Iterable

from berth_sandbox.azure.backing import Container, Launch, Mount, Registry, Volume
from berth_sandbox.azure.names import Document, GroupId


def launch(group: GroupId, body: Document) -> Launch:
    """Translate the body of a PUT, secrets included."""
    properties = body["properties"]
    return Launch(
        group=group,
        restart_policy=properties.get("restartPolicy", "Always"),
        containers=_containers(properties["containers"]),
        init_containers=_containers(properties.get("initContainers") or ()),
        volumes=tuple(_volume(volume) for volume in properties.get("volumes") or ()),
        registries=tuple(_registry(entry) for entry in properties.get("imageRegistryCredentials") or ()),
    )


def _containers(described: Iterable[Document]) -> tuple[Container, ...]:
    return tuple(_container(container["name"], container["properties"]) for container in described)


def _container(name: str, properties: Document) -> Container:
    requests = properties.get("resources", {}).get("requests", {})
    return Container(
        name=name,
        image=properties["image"],
        command=tuple(properties.get("command") or ()),
        environment={
            variable["name"]: variable.get("secureValue") or variable.get("value") or ""
            for variable in properties.get("environmentVariables") or ()
        },
        ports=tuple(port["port"] for port in properties.get("ports") or ()),
        mounts=tuple(
            Mount(mount["name"], mount["mountPath"], mount.get("readOnly", False))
            for mount in properties.get("volumeMounts") or ()
        ),
        cpu=requests.get("cpu", 0.0),
        memory_in_gb=requests.get("memoryInGB", 0.0),
        liveness_probe=properties.get("livenessProbe"),
        readiness_probe=properties.get("readinessProbe"),
        security_context=properties.get("securityContext"),
    )


def _volume(volume: Document) -> Volume:
    if "secret" in volume:
        return Volume(
            volume["name"], files={key: base64.b64decode(value) for key, value in volume["secret"].items()}
        )
    return Volume(volume["name"], source={kind: value for kind, value in volume.items() if kind != "name"})


def _registry(entry: Document) -> Registry:
    return Registry(entry["server"], entry.get("username"), entry.get("password"), entry.get("identity"))

"""What Azure refuses in a container group before it starts anything."""

import base64
import re
from collections.abc import Callable, Iterator

from berth_sandbox.azure.errors import ArmError, bad_request
from berth_sandbox.azure.names import Document

CONTAINER_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_LABEL = re.compile(r"[a-z0-9][-a-z0-9]{3,61}[a-z0-9]")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9_]{1,63}")
VOLUME_NAME = re.compile(r"(?!.*--)[a-z0-9][-a-z0-9]{3,61}[a-z0-9]")
VOLUME_KINDS = {"azureFile", "emptyDir", "secret", "gitRepo"}
MOST_CONTAINERS, MOST_VOLUMES, MOST_PORTS = 60, 20, 5
SIZES = {"Spot": (4.0, 16.0), "Confidential": (31.0, 180.0)}


def check(name: str, body: Document) -> None:
    """Raise the first complaint about the body of a PUT."""
    for rule in RULES:
        for complaint in rule(name, body.get("properties") or {}):
            raise complaint


def totals(properties: Document) -> tuple[float, float]:
    """Return how many cores, and how many GB of memory, the containers ask for together."""
    requests = [container["properties"]["resources"]["requests"] for container in properties["containers"]]
    return sum(request["cpu"] for request in requests), sum(request["memoryInGB"] for request in requests)


def gpus(properties: Document) -> list[str]:
    """List the kinds of GPU that the containers ask for."""
    requests = [container["properties"]["resources"]["requests"] for container in properties["containers"]]
    return [request["gpu"]["sku"] for request in requests if request.get("gpu")]


def _group(name: str, properties: Document) -> Iterator[ArmError]:
    containers = properties.get("containers")
    if not CONTAINER_NAME.fullmatch(name):
        yield bad_request("InvalidContainerGroupName", f"The container group name '{name}' is invalid.")
    if not containers:
        yield bad_request("ContainersNotSpecified", f"Container group '{name}' has no containers.")
    if not properties.get("osType"):
        yield bad_request("OsTypeNotSpecified", f"The os type of container group '{name}' is not specified.")
    if len(containers or ()) > MOST_CONTAINERS:
        yield bad_request("TooManyContainers", f"A container group has at most {MOST_CONTAINERS} containers.")
    if properties.get("osType") == "Windows" and len(containers or ()) > 1:
        yield bad_request("MultipleContainersNotSupported", "Only Linux groups have more than one container.")


def _containers(name: str, properties: Document) -> Iterator[ArmError]:
    described = [*properties["containers"], *(properties.get("initContainers") or ())]
    names = [container.get("name", "") for container in described]
    for container in described:
        yield from _container(name, container.get("name", ""), container.get("properties") or {})
    if len(set(names)) < len(names):
        yield bad_request("DuplicateContainerName", f"Two containers of '{name}' have the same name.")


def _container(group: str, name: str, properties: Document) -> Iterator[ArmError]:
    where = f"container '{name}' of container group '{group}'"
    if not CONTAINER_NAME.fullmatch(name):
        yield bad_request("InvalidContainerName", f"The name of {where} is invalid.")
    if not properties.get("image"):
        yield bad_request("ImageNotSpecified", f"The image of {where} is not specified.")
    for variable in properties.get("environmentVariables") or ():
        if not ENVIRONMENT_NAME.fullmatch(variable["name"]):
            yield bad_request(
                "InvalidEnvironmentVariableName", f"'{variable['name']}' in {where} names no variable."
            )


def _resources(name: str, properties: Document) -> Iterator[ArmError]:
    for container in properties["containers"]:
        resources = container["properties"].get("resources") or {}
        requests = resources.get("requests") or {}
        for wanted in ("cpu", "memoryInGB"):
            if not requests.get(wanted):
                yield bad_request(
                    "ResourceSomeRequestsNotSpecified",
                    f"The '{wanted}' request is not specified in container '{container['name']}' "
                    f"of contain group '{name}'.",
                )
    cpu, memory = totals(properties)
    if cpu < 1 or memory < 1:
        yield bad_request(
            "ResourceRequestsTooSmall", f"Group '{name}' needs 1 CPU and 1 GB in total at least."
        )
    kind = "Spot" if properties.get("priority") == "Spot" else properties.get("sku", "Standard")
    most_cpu, most_memory = SIZES.get(kind, (cpu, memory))
    if cpu > most_cpu or memory > most_memory:
        yield bad_request(
            "ResourceRequestsTooLarge", f"A {kind} group has {most_cpu:g} CPU, {most_memory:g} GB."
        )


def _limits(name: str, properties: Document) -> Iterator[ArmError]:
    total = dict(zip(("cpu", "memoryInGB"), totals(properties), strict=True))
    for container in properties["containers"]:
        resources = container["properties"]["resources"]
        for kind, limit in (resources.get("limits") or {}).items():
            where = f"in container '{container['name']}' of contain group '{name}'"
            if kind in total and limit < resources["requests"][kind]:
                yield bad_request(
                    "ResourceLimitsLessThanRequests",
                    f"The '{kind}' limit value {where} must be greater than or equal to the request value.",
                )
            if kind in total and limit > total[kind]:
                yield bad_request(
                    "ContainerLimitGreaterThanContainerGroupTotalRequest",
                    f"The '{kind}' limit {where} is greater than the total request of the group.",
                )


def _address(name: str, properties: Document) -> Iterator[ArmError]:
    address = properties.get("ipAddress")
    if not address:
        return
    ports = [port["port"] for port in address.get("ports") or ()]
    exposed = {
        port["port"] for entry in properties["containers"] for port in entry["properties"].get("ports") or ()
    }
    if not ports or len(ports) > MOST_PORTS:
        yield bad_request("InvalidIpAddressPorts", f"The IP address of '{name}' has 1 to {MOST_PORTS} ports.")
    for port in sorted(set(ports) - exposed):
        yield bad_request("PortNotExposed", f"No container of group '{name}' exposes the port '{port}'.")
    label = address.get("dnsNameLabel")
    if label is not None and not DNS_LABEL.fullmatch(label):
        yield bad_request(
            "InvalidDnsNameLabel", f"The DNS name label '{label}' in container group '{name}' is invalid."
        )


def _volumes(name: str, properties: Document) -> Iterator[ArmError]:
    volumes = properties.get("volumes") or []
    if len(volumes) > MOST_VOLUMES:
        yield bad_request("TooManyVolumes", f"A container group has at most {MOST_VOLUMES} volumes.")
    for volume in volumes:
        if not VOLUME_NAME.fullmatch(volume["name"]):
            yield bad_request("InvalidVolumeName", f"The volume name '{volume['name']}' is invalid.")
        if len(VOLUME_KINDS & volume.keys()) != 1:
            yield bad_request("InvalidVolume", f"Volume '{volume['name']}' must be of exactly one kind.")
        if not all(map(_is_base64, (volume.get("secret") or {}).values())):
            yield bad_request("InvalidSecretVolume", f"A value of volume '{volume['name']}' is not base64.")
    known = {volume["name"] for volume in volumes}
    for container in [*properties["containers"], *(properties.get("initContainers") or ())]:
        for mount in container["properties"].get("volumeMounts") or ():
            if mount["name"] not in known:
                yield bad_request("VolumeNotFound", f"Group '{name}' has no volume '{mount['name']}'.")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _spot(_: str, properties: Document) -> Iterator[ArmError]:
    if properties.get("priority") != "Spot":
        return
    prefix = "SpotPriorityContainerGroup"
    if properties.get("ipAddress"):
        yield bad_request(
            f"{prefix}NotSupportedForInboundConnectivity",
            "Spot priority container groups do not support inbound connectivity.",
        )
    if properties.get("sku", "Standard") != "Standard":
        yield bad_request(f"{prefix}NotSupportedInSku", "Spot priority is only supported in sku 'Standard'.")
    if gpus(properties):
        yield bad_request(
            f"{prefix}WithGPUResourcesNotSupported", "Spot priority is not supported with GPUs."
        )


RULES: tuple[Callable[[str, Document], Iterator[ArmError]], ...] = (
    _group,
    _containers,
    _resources,
    _limits,
    _address,
    _volumes,
    _spot,
)

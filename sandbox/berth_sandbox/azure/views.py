"""What Azure shows of a container group: nothing write-only, and what it adds by itself."""

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

from berth_sandbox.azure.backing import ContainerState, Event, InstanceView, LogLine, Observation, State
from berth_sandbox.azure.clock import in_milliseconds, in_seconds, in_ticks
from berth_sandbox.azure.group import Group, Operation, instance_state, provisioning_state
from berth_sandbox.azure.names import CONTAINER_GROUPS, Document, GroupId

WRITE_ONLY = frozenset(
    {
        "secureValue",
        "password",
        "storageAccountKey",
        "workspaceKey",
        "workspaceResourceId",
        "protectedSettings",
    }
)
# The service sends these two, though its description lacks them.
UNDOCUMENTED = {"provisioningTimeoutInSeconds": 1800, "isCustomProvisioningTimeout": False}
NO_VIEW = InstanceView()
MOST_CHARACTERS, MOST_CHARACTERS_OF_ENDED = 4 * 2**20, 16 * 2**10
MOST_LINES, MOST_LINES_OF_ENDED = 10**6, 1000


def resource(group: Group, seen: Observation, tenant: str) -> Document:
    """Return the group as a GET shows it."""
    document = summary(group, seen, tenant)
    properties = document["properties"]
    for kind in ("containers", "initContainers"):
        for container in properties[kind]:
            view = seen.containers.get(container["name"], NO_VIEW)
            if view.current_state:
                container["properties"]["instanceView"] = _instance_view(view)
    properties["instanceView"] = {
        "events": [_event(event) for event in seen.events],
        "state": instance_state(group, seen),
    }
    return document


def summary(group: Group, seen: Observation, tenant: str) -> Document:
    """Return the group as a list shows it: without any instance view."""
    body = redacted(group.body)
    document = {
        "properties": _properties(group, body["properties"], seen),
        "id": str(group.id),
        "name": group.id.name,
        "type": CONTAINER_GROUPS,
        "location": group.location,
    }
    document |= {name: body[name] for name in ("tags", "zones") if name in body}
    if "identity" in body:
        document["identity"] = _identity(group, body["identity"], tenant)
    return document


def operation(group: GroupId, seen: Observation, asked: Operation) -> Document:
    """Return the status document of an operation on a group."""
    ended = "Failed" if asked.failure else "Succeeded"
    document: Document = {
        "id": str(group),
        "status": ended if asked.ended else "Pending",
        "startTime": in_ticks(asked.started),
        "properties": {"events": _until(seen, asked)},
    }
    if asked.failure:
        document["error"] = {"code": asked.failure.code, "message": asked.failure.message}
    return document


def logs(lines: Sequence[LogLine], view: InstanceView, *, tail: int | None, timestamps: bool) -> Document:
    """Return the last lines of a log, which are fewer once the container has ended."""
    running = view.current_state is not None and view.current_state.state == State.RUNNING
    kept = list(lines)[-(tail or MOST_LINES) :]
    if not running:
        kept = kept[-MOST_LINES_OF_ENDED:]
    texts = [f"{in_milliseconds(line.time)} {line.text}" if timestamps else line.text for line in kept]
    content = "".join(f"{text}\n" for text in texts)
    return {"content": content[-(MOST_CHARACTERS if running else MOST_CHARACTERS_OF_ENDED) :]}


def redacted(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a copy of a JSON value without what only goes in; of a secret volume the empty hull remains."""
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: redacted(item) for name, item in value.items() if name not in WRITE_ONLY}
    return kept | {name: {} for name in ("secret",) if name in kept}


def _properties(group: Group, body: Document, seen: Observation) -> Document:
    properties: Document = {
        "sku": "Standard",
        "provisioningState": provisioning_state(group, seen).value,
        **UNDOCUMENTED,
        "initContainers": [],
        **body,
    }
    properties["containers"] = [_with_lists(container) for container in properties["containers"]]
    if "ipAddress" in properties:
        properties["ipAddress"] = _ip_address(group, properties["ipAddress"], seen)
    if "encryptionProperties" in properties:
        vault = properties["encryptionProperties"]["vaultBaseUrl"]
        properties["encryptionProperties"]["vaultBaseUrl"] = vault.rstrip("/") + "/"
    return properties


def _with_lists(container: Document) -> Document:
    return {**container, "properties": {"ports": [], "environmentVariables": [], **container["properties"]}}


def _ip_address(group: Group, asked: Document, seen: Observation) -> Document:
    shown = {**asked, "ports": [{"protocol": "TCP", **port} for port in asked["ports"]]}
    if seen.address:
        shown["ip"] = seen.address
    if "dnsNameLabel" in asked:
        shown["fqdn"] = fqdn(group)
    return shown


def fqdn(group: Group) -> str:
    """Return the name under which a group with a DNS label is found; a reuse scope puts a hash into it."""
    address = group.body["properties"]["ipAddress"]
    scope = address.get("autoGeneratedDomainNameLabelScope", "Unsecure")
    label = address["dnsNameLabel"]
    if scope != "Unsecure":
        digest = hashlib.sha256(f"{scope} {group.id.key}".encode()).hexdigest()
        label = f"{label}.{digest[:16]}"
    return f"{label}.{group.location}.azurecontainer.io"


def _identity(group: Group, asked: Document, tenant: str) -> Document:
    shown: Document = {"tenantId": tenant, "type": asked["type"]}
    if "SystemAssigned" in asked["type"]:
        shown["principalId"] = _made_up(group.id.key)
    if users := asked.get("userAssignedIdentities"):
        shown["userAssignedIdentities"] = {
            user: {"principalId": _made_up(user), "clientId": _made_up(f"{user} client")} for user in users
        }
    return shown


def _made_up(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _instance_view(view: InstanceView) -> Document:
    states = {"currentState": view.current_state, "previousState": view.previous_state}
    return {
        "restartCount": view.restart_count,
        **{name: _state(state) for name, state in states.items() if state},
        "events": [_event(event) for event in view.events],
    }


def _state(state: ContainerState) -> Document:
    shown: Document = {"state": state.state.value}
    if state.start_time:
        shown["startTime"] = in_milliseconds(state.start_time)
    if state.exit_code is not None:
        shown["exitCode"] = state.exit_code
    if state.finish_time:
        shown["finishTime"] = in_milliseconds(state.finish_time)
    return shown | {"detailStatus": state.detail_status}


def _event(event: Event) -> Document:
    return {
        "count": event.count,
        "firstTimestamp": in_seconds(event.first),
        "lastTimestamp": in_seconds(event.last),
        "name": event.name,
        "message": event.message,
        "type": event.type,
    }


def _until(seen: Observation, asked: Operation) -> list[Document]:
    """List the events up to the end of the operation; what starts a container is no longer told there."""
    events = [event for view in seen.containers.values() for event in view.events]
    told = [event for event in events if asked.ended is None or event.first < asked.ended]
    return [_event(event) for event in told if event.name != "Started"]

"""What a hub shows of configurations, identities and twins."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from berth_sandbox.azure.clock import in_ticks
from berth_sandbox.azure.iot_hub import etags
from berth_sandbox.azure.iot_hub.agent import Report, Situation
from berth_sandbox.azure.iot_hub.configuration import Configuration
from berth_sandbox.azure.iot_hub.content import AGENT, EDGE_HUB
from berth_sandbox.azure.iot_hub.device import Device, Twin
from berth_sandbox.azure.iot_hub.modules import Life, ModuleView, RuntimeStatus
from berth_sandbox.azure.names import Document

NEVER = "0001-01-01T00:00:00"
AGENT_VERSION = {"version": "1.6.1", "build": "0", "commit": "0"}
PLATFORM = {"os": "linux", "architecture": "x86_64", "version": "1.6.1"}
SYSTEM_MODULES = ("edgeAgent", "edgeHub")
NO_THUMBPRINT = {"primaryThumbprint": None, "secondaryThumbprint": None}


def configuration(shown: Configuration, results: Mapping[str, Mapping[str, int]]) -> Document:
    """Return a configuration; the results are those of the system's metrics and of its own."""
    return {
        "id": shown.id,
        "schemaVersion": shown.schema_version,
        "labels": dict(shown.labels),
        "content": shown.content,
        "targetCondition": shown.target_condition,
        "createdTimeUtc": moment(shown.created),
        "lastUpdatedTimeUtc": moment(shown.updated),
        "priority": shown.priority,
        "systemMetrics": {"results": results.get("system", {}), "queries": shown.system_queries()},
        "metrics": {"results": results.get("custom", {}), "queries": dict(shown.queries)},
        "etag": etags.of_number(shown.version),
    }


def identity(device: Device, now: float, keys: tuple[str, str]) -> Document:
    """Return the identity of a device."""
    return {
        "deviceId": device.id,
        "generationId": str(device.number),
        "etag": etags.of_number(device.number),
        "connectionState": _connection(device.is_edge and device.situation.conditions.online),
        "status": device.status,
        "connectionStateUpdatedTime": _activity(device, now),
        "statusUpdatedTime": f"{NEVER}Z",
        "lastActivityTime": _activity(device, now),
        "cloudToDeviceMessageCount": 0,
        "authentication": _authentication(keys),
        "capabilities": {"iotEdge": device.is_edge},
    }


def module_identity(device: Device, module: str, now: float, keys: tuple[str, str]) -> Document:
    """Return the identity of a module."""
    managed = {} if module in device.modules else {"managedBy": "IotEdge"}
    number = device.modules.get(module, device.number)
    return {
        "moduleId": module,
        **managed,
        "deviceId": device.id,
        "generationId": str(number),
        "etag": etags.of_number(number),
        "connectionState": _connection(device.situation.conditions.online and module not in device.modules),
        "connectionStateUpdatedTime": _activity(device, now),
        "lastActivityTime": _activity(device, now),
        "cloudToDeviceMessageCount": 0,
        "authentication": _authentication(keys),
    }


def device_twin(device: Device, twin: Twin, situation: Situation, now: float) -> Document:
    """Return the twin of a device."""
    online = device.is_edge and situation.conditions.online
    activity = moment(situation.last_heard(now)) if device.is_edge else f"{NEVER}Z"
    return {
        "deviceId": device.id,
        **_of_any_twin(device, twin.version, twin.version + twin.reported_version, online, activity),
        "authenticationType": "sas",
        "tags": twin.tags,
        "properties": {
            "desired": _section(twin.desired, twin.desired_version, twin.at),
            "reported": _section(twin.reported, twin.reported_version, twin.at),
        },
        "capabilities": {"iotEdge": device.is_edge},
    }


def module_twin(
    device: Device,
    module: str,
    situation: Situation,
    now: float,
    seen: Mapping[str, ModuleView] | None = None,
) -> Document:
    """Return the twin of a module; `seen` is what a backing sees, where there is one."""
    version = _version(situation, module)
    reported, number = _reported(situation, module, now, seen)
    online = situation.conditions.online and module not in device.modules
    statuses = {
        **dict.fromkeys(situation.told.applied, "Applied"),
        **dict.fromkeys(situation.told.targeted, "Targeted"),
    }
    of_agent = {
        "configurations": {name: {"status": status} for name, status in statuses.items()},
        "capabilities": {"iotEdge": True},
    }
    return {
        "deviceId": device.id,
        "moduleId": module,
        **_of_any_twin(
            device, version, version + number, online, moment(situation.last_heard(now)) if online else NEVER
        ),
        "authenticationType": "none",
        "properties": {
            "desired": _section(situation.told.manifest.twins.get(module, {}), version, situation.at),
            "reported": _section(reported, number, now),
        },
        **(of_agent if module == AGENT and statuses else {}),
    }


def moment(seconds: float) -> str:
    """Write a time as a hub does."""
    return in_ticks(datetime.fromtimestamp(seconds, UTC))


def _of_any_twin(device: Device, etag: int, version: int, online: bool, activity: str) -> Document:
    return {
        "etag": etags.of_twin(etag),
        "deviceEtag": etags.of_number(device.number),
        "status": device.status,
        "statusUpdateTime": f"{NEVER}Z",
        "connectionState": _connection(online),
        "lastActivityTime": activity if activity.endswith("Z") else f"{activity}Z",
        "cloudToDeviceMessageCount": 0,
        "x509Thumbprint": NO_THUMBPRINT,
        "modelId": "",
        "version": version,
    }


def _reported(
    situation: Situation, module: str, now: float, seen: Mapping[str, ModuleView] | None
) -> tuple[Document, int]:
    report = situation.report(now)
    if report is None:
        return {}, 1
    if module == AGENT:
        return _of_agent(report, seen), report.number + 1
    if module == EDGE_HUB and report.views:
        state = {"schemaVersion": "1.2", "version": AGENT_VERSION, "lastDesiredStatus": _status((200, ""))}
        return state | {"lastDesiredVersion": _version(situation.by(now), EDGE_HUB)}, 2
    return {}, 1


def _of_agent(report: Report, seen: Mapping[str, ModuleView] | None) -> Document:
    views = {
        name: (life, view if seen is None else seen.get(name, view))
        for name, (life, view) in report.views.items()
    }
    modules = {name: _module(*entry) for name, entry in views.items()}
    return {
        "schemaVersion": "1.0",
        "version": AGENT_VERSION,
        "lastDesiredVersion": report.version,
        "lastDesiredStatus": _status(report.status),
        "runtime": {"platform": PLATFORM, **report.runtime},
        "systemModules": {name: modules[name] for name in SYSTEM_MODULES if name in modules},
        "modules": {name: shown for name, shown in modules.items() if name not in SYSTEM_MODULES},
    }


def _module(life: Life, view: ModuleView) -> Document:
    started = NEVER if view.last_start is None else moment(view.last_start).removesuffix("Z")
    ended = NEVER if view.last_exit is None else moment(view.last_exit).removesuffix("Z")
    return {
        "type": "docker",
        "imagePullPolicy": "on-create",
        **life.spec,
        "exitCode": view.exit_code,
        "statusDescription": "running" if view.status is RuntimeStatus.RUNNING else "exited",
        "lastStartTimeUtc": started,
        "lastExitTimeUtc": ended,
        "restartCount": view.restart_count,
        "lastRestartTimeUtc": ended,
        "runtimeStatus": str(view.status),
    }


def _version(situation: Situation, module: str) -> int:
    """Return the version of a module's desired properties."""
    if module == AGENT:
        return situation.version
    version, later = 1, situation
    while later.parent:
        before = later.parent.told.manifest
        version += later.told.manifest is not before and (
            later.told.manifest.twins.get(module) != before.twins.get(module)
        )
        later = later.parent
    return version


def _section(properties: Mapping[str, Any], version: int, at: float) -> Document:
    updated = moment(at)
    return {**properties, "$metadata": {"$lastUpdated": updated}, "$version": version}


def _status(status: tuple[int, str]) -> Document:
    return {"code": status[0], "description": status[1]}


def _connection(online: bool) -> str:
    return "Connected" if online else "Disconnected"


def _activity(device: Device, now: float) -> str:
    return moment(device.situation.last_heard(now)) if device.is_edge else f"{NEVER}Z"


def _authentication(keys: tuple[str, str]) -> Document:
    primary, secondary = keys
    return {
        "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary},
        "x509Thumbprint": NO_THUMBPRINT,
        "type": "sas",
    }

"""What the agent of a device makes of a manifest before it acts on it."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from berth_sandbox.azure.iot_hub.content import Manifest
from berth_sandbox.azure.names import Document
from berth_sandbox.azure.shape import misfits

Status = tuple[int, str]
Rules = Callable[[Manifest], Status | None]

SUCCESS: Status = (200, "")
EMPTY: Status = (
    417,
    "This device has an empty configuration for the edge agent. Please set a deployment manifest.",
)
VERSIONS = ("1.0", "1.1")
CHOICES = {
    "status": {"running", "stopped"},
    "restartPolicy": {"never", "on-failure", "on-unhealthy", "always"},
    "imagePullPolicy": {"on-create", "never"},
    "type": {"docker"},
}
SETTINGS = {"image!": str}
SYSTEM_MODULE = {"type!": str, "settings!": SETTINGS, "env": {str: {"value!": (str, int, float, bool)}}}
MODULE = {**SYSTEM_MODULE, "status!": str, "restartPolicy!": str, "version": str, "startupOrder": int}
AGENT = {
    "schemaVersion!": str,
    "runtime!": {"type!": str, "settings!": dict},
    "systemModules!": {"edgeAgent!": SYSTEM_MODULE, "edgeHub!": MODULE},
    "modules": {str: MODULE},
}


def own_rules(manifest: Manifest) -> Status | None:
    """Return why the agent does not act on a manifest."""
    agent = manifest.agent
    if not agent:
        return EMPTY
    version = agent.get("schemaVersion")
    if version not in VERSIONS:
        return 412, f"The deployment schema version {version} is not compatible with the expected version 1.1"
    problem = next(_problems(agent), None)
    return (400, f"Edge agent config format error: {problem}") if problem else None


def every_module(agent: Mapping[str, Any]) -> dict[str, Document]:
    """Return what the agent is told of each module, its hub and itself too."""
    return {**agent.get("systemModules", {}), **agent.get("modules", {})}


def create_options(settings: Mapping[str, Any]) -> str:
    """Return the options to create a container with, which may come in parts."""
    return "".join(_parts(settings))


def _parts(settings: Mapping[str, Any]) -> Iterator[str]:
    yield str(settings.get("createOptions", ""))
    for number in range(1, 100):
        part = settings.get(f"createOptions{number:02d}")
        if part is None:
            return
        yield str(part)


def _problems(agent: Document) -> Iterator[str]:
    for place in misfits(AGENT, agent):
        yield f"{place.lstrip('.')} is missing or of another kind."
        return
    for name, module in every_module(agent).items():
        for field, choices in CHOICES.items():
            if field in module and module[field] not in choices:
                yield f"{field} of module {name} is not one of {sorted(choices)}."
        try:
            json.loads(create_options(module["settings"]) or "{}")
        except json.JSONDecodeError:
            yield f"createOptions of module {name} are not JSON."

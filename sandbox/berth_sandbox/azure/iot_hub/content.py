"""What deployments say of the modules of a device, and what comes of several of them."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from berth_sandbox.azure.iot_hub.errors import HubError, invalid_content
from berth_sandbox.azure.names import Document

AGENT, EDGE_HUB = "$edgeAgent", "$edgeHub"
DESIRED = "properties.desired"
KINDS = ("modulesContent", "deviceContent", "moduleContent")
MOST_MODULES = 50
MOST_BYTES = 32 * 1024  # of the desired or the reported properties of a twin
MODULE_NAME = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")
PLACE = re.compile(rf"{re.escape(DESIRED)}(\.[^.\s]+)*")

Modules = Mapping[str, Mapping[str, Any]]


def kind(content: Document) -> str:
    """Return what a content is for; an id and no value is none."""
    found = [name for name in KINDS if content.get(name) is not None]
    if len(found) != 1 or not isinstance(content[found[0]], dict):
        raise invalid_content()
    return found[0]


def check(content: Document) -> None:
    """Raise unless a hub takes the content; it does not look at what modules mean."""
    chosen = kind(content)
    if chosen != "modulesContent":
        _check_places(content[chosen])
        return
    modules: Document = content[chosen]
    if AGENT not in modules or not all(MODULE_NAME.fullmatch(name) for name in modules):
        raise invalid_content()
    for places in modules.values():
        _check_places(places)
    if len(described(modules)) > MOST_MODULES:
        raise HubError(
            400, "InvalidConfigurationContent", f"A deployment holds at most {MOST_MODULES} modules."
        )
    if too_large(merged([modules])):
        raise HubError(
            400, "InvalidConfigurationContent", f"A module's twin holds at most {MOST_BYTES} bytes."
        )


def is_layered(modules: Modules) -> bool:
    """Tell whether a deployment only adds to another."""
    return DESIRED not in modules[AGENT]


def described(modules: Modules) -> set[str]:
    """Name the modules that a deployment lets run, without the runtime's own."""
    whole: Mapping[str, Any] = modules[AGENT].get(DESIRED) or {}
    prefix = f"{DESIRED}.modules."
    inner = whole.get("modules")
    return {*(inner if isinstance(inner, dict) else {})} | {
        place.removeprefix(prefix).partition(".")[0] for place in modules[AGENT] if place.startswith(prefix)
    }


def merged(layers: Iterable[Modules]) -> dict[str, Document]:
    """Return the desired properties of each module: what a later layer says replaces what is there."""
    twins: dict[str, Document] = {}
    for layer in layers:
        for module, places in layer.items():
            for place, value in sorted(places.items(), key=lambda entry: len(entry[0])):
                _put(twins, (module, *place.removeprefix(DESIRED).split(".")[1:]), value)
    return twins


def too_large(twins: Mapping[str, Document]) -> bool:
    """Tell whether a twin would hold more than it can."""
    return any(size(twin) > MOST_BYTES for twin in twins.values())


def size(section: Document) -> int:
    """Return how much of a twin a section takes."""
    return len(json.dumps(section, separators=(",", ":")).encode())


def _check_places(places: Any) -> None:  # noqa: ANN401 - any JSON
    if not isinstance(places, dict) or not all(PLACE.fullmatch(place) for place in places):
        raise invalid_content()
    if not isinstance(places.get(DESIRED, {}), dict):
        raise invalid_content()


def _put(twins: dict[str, Document], path: tuple[str, ...], value: Any) -> None:  # noqa: ANN401 - any JSON
    """Put a value at its place without a change to what was put there before: that is others' too."""
    into: Document = twins
    for name in path[:-1]:
        inner = into.get(name)
        into[name] = into = dict(inner) if isinstance(inner, dict) else {}
    into[path[-1]] = value


@dataclass(frozen=True, eq=False)
class Manifest:
    """What a device is to run: the desired properties of each module."""

    twins: Mapping[str, Document]

    @property
    def agent(self) -> Document:
        """Return the desired properties of the agent."""
        return self.twins.get(AGENT, {})

"""Docker's options of a module, as far as a Pod can have them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

PIECE = "createOptions"


class OptionsError(ValueError):
    """The options are not what Docker takes, or the emulator cannot."""


@dataclass(frozen=True)
class Bind:
    """A volume of the device, or a folder of its file system, and where the module sees it."""

    source: str
    path: str
    read_only: bool

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read `SOURCE:PATH[:ro]`."""
        source, _, rest = text.partition(":")
        path, _, mode = rest.partition(":")
        if not source or not path.startswith("/"):
            raise OptionsError(f"not a bind: {text}")
        return cls(source, path, "ro" in mode.split(","))


@dataclass(frozen=True)
class Options:
    """What is asked of a module's container; what a Pod cannot have is left out."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: tuple[int, ...]
    binds: tuple[Bind, ...]
    tmpfs: tuple[str, ...]
    memory: int
    security: Mapping[str, Any]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Read the settings of a module, whose options may be in several pieces."""
        asked = _document(settings)
        host = asked.get("HostConfig") or {}
        return cls(
            entrypoint=_words(asked.get("Entrypoint")),
            command=_words(asked.get("Cmd")),
            environment=dict(_variable(text) for text in asked.get("Env") or ()),
            ports=tuple(int(port.partition("/")[0]) for port in asked.get("ExposedPorts") or ()),
            binds=tuple(Bind.from_text(text) for text in host.get("Binds") or ()),
            tmpfs=tuple(host.get("Tmpfs") or ()),
            memory=host.get("Memory") or 0,
            security=_security(asked, host),
        )


def _document(settings: Mapping[str, Any]) -> dict[str, Any]:
    pieces = [settings[name] for name in sorted(settings) if name.startswith(PIECE)]
    try:
        document = json.loads("".join(pieces) or "{}")
    except json.JSONDecodeError as error:
        raise OptionsError(f"{PIECE} are no JSON: {error}") from None
    if not isinstance(document, dict):
        raise OptionsError(f"{PIECE} are no JSON object")
    return document


def _words(given: str | list[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _variable(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _security(asked: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    capabilities = {
        kind: host[name] for kind, name in (("add", "CapAdd"), ("drop", "CapDrop")) if host.get(name)
    }
    found: dict[str, Any] = {
        "privileged": bool(host.get("Privileged")),
        "readOnlyRootFilesystem": bool(host.get("ReadonlyRootfs")),
        **({"capabilities": capabilities} if capabilities else {}),
        **_user(asked.get("User") or ""),
    }
    if "no-new-privileges" in (host.get("SecurityOpt") or ()):
        found["allowPrivilegeEscalation"] = False
    return found


def _user(text: str) -> dict[str, int]:
    """Read `UID[:GID]`; names are in the image, where nobody looks."""
    user, _, group = text.partition(":")
    ids = {"runAsUser": user, "runAsGroup": group}
    return {name: int(value) for name, value in ids.items() if value.isdecimal()}

"""Module twins, as far as the hub of a device serves them."""

import json
from copy import deepcopy
from typing import Any

Properties = dict[str, Any]
MOST_BYTES = 32 * 1024
LONGEST_STRING = 4096


class TwinError(ValueError):
    """A change that IoT Hub would not take."""


class Twin:
    """Desired and reported properties, each with its version."""

    def __init__(self) -> None:
        self.desired: Properties = {}
        self.reported: Properties = {}
        self.versions = {"desired": 1, "reported": 1}

    def document(self) -> bytes:
        """Return what a module gets that asks for its twin."""
        parts = {"desired": self.desired, "reported": self.reported}
        return json.dumps(
            {name: part | {"$version": self.versions[name]} for name, part in parts.items()}
        ).encode()

    def report(self, patch: bytes) -> int:
        """Change reported properties and return their version."""
        self.reported = _changed(self.reported, _read(patch))
        self.versions["reported"] += 1
        return self.versions["reported"]

    def desire(self, patch: Properties) -> bytes:
        """Change desired properties and return what the module is told."""
        self.desired = _changed(self.desired, patch)
        self.versions["desired"] += 1
        return json.dumps(patch | {"$version": self.versions["desired"]}).encode()


def _read(patch: bytes) -> Properties:
    try:
        document = json.loads(patch)
    except ValueError as error:
        raise TwinError("the patch is not JSON") from error
    if not isinstance(document, dict):
        raise TwinError("the patch is not an object")
    return document


def _changed(properties: Properties, patch: Properties) -> Properties:
    _check(patch)
    changed = deepcopy(properties)
    _merge(changed, patch)
    if len(json.dumps(changed)) > MOST_BYTES:
        raise TwinError(f"the properties have more than {MOST_BYTES} bytes")
    return changed


def _check(value: object) -> None:
    match value:
        case dict():
            for key, each in value.items():
                if any(character in key for character in ".$ ") or not key.isprintable():
                    raise TwinError(f"a key may not be {key!r}")
                _check(each)
        case str() if len(value.encode()) > LONGEST_STRING:
            raise TwinError(f"a string has more than {LONGEST_STRING} bytes")


def _merge(properties: Properties, patch: Properties) -> None:
    for key, value in patch.items():
        if value is None:
            properties.pop(key, None)
        elif isinstance(value, dict):
            inner = properties.get(key)
            properties[key] = inner if isinstance(inner, dict) else {}
            _merge(properties[key], value)
        else:
            properties[key] = value

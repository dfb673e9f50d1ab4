"""How JSON objects become dataclasses: each key is known, and none that is needed lacks."""

import re
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """The configuration is not what this version of the scoring container understands."""


def arguments(cls: type, data: object) -> dict[str, Any]:
    """Return the arguments of a dataclass that an object in JSON holds."""
    if not isinstance(data, dict):
        raise ConfigError(f"{cls.__name__} must be a JSON object, not {data!r}")
    known = {camel(each.name): each for each in fields(cls)}
    if unknown := sorted(set(data) - set(known)):
        raise ConfigError(f"{cls.__name__} does not know {', '.join(unknown)}")
    missing = [key for key, each in known.items() if _is_required(each) and data.get(key) is None]
    if missing:
        raise ConfigError(f"{cls.__name__} lacks {', '.join(missing)}")
    return {known[key].name: value for key, value in data.items()}


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def camel(name: str) -> str:
    """Return a name as JSON has it."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def as_paths(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """Make paths of some of the arguments."""
    paths = {name: Path(values[name]) for name in names if values.get(name) is not None}
    return values | paths

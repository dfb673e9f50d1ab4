"""The topics of IoT Hub: which input a message came by, and its properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self
from urllib.parse import quote, unquote

from berth_scoring.edge.identity import ModuleIdentity

MESSAGE_ID = "$.mid"
CORRELATION_ID = "$.cid"
CONTENT_TYPE = "$.ct"
CONTENT_ENCODING = "$.ce"
OUTPUT_NAME = "$.on"

TWIN_ANSWERS = "$iothub/twin/res/"
SHORT = 64


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one module."""

    inputs: str
    outputs: str

    @classmethod
    def of(cls, identity: ModuleIdentity) -> Self:
        """Return where a module hears and where it speaks."""
        base = f"devices/{identity.device}/modules/{identity.module}"
        return cls(f"{base}/inputs/", f"{base}/messages/events/")

    @property
    def filters(self) -> tuple[str, str]:
        """What the module subscribes to; a hub knows no filter for one input alone."""
        return f"{self.inputs}#", f"{TWIN_ANSWERS}#"

    def input(self, topic: str) -> tuple[str, dict[str, str]] | None:
        """Return the name of the input and the properties of a message, if it came by one."""
        if not topic.startswith(self.inputs):
            return None
        name, _, properties = topic[len(self.inputs) :].partition("/")
        return unquote(name), read_properties(properties)

    def output(self, name: str, properties: Mapping[str, str]) -> str:
        """Return the topic of a message with these properties to an output."""
        return self.outputs + write_properties({OUTPUT_NAME: name, **properties})


def twin_patch(request: int) -> str:
    """Return the topic of a change of reported properties."""
    return f"$iothub/twin/PATCH/properties/reported/?$rid={request}"


def twin_answer(topic: str) -> tuple[int, int] | None:
    """Return request and status of an answer about the twin, if it is one."""
    status, _, query = topic.removeprefix(TWIN_ANSWERS).partition("/?")
    request = read_properties(query).get("$rid", "")
    if topic.startswith(TWIN_ANSWERS) and status.isdecimal() and request.isdecimal():
        return int(request), int(status)
    return None


def read_properties(text: str) -> dict[str, str]:
    """Read properties as a query is written, but for `+`, which stands for itself."""
    pairs = (pair.partition("=") for pair in text.strip("/").split("&") if pair)
    return {_plain(key): _plain(value) for key, _, value in pairs}


def write_properties(properties: Mapping[str, str]) -> str:
    """Write properties, keys quoted too."""
    return "&".join(f"{_quoted(key)}={_quoted(value)}" for key, value in properties.items())


def _quoted(text: str) -> str:
    return _short_quoted(text) if len(text) <= SHORT else quote(text, safe="", errors="replace")


def _plain(text: str) -> str:
    return _short_plain(text) if len(text) <= SHORT else unquote(text)


# Most keys and many values are the same in every message, and quoting costs more than all else in a topic.
@lru_cache(maxsize=512)
def _short_quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


@lru_cache(maxsize=512)
def _short_plain(text: str) -> str:
    return unquote(text)

"""Messages on a device, and their topics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

FORWARDED = {"$.mid", "$.cid", "$.uid", "$.ct", "$.ce", "$.exp", "$.to"}
"""The system properties that a message keeps on its way."""


@dataclass(frozen=True)
class Identity:
    """A module of a device."""

    device: str
    module: str

    @classmethod
    def from_client_id(cls, client_id: str) -> Self | None:
        """Read `device/module`."""
        device, _, module = client_id.partition("/")
        return cls(device, module) if device and module else None

    @property
    def base(self) -> str:
        """How the topics of the module begin."""
        return f"devices/{self.device}/modules/{self.module}"


@dataclass(frozen=True)
class Message:
    """What a module has sent, to one of its outputs or to none by name."""

    source: Identity
    output: str | None
    properties: Mapping[str, str]
    body: bytes

    @classmethod
    def from_topic(cls, source: Identity, properties: str, body: bytes) -> Self:
        """Read what follows `messages/events/` in the topic."""
        found = read_properties(properties)
        return cls(source, found.pop("$.on", None), found, body)

    def input_topic(self, target: str, name: str) -> str:
        """Return the topic by which the message arrives at a module's input."""
        kept = {
            key: value
            for key, value in self.properties.items()
            if key in FORWARDED or not key.startswith("$.")
        }
        origin = {"$.cdid": self.source.device, "$.cmid": self.source.module}
        base = Identity(self.source.device, target).base
        return f"{base}/inputs/{name}/{write_properties({**kept, **origin})}"


def read_properties(text: str) -> dict[str, str]:
    """Read properties as they stand in a topic, where `+` stands for itself."""
    pairs = (pair.partition("=") for pair in text.strip("/").split("&") if pair)
    return {unquote(key): unquote(value) for key, _, value in pairs}


def write_properties(properties: Mapping[str, str]) -> str:
    """Write properties into a topic."""
    return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in properties.items())

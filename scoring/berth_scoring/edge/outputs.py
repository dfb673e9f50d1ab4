"""What a module sends for an answer of the script or model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from berth_scoring import azureml
from berth_scoring.edge.packets import publish_length
from berth_scoring.edge.topics import CONTENT_ENCODING, CONTENT_TYPE, CORRELATION_ID, MESSAGE_ID
from berth_scoring.messages import Refusal, Response

RESPONSE = "AzureMLResponse"
OK = "OK"
SHOWN_CHARACTERS = 256
ID_CHARACTERS = 100
LARGEST_MESSAGE = 262_144
"""Bytes that an edge hub lets through, topic and properties included."""
LONGEST_TOPIC = 0xFFFF

Properties = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Output:
    """A message to be sent; `AzureMLResponse` among its properties says how it went."""

    body: bytes
    properties: Properties

    @property
    def is_ok(self) -> bool:
        """Whether script or model have answered."""
        return self.properties[RESPONSE] == OK


def answered(response: Response, given: Properties, *, one_each: bool) -> list[Output]:
    """Return the messages for a response; `one_each` makes one of each string in a list of JSON texts."""
    if response.status >= 400:  # noqa: PLR2004
        return [_output(response, given, f"the script answered with status {response.status}")]
    texts = json_texts(response.body) if one_each else None
    if texts is None:
        return [_output(response, given, OK)]
    # Half of a surrogate pair is no UTF-8, but its escape is JSON.
    bodies = (text.encode(errors="backslashreplace") for text in texts)
    parts = (Response(200, body, response.headers) for body in bodies)
    return [_output(part, given, OK, index) for index, part in enumerate(parts)]


def refused(refusal: Refusal, given: Properties) -> Output:
    """Return the message for a refusal: its body is what HTTP would say."""
    return _output(azureml.refuse(refusal), given, refusal.message)


def too_large(size: int) -> Output:
    """Return the message that stands for one that the hub would not take."""
    text = f"The answer takes {size} bytes with its properties; a message has {LARGEST_MESSAGE} at most"
    return refused(Refusal(500, text), {})


def size_beyond_limit(topic: str, body: bytes) -> int | None:
    """Return the size of a message that the hub would not take, else none."""
    size = publish_length(topic, body)
    return size if size > LARGEST_MESSAGE or len(topic.encode()) > LONGEST_TOPIC else None


def json_texts(body: bytes) -> list[str] | None:
    """Return the members of a JSON list if each is JSON in a string, as Azure ML's modules had it."""
    if not body.startswith(b"["):
        return None
    try:
        members: list[Any] = json.loads(body)
        for member in members:
            json.loads(member)
    except (TypeError, ValueError, RecursionError):
        return None
    return members


def _output(response: Response, given: Properties, outcome: str, index: int = 0) -> Output:
    system = {CONTENT_TYPE: _content_type(response), CONTENT_ENCODING: "utf-8"}
    if message_id := given.get(MESSAGE_ID):
        # The same for an input that comes again, so that whoever reads it can tell.
        system[MESSAGE_ID] = f"{message_id[:ID_CHARACTERS]}:{index}"
        system[CORRELATION_ID] = message_id
    own = {key: value for key, value in given.items() if not key.startswith("$.") and key != RESPONSE}
    return Output(response.body, system | own | {RESPONSE: outcome[:SHOWN_CHARACTERS]})


def _content_type(response: Response) -> str:
    types = [value for name, value in response.headers if name == b"content-type"]
    return types[0].decode("latin-1") if types else "application/octet-stream"

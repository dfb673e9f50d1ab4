"""Queries on a hub's devices: every name and value that goes into one is escaped or refused here."""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256

from berth.api.conditions import Reason
from berth.core.errors import Terminal

LONGEST_CONDITION = 8192
"""Characters of a query that a hub takes."""
MOST_RANKED = 1000
"""Devices among which a share is chosen; their ids are what the condition is made of."""

_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[()'"]""", re.DOTALL)
_UNSAFE = re.compile(r"[^A-Za-z0-9:.+%_#*?!(),=@$-]")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
NO_DEVICE = "deviceId = ''"
_AGENT = "$edgeAgent"
RESTARTS_TOO_MANY = 3
"""Restarts within ten minutes after which a module that runs just now is taken for one that fails."""
BAD_STATES = ("backoff", "failed", "unhealthy", "dead", "stopped")


def text(value: str) -> str:
    """Write a value as a text of the query language."""
    escaped = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return f"'{escaped}'"


def bracketed(name: str) -> str:
    """Write a name that may hold hyphens as a step of a path."""
    if not _NAME.fullmatch(name):
        raise Terminal(Reason.CONFIG_INVALID, f"{name} cannot be named in a query")
    return f"[[{name}]]"


def check_condition(condition: str) -> str:
    """Return a condition that can stand between parentheses without reaching beyond them.

    Raises Terminal where a quote or parenthesis is not closed.
    """
    depth = 0
    for found in _TOKEN.finditer(condition):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if found[0] in {"'", '"'}:
            raise _malformed(condition, "a quote is not closed")
        if depth < 0:
            raise _malformed(condition, "a parenthesis is closed that was not opened")
    if depth:
        raise _malformed(condition, "a parenthesis is not closed")
    return condition


def device(device_id: str) -> str:
    """Choose one device."""
    return f"deviceId = {text(device_id)}"


def both(first: str, second: str) -> str:
    """Choose the devices that two conditions choose."""
    if first == "*":
        return second
    return f"({check_condition(first)}) AND ({check_condition(second)})"


def either(conditions: Sequence[str]) -> str:
    """Choose the devices that any of the conditions chooses."""
    if len(conditions) == 1:
        return conditions[0]
    return " OR ".join(f"({check_condition(condition)})" for condition in conditions)


def share(device_ids: Iterable[str], percent: int) -> str:
    """Choose a share of devices: the same ones each time, and with a larger share those and more.

    A hub takes no IN in a condition.
    """
    ranked = sorted(device_ids, key=_rank)
    chosen = sorted(ranked[: -(-len(ranked) * percent // 100)])
    return " OR ".join(map(device, chosen)) or NO_DEVICE


def few_enough(device_ids: Sequence[str]) -> Sequence[str]:
    """Return the ids that a share is chosen of; raises Terminal where there are too many to read them all."""
    if len(device_ids) > MOST_RANKED:
        raise Terminal(
            Reason.TOO_LARGE,
            f"A share can be chosen of {MOST_RANKED} devices at most: "
            "give the stages of the rollout by targetCondition on tags",
        )
    return device_ids


def short_enough(condition: str) -> str:
    """Return the condition; raises Terminal where it is longer than a hub takes."""
    if len(condition) > LONGEST_CONDITION:
        raise Terminal(
            Reason.TOO_LARGE,
            f"The condition has {len(condition)} characters, and a hub takes {LONGEST_CONDITION}: "
            "give the stages of the rollout by targetCondition on tags",
        )
    return condition


def targeted(condition: str) -> str:
    """Ask for the devices of IoT Edge that a condition chooses."""
    query = "SELECT deviceId FROM devices WHERE capabilities.iotEdge = true"
    return query if condition == "*" else f"{query} AND ({check_condition(condition)})"


def applied(deployment: str) -> str:
    """Ask for the devices whose agent was told of a deployment."""
    return f"SELECT deviceId FROM devices.modules WHERE {_applied(deployment)}"


def applied_twins(deployment: str) -> str:
    """Ask for what the agents of those devices say."""
    return f"SELECT * FROM devices.modules WHERE {_applied(deployment)}"


def running(deployment: str, module: str, version: str) -> str:
    """Ask for the connected devices that run a version of the module."""
    return f"SELECT deviceId FROM devices.modules WHERE {_running(deployment, module, version)}"


def failed(deployment: str, module: str, version: str) -> str:
    """Ask for the connected devices on which a version of the module does not start, or ends."""
    return f"SELECT deviceId FROM devices.modules WHERE {_failed(deployment, module, version)}"


def failing_twins(deployment: str, module: str, version: str) -> str:
    """Ask for what the agents of those devices say."""
    return f"SELECT * FROM devices.modules WHERE {_failed(deployment, module, version)}"


def offline(deployment: str) -> str:
    """Ask for the devices of a deployment that are not connected."""
    return f"{applied(deployment)} AND connectionState = 'Disconnected'"


def _applied(deployment: str) -> str:
    return f"moduleId = '{_AGENT}' AND configurations.{bracketed(deployment)}.status = 'Applied'"


def _running(deployment: str, module: str, version: str) -> str:
    there = f"properties.reported.modules.{bracketed(module)}"
    return (
        f"{_applied(deployment)} AND connectionState = 'Connected'"
        f" AND {there}.version = {text(version)} AND {there}.runtimeStatus = 'running'"
        f" AND {there}.restartCount < {RESTARTS_TOO_MANY}"
    )


def _failed(deployment: str, module: str, version: str) -> str:
    """Blame the module for what the agent could not do only while it does not run that version."""
    there = f"properties.reported.modules.{bracketed(module)}"
    states = ", ".join(map(text, BAD_STATES))
    unwell = f"({there}.runtimeStatus IN [{states}] OR {there}.restartCount >= {RESTARTS_TOO_MANY})"
    ended = f"{there}.version = {text(version)} AND {unwell}"
    current = "properties.desired.$version = properties.reported.lastDesiredVersion"
    refused = f"{current} AND properties.reported.lastDesiredStatus.code != 200"
    absent = f"(NOT is_defined({there}.version) OR {there}.version != {text(version)})"
    causes = f"(({ended}) OR ({refused} AND {absent}))"
    return f"{_applied(deployment)} AND connectionState = 'Connected' AND {causes}"


def _rank(device_id: str) -> bytes:
    return sha256(device_id.encode()).digest()


def _malformed(condition: str, cause: str) -> Terminal:
    return Terminal(Reason.CONFIG_INVALID, f"The condition {condition!r} is malformed: {cause}")

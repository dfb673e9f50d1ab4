"""The module that a device runs: its variables and the options that its container is made with."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from berth.api.conditions import Reason
from berth.api.iot_edge import INPUT, OUTPUT, EdgeModule
from berth.core.errors import Terminal
from berth.plan.group_content import Content, environment
from berth.plan.placement import PORT
from berth.plan.pods import in_pieces
from berth.plan.sources import scoring_config
from berth.plan.subject import Subject

LONGEST_TEXT = 4096
"""Bytes of one value that a twin holds."""
_APP = "/var/azureml-app"
_PIECE = 512
_MOST_PIECES = 100
_CONFIG_CHARACTERS = 1000
_RESERVED = frozenset({"edgeAgent", "edgeHub"})
_REPLACED = frozenset({"Cmd", "Entrypoint", "Healthcheck"})
_LAST = EdgeModule().startup_order
_ON_CREATE = EdgeModule().image_pull_policy

Json = dict[str, Any]


def module_name(subject: Subject) -> str:
    """Return what the module is called on the devices; raises Terminal where the runtime owns that name."""
    edge = subject.spec.iot_edge
    name = (edge.module.name if edge else None) or subject.metadata.name
    if name in _RESERVED:
        raise Terminal(Reason.CONFIG_INVALID, f"{name} is a module of the runtime's own: choose another name")
    return name


def module(subject: Subject, image: str, content: Content) -> Json:
    """Return the module as the agent is told of it, all but its version; `image` is Berth's scoring image."""
    settings = subject.spec.iot_edge.module if subject.spec.iot_edge else EdgeModule()
    options = container_options(subject, settings.create_options)
    body: Json = {
        "type": "docker",
        "status": "running",
        "restartPolicy": settings.restart_policy.value,
        "env": {variable["name"]: {"value": variable["value"]} for variable in _variables(subject, content)},
        "settings": {"image": subject.spec.image or image, **in_parts(options)},
    }
    if settings.startup_order != _LAST:
        body["startupOrder"] = settings.startup_order
    if settings.image_pull_policy is not _ON_CREATE:
        body["imagePullPolicy"] = settings.image_pull_policy.value
    return body


def container_options(subject: Subject, given: str | None) -> str:
    """Merge the user's options over Berth's; raises Terminal where they are no JSON object."""
    options = _merged(_own_options(subject), _parsed(given or "{}"))
    return orjson.dumps(options, option=orjson.OPT_SORT_KEYS).decode()


def in_parts(options: str) -> Json:
    """Cut a long text of options as the agent does; raises Terminal where it takes no more parts."""
    parts = [options[start : start + _PIECE] for start in range(0, len(options), _PIECE)]
    if len(parts) > _MOST_PIECES:
        raise Terminal(Reason.TOO_LARGE, f"createOptions have more than {_PIECE * _MOST_PIECES} characters")
    return {
        f"createOptions{number:02d}" if number else "createOptions": part for number, part in enumerate(parts)
    }


def _own_options(subject: Subject) -> Json:
    """Keep what was fetched in a volume of the device, so that a restart needs no network."""
    own: Json = {"ExposedPorts": {f"{PORT}/tcp": {}}}
    if subject.spec.has_own_server:
        return own
    host = {
        "Binds": [f"berth-{module_name(subject)}:{_APP}"],
        "CapDrop": ["ALL"],
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges"],
        "Tmpfs": {"/tmp": ""},  # noqa: S108 - inside the container
    }
    return {**own, "Cmd": ["run"], "HostConfig": host}


def _parsed(text: str) -> Json:
    try:
        options = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Terminal(Reason.CONFIG_INVALID, f"iotEdge.module.createOptions is no JSON: {error}") from None
    if not isinstance(options, dict):
        raise Terminal(Reason.CONFIG_INVALID, "iotEdge.module.createOptions is no JSON object")
    return options


def _merged(own: Json, given: Json) -> Json:
    """Go into objects, append to lists, and replace all else."""
    merged = dict(own)
    for name, value in given.items():
        known = own.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[name] = _merged(known, value)
        elif isinstance(known, list) and isinstance(value, list) and name not in _REPLACED:
            merged[name] = [*known, *(each for each in value if each not in known)]
        else:
            merged[name] = value
    return merged


def _variables(subject: Subject, content: Content) -> Iterator[Mapping[str, str]]:
    for variable in environment(subject.spec.env or (), content):
        value = variable["secureValue"] if "secureValue" in variable else variable["value"]
        if len(value.encode()) > LONGEST_TEXT:
            told = (
                f"The variable {variable['name']} is longer than the {LONGEST_TEXT} bytes that a twin holds"
            )
            raise Terminal(Reason.TOO_LARGE, f"{told}: build it into spec.image")
        yield {"name": variable["name"], "value": value}
    yield from _own_variables(subject)


def _own_variables(subject: Subject) -> Iterator[Mapping[str, str]]:
    metadata = subject.metadata
    edge = {"input": INPUT, "output": OUTPUT, "cacheDir": f"{_APP}/cache"}
    server = {"port": PORT, "edge": edge}
    config = scoring_config(metadata.name, metadata.namespace, subject.spec, keys=None, server=server)
    yield from in_pieces(orjson.dumps(config, option=orjson.OPT_SORT_KEYS).decode(), _CONFIG_CHARACTERS)
    yield {"name": "BERTH_DRAIN_SECONDS", "value": "0"}  # no one in front sends requests elsewhere
    found = subject.spec.all_models
    if subject.spec.has_own_server and found:
        folder = f"/{found[0].name}/{found[0].version}" if len(found) == 1 else ""
        yield {"name": "AZUREML_MODEL_DIR", "value": f"{_APP}/azureml-models{folder}"}

"""What a container group takes out of ConfigMaps and Secrets, since it cannot mount them."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from berth.api.azure import Registry
from berth.api.common import EnvVar, KeySelector
from berth.api.compute_target import AciPlace
from berth.api.conditions import Reason
from berth.api.uri import split_uri
from berth.core.errors import Terminal
from berth.plan.children import KEY_NAMES, keys_name, wants_keys
from berth.plan.group_tls import CERTIFICATE, PRIVATE_KEY, flaw
from berth.plan.sources import Source, sources
from berth.plan.subject import Subject

WORKSPACE_KEY = "workspaceKey"
DOCKER_CONFIG = ".dockerconfigjson"

_VARIABLE = re.compile(r"[A-Za-z0-9_]{1,63}")
_LOOK_AGAIN_SECONDS = 30.0

Json = dict[str, Any]
Entries = Mapping[str, bytes]
Objects = Mapping[str, Entries]


@dataclass(frozen=True, slots=True)
class Content:
    """The data of objects by their names; what does not exist is left out."""

    config_maps: Objects = field(default_factory=dict)
    secrets: Objects = field(default_factory=dict)
    operator_secrets: Objects = field(default_factory=dict)
    """Secrets of the operator's namespace, which a ComputeTarget names."""


@dataclass(frozen=True, slots=True)
class Needed:
    """Names of the objects that `Content` must hold."""

    config_maps: frozenset[str]
    secrets: frozenset[str]
    operator_secrets: frozenset[str]


def needed(subject: Subject, place: AciPlace) -> Needed:
    """Name the objects that a container group takes content from."""
    spec, aci, defaults = subject.spec, subject.spec.aci, place.defaults
    found = list(sources(spec))
    references = [variable.value_from for variable in spec.env or () if variable.value_from]
    config_maps = {name for source in found if (name := _config_map(source))}
    secrets = {s.origin.credentials_secret_ref.name for s in found if s.origin.credentials_secret_ref}
    pulls = {reference.name for reference in (aci and aci.image_pull_secrets) or ()}
    registries = {registry.secret_ref.name for registry in defaults.registries or () if registry.secret_ref}
    certificates = {spec.tls.secret_ref.name} if spec.tls and spec.tls.secret_ref else set()
    workspace = {defaults.log_analytics.secret_ref.name} if defaults.log_analytics else set()
    return Needed(
        frozenset(config_maps | {r.config_map_key_ref.name for r in references if r.config_map_key_ref}),
        frozenset(
            secrets
            | pulls
            | certificates
            | {r.secret_key_ref.name for r in references if r.secret_key_ref}
            | ({keys_name(subject)} if wants_keys(subject) else set())
        ),
        frozenset(registries | workspace),
    )


def environment(variables: Iterable[EnvVar], content: Content) -> Iterator[Json]:
    """Resolve environment variables; what comes out of a Secret is sent as a value that Azure never shows.

    Raises Terminal where an object or key is missing, or Azure takes no such name.
    """
    for variable in variables:
        if not _VARIABLE.fullmatch(variable.name):
            raise Terminal(
                Reason.REJECTED,
                f"Azure takes no environment variable {variable.name}: use at most 63 letters, digits and _",
            )
        yield from _resolved(variable, content)


def source_files(source: Source, content: Content) -> Entries | None:
    """Return the files of the volume that holds a model or the code, where it comes out of a ConfigMap.

    Raises Terminal where the ConfigMap or key is missing.
    """
    name = _config_map(source)
    if name is None:
        return None
    entries = _entries(content.config_maps, "ConfigMap", name, Reason.VOLUME_FAILED)
    _, _, key = split_uri(source.origin.uri)
    if not key:
        return entries
    return {key: _entry(entries, "ConfigMap", name, key, Reason.VOLUME_FAILED)}


def credentials_files(source: Source, content: Content) -> Entries | None:
    """Return the files of the Secret that opens a remote URI; raises Terminal where it is missing."""
    reference = source.origin.credentials_secret_ref
    if reference is None:
        return None
    return _entries(content.secrets, "Secret", reference.name, Reason.VOLUME_FAILED)


def key_files(subject: Subject, content: Content) -> Entries | None:
    """Return the endpoint's keys, where callers need one; raises Terminal where the Secret holds none."""
    if not wants_keys(subject):
        return None
    name, reason = keys_name(subject), Reason.KEYS_MISSING
    entries = _entries(content.secrets, "Secret", name, reason)
    if not (found := {key: entries[key] for key in KEY_NAMES if entries.get(key)}):
        raise Terminal(reason, f"Secret {name} holds no {' or '.join(KEY_NAMES)}", _LOOK_AGAIN_SECONDS)
    return found


def certificate_files(subject: Subject, content: Content) -> Entries | None:
    """Return certificate and key, where a Secret holds them; raises Terminal where no server takes them."""
    tls = subject.spec.tls
    if tls is None or tls.secret_ref is None:
        return None
    name, reason = tls.secret_ref.name, Reason.CERTIFICATE_INVALID
    entries = _entries(content.secrets, "Secret", name, reason)
    files = {key: _entry(entries, "Secret", name, key, reason) for key in (CERTIFICATE, PRIVATE_KEY)}
    if wrong := flaw(files):
        raise Terminal(reason, f"Secret {name} {wrong}", _LOOK_AGAIN_SECONDS)
    return files


def registry_credentials(subject: Subject, place: AciPlace, content: Content) -> list[Json]:
    """Return how images are pulled; the ModelDeployment's own Secrets go before those of its target."""
    aci = subject.spec.aci
    own = [
        credentials
        for reference in (aci and aci.image_pull_secrets) or ()
        for credentials in docker_credentials(reference.name, content)
    ]
    shared = [_shared_credentials(registry, content) for registry in place.defaults.registries or ()]
    by_server = {credentials["server"]: credentials for credentials in (*shared, *own)}
    return [by_server[server] for server in sorted(by_server)]


def workspace_key(place: AciPlace, content: Content) -> str | None:
    """Return the key of the workspace that takes the logs; raises Terminal where it is missing."""
    workspace = place.defaults.log_analytics
    if workspace is None:
        return None
    return operator_entry(content, workspace.secret_ref.name, WORKSPACE_KEY)


def encoded(files: Entries) -> dict[str, str]:
    """Return the content of a secret volume as Azure wants it."""
    return {name: base64.b64encode(files[name]).decode() for name in sorted(files)}


def _config_map(source: Source) -> str | None:
    scheme, name, _ = split_uri(source.origin.uri)
    return name if scheme == "configmap" else None


def _resolved(variable: EnvVar, content: Content) -> Iterator[Json]:
    origin = variable.value_from
    if origin is None:
        yield {"name": variable.name, "value": variable.value or ""}
    elif origin.secret_key_ref:
        value = _selected(content.secrets, "Secret", origin.secret_key_ref)
        if value is not None:
            yield {"name": variable.name, "secureValue": value}
    elif origin.config_map_key_ref:
        value = _selected(content.config_maps, "ConfigMap", origin.config_map_key_ref)
        if value is not None:
            yield {"name": variable.name, "value": value}


def _selected(objects: Objects, kind: str, selector: KeySelector) -> str | None:
    if selector.optional and selector.key not in objects.get(selector.name, {}):
        return None
    reason = Reason.CONTAINER_CONFIG_FAILED
    entries = _entries(objects, kind, selector.name, reason)
    return _text(_entry(entries, kind, selector.name, selector.key, reason), kind, selector.name)


def docker_credentials(name: str, content: Content) -> Iterator[Json]:
    """Read server, username and password out of a Secret; raises Terminal where it holds none."""
    entries = _entries(content.secrets, "Secret", name, Reason.CONTAINER_CONFIG_FAILED)
    try:
        servers = orjson.loads(entries[DOCKER_CONFIG])["auths"]
        for server, given in servers.items():
            username, password = _user(given)
            yield {"server": _host(server), "username": username, "password": password}
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        raise Terminal(
            Reason.CONTAINER_CONFIG_FAILED,
            f"Secret {name} holds no credentials: make it with kubectl create secret docker-registry",
            _LOOK_AGAIN_SECONDS,
        ) from None


def _user(given: Mapping[str, str]) -> tuple[str, str]:
    if "username" in given:
        return given["username"], given["password"]
    username, _, password = base64.b64decode(given["auth"]).decode().partition(":")
    return username, password


def _host(server: str) -> str:
    return server.partition("://")[2].partition("/")[0] if "://" in server else server.partition("/")[0]


def _shared_credentials(registry: Registry, content: Content) -> Json:
    if registry.secret_ref is None:
        return {"server": registry.server, "identity": registry.identity}
    username, password = (
        operator_entry(content, registry.secret_ref.name, key) for key in ("username", "password")
    )
    return {"server": registry.server, "username": username, "password": password}


def operator_entry(content: Content, name: str, key: str) -> str:
    """Read a Secret of the operator's namespace; raises Terminal where it is missing."""
    kind, reason = "The operator's Secret", Reason.CONTAINER_CONFIG_FAILED
    entries = _entries(content.operator_secrets, kind, name, reason)
    return _text(_entry(entries, kind, name, key, reason), kind, name).strip()


def _entries(objects: Objects, kind: str, name: str, reason: Reason) -> Entries:
    if name not in objects:
        raise Terminal(reason, f"{kind} {name} does not exist", _LOOK_AGAIN_SECONDS)
    return objects[name]


def _entry(entries: Entries, kind: str, name: str, key: str, reason: Reason) -> bytes:
    if key not in entries:
        raise Terminal(reason, f"{kind} {name} has no key {key}", _LOOK_AGAIN_SECONDS)
    return entries[key]


def _text(value: bytes, kind: str, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        message = f"{kind} {name} holds a value that is no text"
        raise Terminal(Reason.CONTAINER_CONFIG_FAILED, message, _LOOK_AGAIN_SECONDS) from None

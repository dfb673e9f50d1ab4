"""Reads what container groups are made from, and keeps the Secrets that Berth itself needs for them."""

import asyncio
import base64
import contextlib
import secrets
from collections.abc import Iterable

from berth.core.errors import Conflict, Gone
from berth.core.keys import Key
from berth.core.store import Store
from berth.plan.children import KEY_NAMES, keys_name, keys_secret, wants_keys
from berth.plan.group_content import Content, Entries, Needed, Objects, needed
from berth.plan.observed import Observed, controller_of
from berth.plan.resources import CONFIG_MAPS, NAMESPACES, SECRETS, Resource
from berth.plan.steps import refuse_stranger
from berth.plan.subject import Subject
from berth.targets.azure import Site
from berth.targets.base import Cluster, Object

FINGERPRINT_KEY = "berth-fingerprint-key"
"""Secret in the operator's namespace; without it every group is sent again, and restarts once."""

_ENTRY = "key"
_KEY_BYTES = 32
_IDENTITY_OF_CLUSTER = Key("", "kube-system")


class Contents:
    """Reads the ConfigMaps and Secrets of container groups; a read tells of what changed, no watch does."""

    def __init__(self, api: Cluster, operator_namespace: str, secrets: Store[Key, Observed]) -> None:
        self._api = api
        self._secrets = secrets
        self._operator_namespace = operator_namespace
        self._lock = asyncio.Lock()
        self._cluster: str | None = None
        self._key: bytes | None = None

    async def cluster(self) -> str:
        """Return the id of the cluster, which outlives every object but itself."""
        if self._cluster is None:
            self._cluster = str((await self._api.get(NAMESPACES, _IDENTITY_OF_CLUSTER))["metadata"]["uid"])
        return self._cluster

    async def fingerprint_key(self) -> bytes:
        """Return the secret for fingerprints, made where there is none."""
        async with self._lock:
            if self._key is None:
                self._key = await self._read_or_make_key()
        return self._key

    async def read(self, subject: Subject, site: Site) -> Content:
        """Read all that the group takes content from; what does not exist is left out."""
        if wants_keys(subject):
            await self._ensure_keys(subject)
        return await self.entries(subject.metadata.namespace, needed(subject, site.place))

    async def entries(self, namespace: str, names: Needed) -> Content:
        """Read the objects that are named; what does not exist is left out."""
        return Content(
            await self._entries(CONFIG_MAPS, namespace, names.config_maps),
            await self._entries(SECRETS, namespace, names.secrets),
            await self._entries(SECRETS, self._operator_namespace, names.operator_secrets),
        )

    async def drop_keys(self, subject: Subject) -> None:
        """Delete the endpoint's keys once nobody is asked for them any more."""
        key = Key(subject.metadata.namespace, keys_name(subject))
        there = None if wants_keys(subject) else self._secrets.get(key)
        if there and (controller_of(there.parse()["metadata"]) or {}).get("uid") == subject.metadata.uid:
            with contextlib.suppress(Gone):
                await self._api.delete(SECRETS, key, uid=there.uid)

    async def _ensure_keys(self, subject: Subject) -> None:
        """Make the endpoint's keys, or those of them that are missing."""
        desired = keys_secret(subject)
        key = Key(subject.metadata.namespace, desired.name)
        try:
            there = await self._api.get(SECRETS, key)
        except Gone:
            await self._api.create(SECRETS, {**desired.body, "data": _new_keys(KEY_NAMES)})
            return
        refuse_stranger(subject, SECRETS, there["metadata"])
        if missing := [name for name in KEY_NAMES if not there.get("data", {}).get(name)]:
            await self._api.merge_patch(SECRETS, key, {"data": _new_keys(missing)})

    async def _entries(self, resource: Resource, namespace: str, names: Iterable[str]) -> Objects:
        found = {}
        for name in sorted(names):
            try:
                found[name] = _data(await self._api.get(resource, Key(namespace, name)))
            except Gone:
                continue
        return found

    async def _read_or_make_key(self) -> bytes:
        key = Key(self._operator_namespace, FINGERPRINT_KEY)
        try:
            there = await self._api.get(SECRETS, key)
        except Gone:
            there = await self._make_key(key)
        if not _data(there).get(_ENTRY):
            there = await self._api.merge_patch(SECRETS, key, {"data": _new_keys([_ENTRY])})
        return _data(there)[_ENTRY]

    async def _make_key(self, key: Key) -> Object:
        body = {
            "apiVersion": SECRETS.api_version,
            "kind": SECRETS.kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "type": "Opaque",
            "data": _new_keys([_ENTRY]),
        }
        try:
            return await self._api.create(SECRETS, body)
        except Conflict:  # another operator was faster
            return await self._api.get(SECRETS, key)


def _data(there: Object) -> Entries:
    """Return the entries of a ConfigMap or Secret as bytes."""
    texts = there.get("data") or {}
    if there.get("kind") == CONFIG_MAPS.kind:
        binary = {name: base64.b64decode(value) for name, value in (there.get("binaryData") or {}).items()}
        return {name: value.encode() for name, value in texts.items()} | binary
    return {name: base64.b64decode(value) for name, value in texts.items()}


def _new_keys(names: Iterable[str]) -> dict[str, str]:
    """Generate a value for each name, encoded as a Secret's data must be."""
    return {name: base64.b64encode(secrets.token_urlsafe(_KEY_BYTES).encode()).decode() for name in names}

"""What container groups are made from is read when needed, and what Berth itself needs is made once."""

import base64

import pytest
from container_groups import KEY, aci_spec, place
from deployments import subject
from simulated_cluster import Object, SimulatedCluster

from berth.core.errors import Conflict, Gone, Terminal
from berth.core.keys import Key
from berth.core.store import Store
from berth.plan.resources import CONFIG_MAPS, SECRETS, Resource
from berth.targets.aci_content import FINGERPRINT_KEY, Contents
from berth.targets.azure import Site

OPERATOR = "berth-system"
OPEN = subject(aci_spec(auth={"mode": "None"}))
LOCKED = subject(aci_spec(auth={"mode": "Key"}))
KEYS = Key("demo", "iris-keys")


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def site() -> Site:
    nobody: object = None
    return Site(place(), nobody)  # type: ignore[arg-type]  # no one asks Azure here


def put(cluster: SimulatedCluster, resource: Resource, key: Key, **fields: object) -> None:
    metadata = {"name": key.name, "namespace": key.namespace, **OWNED}
    cluster.put(resource, {"kind": resource.kind, "metadata": metadata, **fields})


OWNED = {"ownerReferences": [OPEN.owner_reference]}


def contents(cluster: SimulatedCluster) -> Contents:
    return Contents(cluster, OPERATOR, Store())


async def test_a_config_map_may_hold_bytes() -> None:
    cluster = SimulatedCluster()
    put(
        cluster,
        CONFIG_MAPS,
        Key("demo", "iris"),
        data={"a": "é"},
        binaryData={"model.onnx": encoded(b"\xff")},
    )
    content = await contents(cluster).read(OPEN, site())
    assert content.config_maps == {"iris": {"a": "é".encode(), "model.onnx": b"\xff"}}


async def test_what_does_not_exist_is_left_out() -> None:
    content = await contents(SimulatedCluster()).read(OPEN, site())
    assert content.config_maps == {}


async def test_keys_are_made_where_there_are_none() -> None:
    cluster = SimulatedCluster()
    content = await contents(cluster).read(LOCKED, site())
    assert content.secrets["iris-keys"].keys() == {"primaryKey", "secondaryKey"}
    again = await contents(cluster).read(LOCKED, site())
    assert again == content


async def test_a_key_that_is_missing_is_made_and_the_other_stays() -> None:
    cluster = SimulatedCluster()
    put(cluster, SECRETS, KEYS, data={"primaryKey": encoded(b"mine")})
    content = await contents(cluster).read(LOCKED, site())
    assert content.secrets["iris-keys"]["primaryKey"] == b"mine"
    assert len(content.secrets["iris-keys"]["secondaryKey"]) > 40


async def test_keys_of_a_stranger_are_let_be() -> None:
    cluster = SimulatedCluster()
    cluster.put(SECRETS, {"kind": "Secret", "metadata": {"name": KEYS.name, "namespace": KEYS.namespace}})
    with pytest.raises(Terminal, match="belongs to nobody known"):
        await contents(cluster).read(LOCKED, site())
    assert cluster.writes == []


async def test_the_key_of_fingerprints_outlives_the_operator() -> None:
    cluster = SimulatedCluster()
    first = await contents(cluster).fingerprint_key()
    assert len(first) > 40
    assert await contents(cluster).fingerprint_key() == first
    assert cluster.writes == ["create Secret"]


async def test_the_key_of_fingerprints_is_made_again_where_its_secret_has_lost_it() -> None:
    cluster = SimulatedCluster()
    put(cluster, SECRETS, Key(OPERATOR, FINGERPRINT_KEY), data={"note": encoded(b"x")})
    first = await contents(cluster).fingerprint_key()
    assert len(first) > 40
    assert await contents(cluster).fingerprint_key() == first


async def test_of_two_operators_that_make_the_key_one_is_right() -> None:
    cluster = Overtaken()
    assert await contents(cluster).fingerprint_key() == KEY


class Overtaken(SimulatedCluster):
    """Where another operator is always faster."""

    async def get(self, resource: Resource, key: Key) -> Object:
        if (resource, key) not in self.objects:
            raise Gone("not yet")
        return await super().get(resource, key)

    async def create(self, resource: Resource, body: Object) -> Object:
        put(self, resource, Key(OPERATOR, FINGERPRINT_KEY), data={"key": encoded(KEY)})
        raise Conflict("another was faster")

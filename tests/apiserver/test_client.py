import asyncio
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import FaultyProxy
from kubernetes.client import Configuration

from berth.api.conditions import Reason
from berth.core.errors import Conflict, Gone, Terminal, Transient
from berth.core.keys import Key
from berth.kube.client import Api, RequestObserver
from berth.kube.connection import USER_AGENT, Connection
from berth.kube.failures import Expired
from berth.plan.resources import CONFIG_MAPS, DEPLOYMENTS, SERVICES, Resource
from berth_sandbox.cluster.control_plane import ControlPlane


def config_map(namespace: str, name: str = "a", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name, "labels": {"test": "client"}},
        "data": data,
    }


def deployment(namespace: str, replicas: int) -> dict[str, Any]:
    labels = {"app": "a"}
    container = {"name": "a", "image": "a"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": "a"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


async def test_apply_creates_and_changes_under_our_name(client: Api, namespace: str) -> None:
    created = await client.apply(CONFIG_MAPS, config_map(namespace, x="1"))
    changed = await client.apply(CONFIG_MAPS, config_map(namespace, x="2"))
    assert changed["metadata"]["uid"] == created["metadata"]["uid"]
    assert changed["data"] == {"x": "2"}
    assert [field["manager"] for field in changed["metadata"]["managedFields"]] == ["berth"]


async def test_apply_takes_over_what_others_own_of_our_fields_and_leaves_theirs(
    client: Api, namespace: str
) -> None:
    await client.apply(CONFIG_MAPS, config_map(namespace, x="1"))
    await client.merge_patch(CONFIG_MAPS, Key(namespace, "a"), {"data": {"x": "hand", "y": "hand"}})
    repaired = await client.apply(CONFIG_MAPS, config_map(namespace, x="1"))
    assert repaired["data"] == {"x": "1", "y": "hand"}


async def test_apply_of_the_same_keeps_the_version(client: Api, namespace: str) -> None:
    first = await client.apply(CONFIG_MAPS, config_map(namespace, x="1"))
    second = await client.apply(CONFIG_MAPS, config_map(namespace, x="1"))
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_apply_status_changes_the_status_alone(client: Api, namespace: str) -> None:
    created = await client.apply(DEPLOYMENTS, deployment(namespace, 3))
    status = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": "a"},
        "status": {"replicas": 3},
    }
    changed = await client.apply_status(DEPLOYMENTS, status)
    assert changed["status"]["replicas"] == 3
    assert changed["metadata"]["generation"] == created["metadata"]["generation"]


async def test_apply_status_of_a_missing_object_says_gone(client: Api, namespace: str) -> None:
    body = deployment(namespace, 1)
    del body["spec"]
    with pytest.raises(Gone, match="not found"):
        await client.apply_status(DEPLOYMENTS, body | {"status": {"replicas": 1}})


async def test_an_object_is_read_and_a_missing_one_is_gone(client: Api, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, x="1"))
    assert (await client.get(CONFIG_MAPS, Key(namespace, "a")))["data"] == {"x": "1"}
    with pytest.raises(Gone):
        await client.get(CONFIG_MAPS, Key(namespace, "b"))


async def test_what_exists_cannot_be_created(client: Api, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace))
    with pytest.raises(Conflict, match="already exists"):
        await client.create(CONFIG_MAPS, config_map(namespace))


async def test_replace_refuses_an_old_version(client: Api, namespace: str) -> None:
    old = await client.create(CONFIG_MAPS, config_map(namespace))
    await client.replace(CONFIG_MAPS, old | {"data": {"x": "1"}})
    with pytest.raises(Conflict):
        await client.replace(CONFIG_MAPS, old | {"data": {"x": "2"}})


async def test_a_merge_patch_with_an_old_version_is_a_conflict(client: Api, namespace: str) -> None:
    old = await client.create(CONFIG_MAPS, config_map(namespace))
    key = Key(namespace, "a")
    patch = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "data": {"x": "1"}}
    await client.merge_patch(CONFIG_MAPS, key, patch)
    with pytest.raises(Conflict):
        await client.merge_patch(CONFIG_MAPS, key, patch | {"data": {"x": "2"}})


async def test_delete_spares_another_object_of_the_same_name(client: Api, namespace: str) -> None:
    created = await client.create(CONFIG_MAPS, config_map(namespace))
    key = Key(namespace, "a")
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, key, uid="00000000-0000-0000-0000-000000000000")
    await client.delete(CONFIG_MAPS, key, uid=created["metadata"]["uid"])
    with pytest.raises(Gone):
        await client.delete(CONFIG_MAPS, key, uid=created["metadata"]["uid"])


async def test_a_list_goes_on_from_chunk_to_chunk(client: Api, namespace: str) -> None:
    for number in range(7):
        await client.create(CONFIG_MAPS, config_map(namespace, f"a-{number}"))
    await client.create(
        CONFIG_MAPS, config_map(namespace, "other") | {"metadata": {"name": "other", "namespace": namespace}}
    )
    listing = await client.list(CONFIG_MAPS, namespace, labels="test=client", chunk=3)
    assert [item["metadata"]["name"] for item in listing.items] == [f"a-{number}" for number in range(7)]
    assert int(listing.resource_version) > 0


async def test_a_list_of_metadata_carries_nothing_else(client: Api, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, x="1"))
    listing = await client.list_metadata(CONFIG_MAPS, namespace)
    [item] = listing.items
    assert item["metadata"]["name"] == "a"
    assert "data" not in item


async def test_a_list_can_cover_all_namespaces(client: Api, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace))
    listing = await client.list(CONFIG_MAPS)
    assert {namespace, "kube-system"} <= {item["metadata"]["namespace"] for item in listing.items}


async def test_a_watch_tells_what_happens_after_a_version(client: Api, namespace: str) -> None:
    since = (await client.list(CONFIG_MAPS, namespace)).resource_version
    events = client.watch(CONFIG_MAPS, namespace, since=since)
    created = await client.create(CONFIG_MAPS, config_map(namespace, x="x" * 300_000))
    await client.delete(CONFIG_MAPS, Key(namespace, "a"), uid=created["metadata"]["uid"])
    heard = [await anext(events) for _ in range(2)]
    await events.aclose()
    assert [(kind, raw["metadata"]["name"]) for kind, raw in heard] == [("ADDED", "a"), ("DELETED", "a")]


async def test_what_the_server_finds_invalid_is_terminal_in_its_words(client: Api, namespace: str) -> None:
    with pytest.raises(Terminal) as caught:
        await client.apply(DEPLOYMENTS, deployment(namespace, -1))
    assert caught.value.reason is Reason.REJECTED
    assert "spec.replicas" in caught.value.message


async def test_a_missing_right_is_terminal(client: Api, control_plane: ControlPlane, namespace: str) -> None:
    configuration = Configuration(host=control_plane.url, ssl_ca_cert=str(control_plane.authority))
    connection = Connection(configuration)
    try:
        with pytest.raises(Terminal) as caught:
            await Api(connection).list(SERVICES, namespace)
    finally:
        await connection.close()
    assert caught.value.reason is Reason.REJECTED
    assert "forbidden" in caught.value.message


async def test_a_kind_that_is_not_served_is_gone(client: Api) -> None:
    with pytest.raises(Gone):
        await client.list(Resource("example.org", "v1", "things", "Thing"))


async def test_the_servers_log_names_us(client: Api, control_plane: ControlPlane, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace))
    paths = [event["requestURI"] for event in control_plane.audit_events(USER_AGENT)]
    assert any(namespace in path for path in paths)


@pytest.fixture
async def proxied(proxy: FaultyProxy) -> Any:
    connection = Connection(Configuration(host=proxy.url))
    yield Api(connection)
    await connection.close()


@pytest.mark.parametrize("code", [401, 429, 500, 503, 504])
async def test_what_may_pass_by_itself_is_transient(proxied: Api, proxy: FaultyProxy, code: int) -> None:
    proxy.fault = lambda _: code
    with pytest.raises(Transient, match="on purpose"):
        await proxied.list(CONFIG_MAPS)


async def test_a_watch_from_a_lost_place_has_expired(proxied: Api, proxy: FaultyProxy) -> None:
    proxy.expire_watches = 1
    with pytest.raises(Expired):
        await anext(proxied.watch(CONFIG_MAPS, since="1"))


async def test_a_watch_that_the_network_cuts_is_transient(
    proxied: Api, proxy: FaultyProxy, client: Api, namespace: str
) -> None:
    events = proxied.watch(CONFIG_MAPS, namespace, since=(await client.list(CONFIG_MAPS)).resource_version)
    await client.create(CONFIG_MAPS, config_map(namespace))
    await anext(events)
    proxy.cut()
    with pytest.raises(Transient, match="cut"):
        await anext(events)


async def test_no_server_at_all_is_transient() -> None:
    connection = Connection(Configuration(host="http://127.0.0.1:9"))
    with pytest.raises(Transient, match="did not answer"):
        await Api(connection).list(CONFIG_MAPS)
    await connection.close()


async def test_each_request_is_observed(connection: Connection, namespace: str) -> None:
    heard: list[tuple[str, str, str]] = []

    class Ear(RequestObserver):
        def requested(self, verb: str, resource: Resource, code: str, seconds: float) -> None:
            assert 0 < seconds < 30
            heard.append((verb, resource.plural, code))

    api = Api(connection, Ear())
    await api.create(CONFIG_MAPS, config_map(namespace))
    with pytest.raises(Gone):
        await api.get(CONFIG_MAPS, Key(namespace, "b"))
    assert heard == [("POST", "configmaps", "201"), ("GET", "configmaps", "404")]


async def test_many_requests_share_a_bounded_number_of_connections(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    configuration = Configuration(
        host=control_plane.url,
        ssl_ca_cert=str(control_plane.authority),
        api_key={"BearerToken": f"Bearer {control_plane.token}"},
    )
    connection = Connection(configuration, connections=2)
    api = Api(connection)
    await asyncio.gather(*(api.create(CONFIG_MAPS, config_map(namespace, f"a-{n}")) for n in range(20)))
    assert len((await api.list(CONFIG_MAPS, namespace)).items) == 20
    connector = connection.session.connector
    assert connector is not None
    assert connector.limit == 2
    await connection.close()

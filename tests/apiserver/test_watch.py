"""Both ways of watching must end with what the API server has, whatever the network does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from faulty_proxy import FaultyProxy
from kubernetes.client import Configuration

from berth.core.keys import Key
from berth.core.store import Store
from berth.kube.client import Api, Object
from berth.kube.connection import Connection
from berth.kube.informer import Informer, WatchObserver
from berth.kube.watch import Watch
from berth.plan.observed import key_of
from berth.plan.resources import CONFIG_MAPS, Resource

Source = Informer | Watch


@dataclass(frozen=True)
class Seen:
    uid: str
    resource_version: int


class Mirror(WatchObserver):
    """A store that is fed by a watch."""

    def __init__(self) -> None:
        self.store: Store[Key, Seen] = Store()
        self.vanished_in_a_gap: list[str] = []
        self.lists = self.restarts = self.drops = self.refusals = 0
        self.poison = ""

    def changed(self, resource: Resource, raw: Object) -> None:
        if raw["metadata"]["name"] == self.poison:
            raise ValueError(self.poison)
        metadata = raw["metadata"]
        self.store.put(key_of(raw), Seen(metadata["uid"], int(metadata["resourceVersion"])))

    def vanished(self, resource: Resource, raw: Object) -> None:
        metadata = raw["metadata"]
        self.store.delete(key_of(raw), metadata["uid"], int(metadata["resourceVersion"]))

    def listed(self, resource: Resource, namespace: str, present: Mapping[Key, str], version: int) -> None:
        self.lists += 1
        gone = self.store.replace(present, version, lambda key: key.namespace == namespace)
        self.vanished_in_a_gap += [key.name for key in gone]

    def restarted(self, resource: Resource) -> None:
        self.restarts += 1

    def refused(self, resource: Resource) -> None:
        self.refusals += 1

    def dropped(self, resource: Resource) -> None:
        self.drops += 1

    def uids(self, namespace: str) -> dict[str, str]:
        return {key.name: self.store.get(key).uid for key in self.store if key.namespace == namespace}  # type: ignore[union-attr]


class Truth:
    """The ConfigMaps of a namespace, as the API server has them."""

    def __init__(self, client: Api, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def put(self, name: str, value: str = "") -> Object:
        metadata = {"namespace": self._namespace, "name": name}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}
        return await self._client.apply(CONFIG_MAPS, body)

    async def get(self, name: str) -> Object:
        return await self._client.get(CONFIG_MAPS, Key(self._namespace, name))

    async def remove(self, raw: Object) -> None:
        await self._client.delete(CONFIG_MAPS, key_of(raw), uid=raw["metadata"]["uid"])

    async def uids(self) -> dict[str, str]:
        listing = await self._client.list_metadata(CONFIG_MAPS, self._namespace)
        return {item["metadata"]["name"]: item["metadata"]["uid"] for item in listing.items}


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


@pytest.fixture(params=["informer", "kopf"])
def follow(request: pytest.FixtureRequest, proxy: FaultyProxy, namespace: str) -> Callable[[Mirror], Any]:
    """Follow the ConfigMaps of the namespace through the proxy."""

    @asynccontextmanager
    async def followed(mirror: Mirror) -> AsyncIterator[Source]:
        connection = Connection(Configuration(host=proxy.url))
        api = Api(connection)
        source: Source
        if request.param == "kopf":
            source = Watch(connection, api, CONFIG_MAPS, mirror, namespaces=[namespace], observer=mirror)
        else:
            source = Informer(api, CONFIG_MAPS, mirror, namespace=namespace, observer=mirror)
        running = asyncio.create_task(source.run())
        await asyncio.wait(
            [running, asyncio.ensure_future(source.listed.wait())],
            timeout=20,
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert source.listed.is_set(), running
        yield source
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await connection.close()

    return followed


@pytest.fixture
def truth(client: Api, namespace: str) -> Truth:
    return Truth(client, namespace)


async def test_what_was_there_and_what_happens_is_told(follow: Any, truth: Truth, namespace: str) -> None:
    first = await truth.put("first")
    mirror = Mirror()
    async with follow(mirror) as source:
        await until(lambda: set(mirror.uids(namespace)) == {"first"})
        second = await truth.put("second")
        await until(lambda: set(mirror.uids(namespace)) == {"first", "second"})
        changed = await truth.put("second", "new")
        version = int(changed["metadata"]["resourceVersion"])
        key = Key(namespace, "second")
        await until(lambda: mirror.store.get(key) == Seen(second["metadata"]["uid"], version))
        await truth.remove(first)
        await until(lambda: set(mirror.uids(namespace)) == {"second"})
        assert source.age < 20
    assert mirror.restarts == 0


async def test_a_cut_without_a_gap_loses_nothing(
    follow: Any, truth: Truth, proxy: FaultyProxy, namespace: str
) -> None:
    first = await truth.put("first")
    mirror = Mirror()
    async with follow(mirror):
        await until(lambda: bool(mirror.uids(namespace)))
        proxy.cut()
        await truth.remove(first)
        await truth.put("second")
        proxy.resume()
        await until(lambda: set(mirror.uids(namespace)) == {"second"})
    assert mirror.restarts == 0


async def test_what_was_deleted_in_a_gap_is_found_out(
    follow: Any, truth: Truth, proxy: FaultyProxy, namespace: str
) -> None:
    gone, replaced = await truth.put("gone"), await truth.put("replaced")
    await truth.put("stays")
    mirror = Mirror()
    async with follow(mirror):
        await until(lambda: len(mirror.uids(namespace)) == 3)
        proxy.cut()
        await truth.remove(gone)
        await truth.remove(replaced)
        await truth.put("replaced")
        await truth.put("new")
        left = await truth.uids()
        proxy.resume(expire_watches=1)
        await until(lambda: mirror.uids(namespace) == left)
        assert set(left) == {"stays", "replaced", "new"}
        assert "gone" in mirror.vanished_in_a_gap
        await truth.put("later")
        await until(lambda: "later" in mirror.uids(namespace))
    assert mirror.restarts == 1


async def test_even_when_nothing_is_left_after_the_gap(
    follow: Any, truth: Truth, proxy: FaultyProxy, namespace: str
) -> None:
    only = await truth.put("only")
    mirror = Mirror()
    async with follow(mirror):
        await until(lambda: bool(mirror.uids(namespace)))
        proxy.cut()
        await truth.remove(only)
        proxy.resume(expire_watches=1)
        await until(lambda: not mirror.uids(namespace))
    assert mirror.vanished_in_a_gap == ["only"]


async def test_several_gaps_in_a_row_are_survived(
    follow: Any, truth: Truth, proxy: FaultyProxy, namespace: str
) -> None:
    first = await truth.put("first")
    mirror = Mirror()
    async with follow(mirror):
        await until(lambda: bool(mirror.uids(namespace)))
        proxy.cut()
        await truth.remove(first)
        proxy.resume(expire_watches=3)
        await truth.put("second")
        await until(lambda: set(mirror.uids(namespace)) == {"second"})
        await truth.put("third")
        await until(lambda: set(mirror.uids(namespace)) == {"second", "third"})


async def test_what_is_refused_for_a_while_is_followed_again(
    follow: Any, truth: Truth, proxy: FaultyProxy, namespace: str
) -> None:
    first = await truth.put("first")
    mirror = Mirror()
    async with follow(mirror):
        await until(lambda: bool(mirror.uids(namespace)))
        proxy.cut()
        proxy.fault = lambda _: 403
        proxy.resume()
        await until(lambda: mirror.refusals > 1)
        await truth.remove(first)
        await truth.put("second")
        proxy.fault = lambda _: None
        await until(lambda: set(mirror.uids(namespace)) == {"second"})


async def test_kopfs_list_is_compared_though_the_metadata_come_late(
    truth: Truth, proxy: FaultyProxy, namespace: str
) -> None:
    await truth.put("first")
    failures = iter([503, 429, 500])
    proxy.fault = lambda request: (
        next(failures, None) if "Metadata" in request.headers.get("Accept", "") else None
    )
    connection = Connection(Configuration(host=proxy.url))
    mirror = Mirror()
    watch = Watch(connection, Api(connection), CONFIG_MAPS, mirror, namespaces=[namespace])
    running = asyncio.create_task(watch.run())
    await asyncio.wait_for(watch.listed.wait(), 20)
    assert next(failures, None) is None
    assert set(mirror.uids(namespace)) == {"first"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await connection.close()


async def test_news_that_cannot_be_understood_stop_no_others(
    follow: Any, truth: Truth, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = Mirror()
    mirror.poison = "poison"
    async with follow(mirror):
        await truth.put("poison")
        await truth.put("fine")
        await until(lambda: set(mirror.uids(namespace)) == {"fine"})
        await until(lambda: mirror.drops == 1)
    [record] = [each for each in caplog.records if each.message == "Cannot understand a ConfigMap"]
    assert vars(record)["about"]["name"] == "poison"


async def test_watching_writes_nothing(follow: Any, truth: Truth, proxy: FaultyProxy, namespace: str) -> None:
    mirror = Mirror()
    async with follow(mirror):
        written = await truth.put("first")
        await until(lambda: bool(mirror.uids(namespace)))
        await asyncio.sleep(0.5)
    assert await truth.get("first") == written
    assert {request.split()[0] for request in proxy.requests} == {"GET"}


async def test_an_informer_tries_again_while_the_server_is_down(
    truth: Truth, proxy: FaultyProxy, namespace: str
) -> None:
    await truth.put("first")
    mirror = Mirror()
    connection = Connection(Configuration(host=proxy.url))
    informer = Informer(Api(connection), CONFIG_MAPS, mirror, namespace=namespace)
    proxy.fault = lambda _: 503
    running = asyncio.create_task(informer.run())
    await asyncio.sleep(0.5)
    assert not informer.listed.is_set()
    proxy.fault = lambda _: None
    await until(lambda: set(mirror.uids(namespace)) == {"first"})
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await connection.close()


async def test_kopf_ends_when_it_is_told_to(connection: Connection, client: Api, namespace: str) -> None:
    stop = asyncio.Event()
    watch = Watch(connection, client, CONFIG_MAPS, Mirror(), namespaces=[namespace])
    running = asyncio.create_task(watch.run(stop))
    await asyncio.wait_for(watch.listed.wait(), 20)
    stop.set()
    await asyncio.wait_for(running, 20)
    assert not connection.session.closed
    assert (await client.list(CONFIG_MAPS, namespace)).items == []

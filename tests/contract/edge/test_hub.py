"""The emulated edge hub, judged by Microsoft's SDK."""

import asyncio
import json
from pathlib import Path

import pytest
from edge_world import Program, own_address, peer, until

from berth_sandbox.azure.edge_hub.device import EdgeServices
from berth_sandbox.azure.edge_hub.hub import Limits


@pytest.fixture
def services(tmp_path: Path) -> EdgeServices:
    return EdgeServices(
        hub="hub.example",
        device="dev1",
        modules=["one", "two"],
        address=own_address(),
        folder=tmp_path,
        limits=Limits(time_to_live_seconds=60, ack_seconds=1),
    )


async def line(program: Program, number: int) -> object:
    await until(lambda: len(program.lines) > number)
    return program.lines[number]


async def test_each_module_has_its_own_twin(services: EdgeServices) -> None:
    services.hub.desire("one", {"speed": {"limit": 3}})
    async with (
        services.served(),
        peer("twin", services.environment("one")) as one,
        peer("twin", services.environment("two")) as two,
    ):
        assert await line(one, 0) == {
            "desired": {"speed": {"limit": 3}, "$version": 2},
            "reported": {"$version": 1},
        }
        assert await line(two, 0) == {"desired": {"$version": 1}, "reported": {"$version": 1}}
        one.write({"state": {"a": 1, "b": 2}})
        assert await line(one, 1) == "reported"
        one.write({"state": {"a": None}})
        assert await line(one, 2) == "reported"
        assert services.hub.twins["one"].reported == {"state": {"b": 2}}
        one.write({"dotted.key": 1})
        assert await line(one, 3) == "ClientError"
        services.hub.desire("two", {"speed": 5})
        assert await line(two, 1) == {"speed": 5, "$version": 2}
        assert len(one.lines) == 4


async def test_methods_are_called_and_answered(services: EdgeServices) -> None:
    async with services.served(), peer("twin", services.environment("one")) as one:
        await line(one, 0)
        status, body = await services.hub.call("one", "reload", {"now": True})
        assert (status, json.loads(body)) == (201, {"echo": {"now": True}})
        assert await line(one, 1) == {"method": "reload", "payload": {"now": True}}


async def test_the_sdk_comes_back_after_the_hub_does(services: EdgeServices) -> None:
    services.hub.route(['FROM /messages/* INTO BrokeredEndpoint("/modules/two/inputs/all")'])
    async with services.workload.served(services.socket):
        async with services.hub_served():
            running = peer("sink", services.environment("two"))
            two = await running.__aenter__()
            await line(two, 0)
        await asyncio.sleep(0.2)
        async with services.hub_served(), peer("produce", services.environment("one")) as one:
            await line(one, 0)
            one.write({"body": "1", "id": "m"})
            assert await line(two, 1) == {
                "input": "all",
                "body": "1",
                "properties": {"$.cdid": "dev1", "$.cmid": "one"},
                "id": "m",
                "correlation": None,
                "type": None,
            }
        await running.__aexit__(None, None, None)


async def test_a_module_that_the_hub_does_not_know_is_refused(services: EdgeServices) -> None:
    services.hub.keys = services.hub.keys | {"two": b"another key"}
    async with services.served(), peer("sink", services.environment("two")) as two:
        await until(lambda: services.hub.refusals["dev1/two"])
        assert not two.lines

"""What a large fleet costs in the emulated hub, so that it never hides what the operator costs."""

import time
import tracemalloc
from collections.abc import Iterator

import pytest
from iot_hub_emulator import base_content, layer_content

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.iot_hub.fleet import Fleet, Timing
from berth_sandbox.azure.iot_hub.hub import Hub

DEVICES, DEPLOYMENTS, GROUPS = 10_000, 100, 100
MOST_SECONDS_AT_FIRST, MOST_SECONDS_LATER = 12.0, 1.5
MOST_MEBIBYTES = 40
INTERVAL = Timing().interval


@pytest.fixture
def hub() -> Hub:
    return Hub("plants", Clock(factor=0), Fleet(Timing()))


def register(hub: Hub) -> None:
    for group in range(GROUPS):
        names = [f"line-{group}-{number}" for number in range(DEVICES // GROUPS)]
        hub.register(names, {"line": str(group)})


def deploy(hub: Hub) -> None:
    running = (
        "SELECT deviceId FROM devices.modules WHERE properties.reported.modules.{}.runtimeStatus = 'running'"
    )
    put(hub, "base", base_content(), "*", {})
    for number in range(DEPLOYMENTS - 1):
        name = f"m{number}"
        put(hub, name, layer_content(name), f"tags.line = '{number}'", {"running": running.format(name)})


def put(hub: Hub, name: str, content: object, condition: str, queries: dict[str, str]) -> None:
    body = {
        "id": name,
        "content": {"modulesContent": content},
        "targetCondition": condition,
        "priority": 0 if name == "base" else 1,
        "metrics": {"queries": queries},
    }
    hub.put_configuration(name, body, None)


class Stopwatch:
    def __init__(self) -> None:
        self._begun = time.process_time()

    def lap(self) -> float:
        begun, self._begun = self._begun, time.process_time()
        return self._begun - begun


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_a_large_fleet_costs_little_time(hub: Hub) -> None:
    watch = Stopwatch()
    register(hub)
    deploy(hub)
    hub.clock.advance(2 * INTERVAL)
    found = {one["id"]: one for one in hub.configurations(DEPLOYMENTS)}
    at_first = watch.lap()
    hub.clock.advance(INTERVAL)
    hub.configurations(DEPLOYMENTS)
    later = watch.lap()

    assert found["base"]["systemMetrics"]["results"]["reportedSuccessfulCount"] == DEVICES
    assert found["m7"]["metrics"]["results"] == {"running": DEVICES // GROUPS}
    print(f"first {at_first:.2f} s, each run after that {later:.2f} s")
    assert at_first < MOST_SECONDS_AT_FIRST
    assert later < MOST_SECONDS_LATER


def test_a_large_fleet_costs_little_memory(hub: Hub, memory: None) -> None:
    register(hub)
    deploy(hub)
    hub.clock.advance(2 * INTERVAL)
    hub.configurations(DEPLOYMENTS)

    held = tracemalloc.get_traced_memory()[0] / 2**20

    print(f"{held:.1f} MiB")
    assert held < MOST_MEBIBYTES

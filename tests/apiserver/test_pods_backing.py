"""Container groups as Pods, against a real API server: it takes them, and nothing of them is left."""

import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from container_groups import FULL, SUBSCRIPTION, desired

from berth_sandbox.azure.backing import Launch, Observation, State
from berth_sandbox.azure.launch import launch
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.pods.api import Api, Refusal
from berth_sandbox.azure.pods.backing import Pods
from berth_sandbox.cluster.control_plane import ControlPlane

IRIS = GroupId(SUBSCRIPTION, "models", "iris")
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
STARTED = "2026-11-01T12:00:09Z"
IS_RUNNING = {
    "podIP": "10.0.0.7",
    "containerStatuses": [
        {
            "name": "scoring",
            "image": "scoring:1",
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": STARTED}},
        }
    ],
}


@pytest.fixture
async def pods(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Pods]:
    # There is no controller here that would make it.
    control_plane.kubectl("create", "serviceaccount", "default", f"--namespace={namespace}")
    trusted = ssl.create_default_context(cafile=str(control_plane.authority))
    connector = aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(control_plane.url, connector=connector) as session:
        yield Pods(Api(session, namespace, lambda: control_plane.token))


@pytest.fixture
def left(control_plane: ControlPlane, namespace: str) -> Any:
    """Name the Pods and Secrets that are there."""

    def named() -> list[str]:
        printed = control_plane.kubectl("get", "pods,secrets", f"--namespace={namespace}", "--output=name")
        return printed.split()

    return named


def full(**changed: Any) -> Launch:
    """All that the plan can ask for at once, as it is after the way over the wire."""
    body = json.loads(json.dumps(desired(FULL).body))
    body["properties"]["containers"][0]["properties"] |= changed
    return launch(IRIS, body)


def run(control_plane: ControlPlane, namespace: str, name: str) -> None:
    """Say what a kubelet would say."""
    control_plane.kubectl(
        *("patch", name, f"--namespace={namespace}", "--subresource=status", "--type=merge"),
        f"--patch={json.dumps({'status': IS_RUNNING})}",
    )


async def test_a_real_api_server_takes_all_that_the_plan_asks_for(pods: Pods, left: Any) -> None:
    asked = full(securityContext={"runAsUser": 0})
    await pods.start(asked, NOW)
    found = left()
    assert len([name for name in found if name.startswith("pod/iris-")]) == 1
    volumes = {f"volume-{volume.name}" for volume in asked.volumes if volume.files is not None}
    secrets = {name.split("-", 2)[2] for name in found if name.startswith("secret/")}
    assert "volume-berth-keys" in volumes
    assert secrets == {"env-fetch", "env-scoring", "registries"} | volumes
    await pods.remove(IRIS)
    assert left() == []


async def test_what_the_pod_does_is_seen_until_it_is_stopped(
    pods: Pods, left: Any, control_plane: ControlPlane, namespace: str
) -> None:
    await pods.start(full(), NOW)
    assert await pods.observe(IRIS, NOW) == Observation()
    run(control_plane, namespace, left()[0])
    seen = await pods.observe(IRIS, NOW)
    assert seen.address == "10.0.0.7"
    assert seen.containers["scoring"].first_started is not None
    await pods.stop(IRIS, NOW)
    stopped = await pods.observe(IRIS, NOW)
    assert (stopped.address, stopped.containers["scoring"].current_state.state) == (None, State.TERMINATED)
    assert left() == []


async def test_a_new_start_takes_the_place_of_the_old_and_counts_as_a_restart(
    pods: Pods, left: Any, control_plane: ControlPlane, namespace: str
) -> None:
    await pods.start(full(), NOW)
    before = left()
    await pods.start(full(), NOW)
    assert len(left()) == len(before)
    assert not set(left()) & set(before)
    run(control_plane, namespace, left()[0])
    assert (await pods.observe(IRIS, NOW)).containers["scoring"].restart_count == 1


async def test_what_the_api_server_refuses_leaves_nothing(pods: Pods, left: Any) -> None:
    with pytest.raises(Refusal, match="POST /pods: 4"):
        await pods.start(full(securityContext={"runAsUser": -1}), NOW)
    assert left() == []
    assert await pods.observe(IRIS, NOW) == Observation()


async def test_a_new_emulator_removes_what_the_last_one_left_and_nothing_else(
    pods: Pods, left: Any, control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.kubectl("create", "secret", "generic", "someones", f"--namespace={namespace}")
    await pods.start(full(), NOW)
    await pods.clear()
    assert left() == ["secret/someones"]


async def test_a_container_that_has_not_begun_has_no_log(pods: Pods) -> None:
    await pods.start(full(), NOW)
    assert await pods.logs(IRIS, "scoring", NOW) == []
    assert await pods.logs(GroupId("s", "r", "other"), "scoring", NOW) == []

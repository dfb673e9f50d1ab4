"""What the operator costs: calls and writes for each model, CPU, memory, and nothing at all when idle."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bare_client import FOLLOWED
from deployments import SERVED
from operator_costs import Audit, cpu_seconds, resident_mebibytes
from operator_process import User, is_ready, operator, running_kubelet

from berth.kube.client import Api
from berth.plan.resources import LEASES, MODEL_DEPLOYMENTS
from berth_sandbox.cluster.control_plane import ControlPlane

WRITES = frozenset({"create", "update", "patch", "delete"})
BARE_CLIENT = Path(__file__).resolve().parents[2] / "support" / "bare_client.py"

MOST_WRITES = 5
MOST_CALLS = 10
# Of the CPU of a client that does nothing but send the same requests, see decision 0010.
MOST_CPU_TIMES_BARE = 2.75
MOST_MEBIBYTES = 250
OBJECTS = 1000
COMPARED_OBJECTS = 300
IDLE_SECONDS = 60


def writes(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["verb"] in WRITES]


def summary(events: list[dict[str, Any]]) -> str:
    return str(
        dict(
            Counter(
                "/".join(
                    filter(
                        None,
                        (
                            event["verb"],
                            event["objectRef"]["resource"],
                            event["objectRef"].get("subresource"),
                        ),
                    )
                )
                for event in events
            )
        )
    )


async def until_all_ready(user: User, count: int) -> None:
    """Wait for so many objects, asking seldom so as to take no CPU from the operator."""
    for _ in range(300):
        listing = await user.client.list(MODEL_DEPLOYMENTS, user.namespace)
        if sum(is_ready(each) for each in listing.items) == count:
            return
        await asyncio.sleep(0.5)
    raise AssertionError("not all became ready")


@asynccontextmanager
async def bare_client(kubeconfig: Path, namespace: str) -> AsyncIterator[int]:
    """Run the client that the operator is compared with, and give its process id."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, BARE_CLIENT, kubeconfig, namespace, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout
    for _ in FOLLOWED:
        assert await child.stdout.readline(), "it ended"
    try:
        yield child.pid
    finally:
        child.terminate()
        await child.wait()


async def until_leading(user: User, name: str) -> None:
    await user.until(lambda lease: lease["spec"].get("holderIdentity") == name, LEASES, "berth-leader")


@pytest.fixture
async def kubelet(client: Api) -> AsyncIterator[None]:
    async with running_kubelet(client):
        yield


async def test_one_model_takes_few_calls_and_none_when_idle(
    plane: ControlPlane, client: Api, kubelet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plane.kubectl("create", "namespace", "one")
    user = User(client, "one")
    async with operator(plane.kubeconfig, user.namespace, tmp_path / "berth-0.log"):
        await until_leading(user, "berth-0")
        audit = Audit(plane)
        await user.apply(SERVED)
        await user.until_ready()
        events = await audit.news()
        with capsys.disabled():
            print(f"\napply to Ready: {len(writes(events))} writes, {len(events)} calls {summary(events)}")
        assert len(writes(events)) <= MOST_WRITES
        assert len(events) <= MOST_CALLS
        await asyncio.sleep(IDLE_SECONDS)
        idle = await audit.news()
        with capsys.disabled():
            print(f"idle for {IDLE_SECONDS} s: {len(writes(idle))} writes, {len(idle)} calls")
        assert writes(idle) == []


@pytest.mark.timeout(600)
async def test_a_thousand_models_take_little_cpu_and_memory_and_a_restart_writes_nothing(
    plane: ControlPlane, client: Api, kubelet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plane.kubectl("create", "namespace", "thousand")
    user = User(client, "thousand")
    async with operator(plane.kubeconfig, user.namespace, tmp_path / "berth-0.log") as process:
        await until_leading(user, "berth-0")
        audit, cpu, began = Audit(plane), cpu_seconds(process.pid), time.monotonic()
        for start in range(0, OBJECTS, 50):
            await asyncio.gather(*(user.apply(SERVED, f"m{start + n}") for n in range(50)))
        await until_all_ready(user, OBJECTS)
        took = time.monotonic() - began
        events = await audit.until_quiet()
        cpu, resident = cpu_seconds(process.pid) - cpu, resident_mebibytes(process)
        with capsys.disabled():
            print(f"\n{OBJECTS} models: {OBJECTS / took:.0f} to Ready per second, {resident:.0f} MiB")
            print(f"each: {cpu / OBJECTS * 1000:.2f} ms CPU, {len(events) / OBJECTS:.2f} calls")
            print(summary(events))
    async with operator(plane.kubeconfig, user.namespace, tmp_path / "berth-1.log") as process:
        await until_leading(user, "berth-1")
        await asyncio.sleep(10)
        restart = await audit.news()
        with capsys.disabled():
            memory = resident_mebibytes(process)
            print(f"restart: {len(writes(restart))} writes, {len(restart)} calls, {memory:.0f} MiB")
    assert writes(restart) == []
    assert resident <= MOST_MEBIBYTES


@pytest.mark.timeout(600)
async def test_the_operator_takes_little_more_cpu_than_its_requests_alone(
    plane: ControlPlane, client: Api, kubelet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    users = [User(client, "operator"), User(client, "bare")]
    for user in users:
        plane.kubectl("create", "namespace", user.namespace)
    async with operator(plane.kubeconfig, "operator", tmp_path / "berth-0.log") as process:
        await until_leading(users[0], "berth-0")
        async with bare_client(plane.kubeconfig, "bare") as bare:
            before = [cpu_seconds(pid) for pid in (process.pid, bare)]
            for start in range(0, COMPARED_OBJECTS, 25):
                names = [f"m{start + n}" for n in range(25)]
                await asyncio.gather(*(user.apply(SERVED, name) for name in names for user in users))
            for user in users:
                await until_all_ready(user, COMPARED_OBJECTS)
            await Audit(plane).until_quiet()
            after = [cpu_seconds(pid) for pid in (process.pid, bare)]
    own, least = [(end - began) / COMPARED_OBJECTS * 1000 for began, end in zip(before, after, strict=True)]
    with capsys.disabled():
        print(
            f"\nCPU for each model: {own:.2f} ms; its requests alone: {least:.2f} ms; {own / least:.2f} times"
        )
    assert own / least <= MOST_CPU_TIMES_BARE

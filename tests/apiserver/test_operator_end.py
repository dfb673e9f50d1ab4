"""How the operator's process ends: at a signal without a complaint, else with one line that says why."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_requests import ApiServer
from operator_process import Process, User, operator, running_kubelet

from berth.kube.client import Api
from berth.plan.resources import LEASES
from berth_sandbox.cluster.control_plane import ControlPlane

END_SECONDS = 20


@pytest.fixture
async def user(client: Api, namespace: str, api: ApiServer) -> AsyncIterator[User]:
    async with running_kubelet(client, namespace):
        yield User(client, namespace)


def lines(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log.read_text().splitlines()]


def complaints(process: Process) -> list[dict[str, Any]]:
    return [line for line in lines(process) if line["level"] in {"warning", "error", "critical"}]


async def end(process: Process) -> int:
    return await asyncio.wait_for(process.child.wait(), END_SECONDS)


async def until_logged(process: Process, beginning: str) -> None:
    for _ in range(END_SECONDS * 20):
        if any(line["message"].startswith(beginning) for line in lines(process)):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"no line begins with {beginning!r}")


async def leads(user: User) -> None:
    await user.until(lambda lease: lease["spec"]["holderIdentity"] == "berth-0", LEASES, "berth-leader")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_without_a_complaint(
    control_plane: ControlPlane, user: User, tmp_path: Path, number: signal.Signals
) -> None:
    async with operator(control_plane.kubeconfig, user.namespace, tmp_path / "berth-0.log") as process:
        await user.apply()
        await user.until_ready()
        await user.apply(name="another")  # work that has just begun
        assert await process.stop(number) == 0
        assert complaints(process) == []
        assert lines(process)[-1]["message"] == "Stopping"


async def test_a_replica_that_waits_ends_at_a_signal(
    control_plane: ControlPlane, user: User, tmp_path: Path
) -> None:
    async with operator(control_plane.kubeconfig, user.namespace, tmp_path / "berth-0.log"):
        await leads(user)
        await user.apply()
        await user.until_ready()
        log = tmp_path / "berth-1.log"
        async with operator(
            control_plane.kubeconfig, user.namespace, log, shutdown_grace_seconds="60"
        ) as waiting:
            await until_logged(waiting, "Waiting as berth-1")
            assert await waiting.stop() == 0  # long before the grace that is meant for running passes
            assert complaints(waiting) == []


async def test_a_lost_lease_ends_it_with_one_line(
    control_plane: ControlPlane, user: User, tmp_path: Path
) -> None:
    async with operator(control_plane.kubeconfig, user.namespace, tmp_path / "berth-0.log") as process:
        await leads(user)
        await user.client.merge_patch(LEASES, user.key("berth-leader"), {"spec": {"holderIdentity": "other"}})
        assert await end(process) == 1
        [complaint] = complaints(process)
        assert complaint["level"] == "error"
        assert complaint["message"].startswith("The operator cannot go on: LeaseLost: The lease")
        assert "was taken by other" in complaint["message"]


async def test_what_it_may_not_watch_ends_it_with_one_line(
    control_plane: ControlPlane, user: User, tmp_path: Path
) -> None:
    known = yaml.safe_load(control_plane.kubeconfig.read_text())
    for someone in known["users"]:
        someone["user"] = {}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(known))
    async with operator(kubeconfig, user.namespace, tmp_path / "berth-0.log") as process:
        assert await end(process) == 1
        assert "is forbidden" in complaints(process)[-1]["message"]
        assert "exception" not in complaints(process)[-1]


async def test_a_port_that_is_taken_ends_it_with_the_cause(
    control_plane: ControlPlane, user: User, tmp_path: Path
) -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        log = tmp_path / "berth-0.log"
        async with operator(control_plane.kubeconfig, user.namespace, log, http_port=port) as process:
            assert await end(process) == 1
            [complaint] = complaints(process)
            assert complaint["message"].startswith("The operator failed: OSError")
            assert "exception" in complaint

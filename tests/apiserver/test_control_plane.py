import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from berth_sandbox.cluster.control_plane import ControlPlane


def test_the_administrator_may_do_everything(kubectl: Callable[..., str]) -> None:
    assert kubectl("auth", "can-i", "*", "*").strip() == "yes"


def test_the_server_knows_its_version(kubectl: Callable[..., str]) -> None:
    assert "v1.34.4" in kubectl("version")


def test_every_request_is_in_the_audit_log_with_its_user_agent(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "audited")
    creations = [event for event in control_plane.audit_events("kubectl") if event["verb"] == "create"]
    assert ("namespaces", "audited") in [
        (event["objectRef"]["resource"], event["objectRef"].get("name")) for event in creations
    ]


def test_controllers_make_the_service_account_of_a_namespace(
    control_plane_with_controllers: ControlPlane,
) -> None:
    control_plane_with_controllers.kubectl("create", "namespace", "team")
    control_plane_with_controllers.kubectl(
        "wait", "--for=create", "serviceaccount/default", "--namespace=team", "--timeout=30s"
    )


KILLED = """
import sys, time
from berth_sandbox.cluster.control_plane import control_plane
with control_plane() as running:
    print(running.kubeconfig, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", KILLED],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )


def test_nothing_survives_the_kill_of_its_owner(owner: "subprocess.Popen[str]", tmp_path: Path) -> None:
    assert owner.stdout is not None
    owner.stdout.readline()
    assert _processes_that_mention(str(tmp_path))
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    end = time.monotonic() + 5
    while _processes_that_mention(str(tmp_path)) and time.monotonic() < end:
        time.sleep(0.05)
    assert _processes_that_mention(str(tmp_path)) == []


def _processes_that_mention(text: str) -> list[int]:
    commands = Path("/proc").glob("[0-9]*/cmdline")
    return [int(each.parent.name) for each in commands if text in _read(each)]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from berth_sandbox import folders, images, kind
from berth_sandbox.cluster import cluster as clusters
from berth_sandbox.cluster import machine
from berth_sandbox.cluster.boot import boot, running_cluster
from berth_sandbox.cluster.cluster import Cluster
from berth_sandbox.errors import SandboxError
from berth_sandbox.runner import Runner

pytestmark = pytest.mark.skipif(kind.usable(), reason="kind runs the clusters here")

START_SECONDS = 15
WATCHED_FOLDERS = ("/etc", "/opt", "/run", "/usr", "/usr/libexec", "/var/lib", "/var/log")
OWNER = """
import sys, time
from berth_sandbox import images
from berth_sandbox.cluster.boot import running_cluster
with running_cluster(sys.argv[1], images.pause_archive()):
    print("running", flush=True)
    time.sleep(120)
"""


@pytest.fixture(scope="module")
def pause() -> Path:
    return images.pause_archive()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"sandbox-{os.getpid()}-{abs(hash(request.node.name)) % 1000}"


@pytest.fixture
def leftover(name: str) -> Iterator[str]:
    """The name of a cluster whose owner was killed."""
    command = [sys.executable, "-c", OWNER, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "running\n"
        owner.send_signal(signal.SIGKILL)
    yield name
    clusters.sweep()


def test_what_a_build_that_was_cut_off_has_left_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images._buildah("from", "scratch")
    assert images._buildah("containers", "--quiet")
    assert images.pause_archive().is_file()
    assert images._buildah("containers", "--quiet") == ""


def test_a_cluster_is_ready_in_time_and_leaves_no_trace(pause: Path, name: str) -> None:
    before = traces(name)
    started = time.monotonic()
    with running_cluster(name, pause) as running:
        assert time.monotonic() - started < START_SECONDS
        assert traces(name) != before
        nodes = running.api.kubectl("get", "nodes", "--output=name")
        assert nodes.strip() == f"node/berth-{name}"
    assert traces(name) == before
    assert not running.folder.exists()


def test_up_and_down_leave_no_trace(name: str) -> None:
    before = traces(name)
    cli("up", name)
    assert "running" in cli("status", name)
    assert clusters.find(name)
    cli("down", name)
    assert traces(name) == before


def test_a_cluster_whose_start_was_cut_off_is_started_anew(name: str) -> None:
    folder = folders.cache() / "clusters" / name
    cut_off = clusters.create(name, machine.start)
    cli("up", name)
    cli("down", name)
    assert not cut_off.machine.is_alive()
    cut_off.machine.stop()
    assert not folder.exists()


def test_a_cluster_that_does_not_answer_is_told_with_the_remedy(name: str) -> None:
    cli("up", name)
    running = clusters.find(name)
    assert running
    running.machine.runner.run("pkill", "-KILL", "-x", "kube-apiserver")
    with pytest.raises(SandboxError, match=f"not ready: remove it with .* down --name {name}"):
        cli("up", name)
    cli("down", name)
    assert not running.machine.is_alive()


def test_down_removes_what_a_killed_machine_left(name: str) -> None:
    before = traces(name)
    killed = clusters.create(name, machine.start)
    killed.machine.stop()
    assert killed.folder.exists()
    cli("down", name)
    assert not killed.folder.exists()
    assert traces(name) == before


def test_a_forgotten_interface_is_told_with_the_remedy(pause: Path, name: str) -> None:
    before = traces(name)
    Runner().run("ip", "link", "add", interface(name), "type", "veth", "peer", "name", "berth-peer")
    try:
        with pytest.raises(SandboxError, match=f"ip link delete {interface(name)}"):
            boot(name, pause, machine.start_bound)
    finally:
        Runner().run("ip", "link", "delete", interface(name))
    assert traces(name) == before


def test_a_start_that_fails_leaves_no_trace_and_tells_the_cause(tmp_path: Path, name: str) -> None:
    before = traces(name)
    broken = tmp_path / "pause.tar"
    broken.write_text("no image")
    with pytest.raises(SandboxError, match="ctr"):
        boot(name, broken, machine.start_bound)
    assert traces(name) == before


def test_clusters_do_not_meet_each_other_nor_other_programs(pause: Path, name: str) -> None:
    with occupied(6443), occupied(2379), occupied(10250):
        with running_cluster(f"{name}-a", pause) as one, running_cluster(f"{name}-b", pause) as other:
            assert not one.network.block.overlaps(other.network.block)
            one.api.kubectl("create", "namespace", "only-here")
            assert "only-here" not in other.api.kubectl("get", "namespaces")
        assert clusters.find(one.name) is clusters.find(other.name) is None


def test_the_kill_of_its_owner_ends_a_cluster(leftover: str) -> None:
    eventually(lambda: clusters.find(leftover) is None)
    assert processes_that_mention(f"clusters/{leftover}/") == []
    eventually(lambda: not Path(f"/sys/class/net/{interface(leftover)}").exists())


def test_the_next_cluster_sweeps_what_a_killed_one_left(leftover: str, pause: Path) -> None:
    eventually(lambda: clusters.find(leftover) is None)
    folder = folders.cache() / "clusters" / leftover
    assert folder.exists()
    with running_cluster(f"{leftover}-next", pause):
        assert not folder.exists()
        assert control_groups(leftover) == []


def test_a_pod_resolves_names_and_reaches_the_api_server(pause: Path, name: str) -> None:
    with running_cluster(name, pause) as running:
        running.load_image(images.archive(images.SCORING))
        program = "import socket; print(socket.gethostbyname('kubernetes.default.svc'))"
        assert run_in_pod(running, program) == str(running.network.api_service)


def cli(verb: str, name: str) -> str:
    return Runner().run(sys.executable, "-m", "berth_sandbox.cli", verb, f"--name={name}")


def run_in_pod(running: Cluster, program: str) -> str:
    image = f"--image={images.SCORING.reference}"
    command = ("--command", "--", "python3", "-c", program)
    running.api.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    running.api.kubectl("run", "probe", image, "--restart=Never", *command)
    running.api.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/probe", "--timeout=60s")
    return running.api.kubectl("logs", "probe").strip()


def traces(name: str) -> dict[str, object]:
    """Everything that a cluster could leave: processes, mounts, interfaces, routes, rules, groups, files."""
    return {
        "processes": processes_that_mention(name),
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if "berth" in line],
        "interface": Path(f"/sys/class/net/{interface(name)}").exists(),
        "routes": [line for line in Runner().run("ip", "route").splitlines() if interface(name) in line],
        "rules": sorted(line for line in Runner().run("iptables-save").splitlines() if line.startswith("-A")),
        "namespaces": Runner().run("ip", "netns"),
        "groups": control_groups(name),
        "folders": sorted(str(each) for folder in WATCHED_FOLDERS for each in Path(folder).glob("*")),
    }


def interface(name: str) -> str:
    return f"berth-{sha256(name.encode()).hexdigest()[:8]}"


def control_groups(name: str) -> list[str]:
    return [str(each) for each in Path("/sys/fs/cgroup").rglob(f"*berth-{name}")]


def processes_that_mention(text: str) -> list[str]:
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in command and int(each.parent.name) != os.getpid():
            found.append(command)
    return found


def occupied(port: int) -> socket.socket:
    """Another program's socket, unless there is one already."""
    try:
        return socket.create_server(("0.0.0.0", port))
    except OSError:
        return socket.socket()


def eventually(holds: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)

"""Start our scoring server and the one that Azure ML ships, each as a process of its own on loopback."""

import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PEER = Path(__file__).parents[1] / "peers/azureml"
START_SECONDS = 60


def peer_python(peer: Path = PEER) -> Path:
    """Install a peer from its own lock, once for each lock, and return its interpreter."""
    lock = hashlib.sha256((peer / "uv.lock").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    environment = cache / "berth/peers" / f"{peer.name}-{lock}"
    uv = shutil.which("uv")
    assert uv, "the peer needs uv to be installed"
    command = [uv, "sync", "--quiet", "--frozen", "--project", str(peer)]
    subprocess.run(command, env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(environment)}, check=True)
    return environment / "bin/python"


@contextmanager
def peer_server(
    python: Path, code: Path, work: Path, *, variables: Mapping[str, str], prefix: Sequence[str] = ()
) -> Iterator[int]:
    """Run the peer with `code`/score.py and yield its port."""
    port = free_port()
    command = [*prefix, str(python), str(PEER / "serve.py"), str(code / "score.py"), str(port)]
    environment = plain_environment() | {"AML_APP_ROOT": str(code)} | variables
    with running(command, environment, work / "peer.log", port, "/"):
        yield port


@contextmanager
def berth_server(
    config: Mapping[str, Any], work: Path, *, variables: Mapping[str, str], prefix: Sequence[str] = ()
) -> Iterator[int]:
    """Fetch what `config` names into `work`, serve it with our server and yield its port."""
    port = free_port()
    environment = plain_environment() | {
        "BERTH_SCORING_CONFIG": json.dumps({"name": "iris", "namespace": "demo", "port": port, **config}),
        "BERTH_APP_ROOT": str(work / "app"),
        "BERTH_TERMINATION_LOG": str(work / "termination-log"),
        "BERTH_DRAIN_SECONDS": "0",
        **variables,
    }
    command = str(Path(sys.executable).with_name("berth-scoring"))
    subprocess.run([command, "fetch"], env=environment, check=True, capture_output=True)
    with running([*prefix, command, "serve"], environment, work / "berth.log", port, "/readyz"):
        yield port


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, port: int, probe: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server until the block ends; it has started when `probe` answers 200."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_ready(process, port, probe, log)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def wait_until_ready(process: "subprocess.Popen[bytes]", port: int, probe: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if answers(port, probe):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args} does not serve:\n{log.read_text(errors='replace')[-4000:]}")


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def plain_environment() -> dict[str, str]:
    """Return the environment with one thread per library call, as in the image."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp"), **threads}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

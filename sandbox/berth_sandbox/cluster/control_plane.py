"""etcd and an API server on loopback: a Kubernetes without nodes that starts in seconds."""

import json
import socket
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from berth_sandbox.cluster import binaries, components
from berth_sandbox.cluster.components import ADMIN, CONTROLLER_MANAGER, MASTERS, Address, Credentials
from berth_sandbox.cluster.kubeconfig import Identity
from berth_sandbox.errors import SandboxError
from berth_sandbox.runner import Daemon, Runner, dying_with_parent, start_daemon

START_SECONDS = 60


@dataclass(frozen=True)
class ControlPlane:
    """A running API server, and how to reach it as its administrator."""

    url: str
    token: str
    authority: Path
    kubeconfig: Path
    audit_log: Path
    binaries: Path

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl against this API server and return what it prints."""
        return Runner().run(
            self.binaries / "kubectl", "--kubeconfig", self.kubeconfig, *arguments, stdin=stdin
        )

    def audit_events(self, user_agent: str = "") -> list[dict[str, Any]]:
        """Return the finished requests of the clients whose user agent starts so, oldest first."""
        lines = self.audit_log.read_text().splitlines() if self.audit_log.exists() else []
        events = [json.loads(line) for line in lines]
        return [event for event in events if event.get("userAgent", "").startswith(user_agent)]


@contextmanager
def control_plane(*, controllers: bool = False) -> Iterator[ControlPlane]:
    """Run a control plane for as long as the block lasts, or the process lives."""
    programs = binaries.built(binaries.KUBERNETES)
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="berth-control-plane-")))
        address = _loopback_address()
        identities = [Identity(ADMIN, (MASTERS,)), Identity(CONTROLLER_MANAGER)]
        credentials = components.issue_credentials(folder / "pki", address, identities)
        running = ControlPlane(
            url=address.url,
            token=credentials.identities[ADMIN].token,
            authority=credentials.authority.certificate,
            kubeconfig=credentials.kubeconfig(ADMIN, address),
            audit_log=folder / "audit.jsonl",
            binaries=programs,
        )
        daemons: list[Daemon] = []
        for name, command in _commands(running, folder, credentials, address, controllers=controllers):
            daemon = start_daemon(name, dying_with_parent(command), folder / "logs")
            cleanup.callback(daemon.stop)
            daemons.append(daemon)
            if name == "kube-apiserver":
                wait_until_serving(running.url, running.token, running.authority, daemon, *daemons)
        yield running


def wait_until_serving(url: str, token: str, authority: Path, daemon: Daemon, *others: Daemon) -> None:
    """Wait for the API server to be ready and for the namespace `default` to exist."""
    for path in ("/readyz", "/api/v1/namespaces/default"):
        wait_for(partial(answers, url + path, token, authority), daemon, *others)


def wait_for(
    condition: Callable[[], bool], daemon: Daemon, *others: Daemon, seconds: float = START_SECONDS
) -> None:
    """Ask again and again until the condition holds, the daemon or another one ends, or time is over."""
    end = time.monotonic() + seconds
    while not condition():
        for each in (*others, daemon):
            each.ensure_running()
        if time.monotonic() > end:
            raise SandboxError(
                f"{daemon.name} was not ready within {seconds:.0f} s: run this again when "
                f"the machine is less busy, unless the end of its log names another cause:\n"
                f"{daemon.last_words}"
            )
        time.sleep(0.1)


def answers(url: str, token: str, authority: Path) -> bool:
    """Tell whether a GET on the API server answers with success."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    context = ssl.create_default_context(cafile=str(authority))
    try:
        with urllib.request.urlopen(request, timeout=5, context=context):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _commands(
    running: ControlPlane, folder: Path, credentials: Credentials, address: Address, *, controllers: bool
) -> Iterator[tuple[str, list[str]]]:
    yield "etcd", components.etcd(running.binaries, folder / "etcd", address)
    # An API server on loopback has no address that may stand in the `kubernetes` Endpoints.
    api = components.apiserver(running.binaries, credentials, address, running.audit_log)
    yield "kube-apiserver", [*api, "--endpoint-reconciler-type=none"]
    if controllers:
        kubeconfig = credentials.kubeconfig(CONTROLLER_MANAGER, address)
        yield (
            "kube-controller-manager",
            components.controller_manager(running.binaries, credentials, kubeconfig),
        )


def _loopback_address() -> Address:
    api, etcd, peer = _free_ports(3)
    return Address("127.0.0.1", api, etcd, peer, service_range="10.96.0.0/16", service_ip="10.96.0.1")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]

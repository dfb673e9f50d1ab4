"""The order in which the programs of a cluster start."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from berth_sandbox.cluster import binaries, components, control_plane, dns, machine, metrics_server, node
from berth_sandbox.cluster.cluster import Cluster, create
from berth_sandbox.cluster.components import ADMIN, CONTROLLER_MANAGER, MASTERS, Credentials
from berth_sandbox.cluster.kubeconfig import Identity
from berth_sandbox.runner import Daemon, start_daemon

SCHEDULER = "system:kube-scheduler"
KUBE_PROXY = "system:kube-proxy"


@dataclass(frozen=True)
class Boot:
    """One start of a cluster: where it runs, who may do what in it, and what runs so far."""

    cluster: Cluster
    credentials: Credentials
    daemons: list[Daemon] = field(default_factory=list)

    @property
    def kubernetes(self) -> Path:
        """Return the folder of Kubernetes' programs."""
        return binaries.built(binaries.KUBERNETES)

    def start(self, name: str, command: Sequence[str], *namespaces: str) -> Daemon:
        """Start a program inside the cluster's machine, or in some of its namespaces only."""
        inside = [*self.cluster.machine.enter(*namespaces), *command]
        daemon = start_daemon(name, inside, self.cluster.folder / "logs")
        self.daemons.append(daemon)
        return daemon

    def kubeconfig(self, user: str) -> Path:
        """Write the kubeconfig of one of the cluster's identities."""
        return self.credentials.kubeconfig(user, self.cluster.address)

    def undo(self) -> None:
        """Stop the cluster and reap its programs, which end with their machine."""
        self.cluster.down()
        for daemon in self.daemons:
            daemon.process.wait()


def boot(name: str, pause_image: Path, start_machine: machine.Start) -> Boot:
    """Start a cluster and return when its node is ready."""
    cluster = create(name, start_machine)
    identities = [
        Identity(ADMIN, (MASTERS,)),
        Identity(metrics_server.NAME, (MASTERS,)),
        Identity(dns.NAME, (MASTERS,)),
        Identity(CONTROLLER_MANAGER),
        Identity(SCHEDULER),
        Identity(KUBE_PROXY),
        Identity(_kubelet_user(cluster), ("system:nodes",)),
    ]
    booting = Boot(cluster, components.issue_credentials(cluster.pki, cluster.address, identities))
    with ExitStack() as on_failure:
        on_failure.callback(booting.undo)
        _start(booting, pause_image)
        on_failure.pop_all()
    cluster.complete()
    return booting


def _start(booting: Boot, pause_image: Path) -> None:
    _start_way_out(booting)
    containerd = _start_containerd(booting)
    _start_control_plane(booting)
    _wait_for_containerd(booting, containerd)
    booting.cluster.load_image(pause_image)
    _start_dns(booting)
    _start_node(booting)
    _start_metrics_server(booting)


@contextmanager
def running_cluster(name: str, pause_image: Path) -> Iterator[Cluster]:
    """Run a cluster for as long as the block lasts, or the process lives."""
    booted = boot(name, pause_image, machine.start_bound)
    try:
        yield booted.cluster
    finally:
        booted.undo()


def _start_way_out(booting: Boot) -> None:
    cluster = booting.cluster
    # It stands between two networks: of the machine's namespaces it shares that of the processes only.
    booting.start("slirp4netns", node.way_out(cluster.machine.pid, cluster.network), "pid")


def _start_control_plane(booting: Boot) -> None:
    cluster, programs, credentials = booting.cluster, booting.kubernetes, booting.credentials
    booting.kubeconfig(ADMIN)
    api = cluster.api
    booting.start("etcd", components.etcd(programs, cluster.folder / "etcd", cluster.address))
    server = booting.start(
        "kube-apiserver", components.apiserver(programs, credentials, cluster.address, api.audit_log)
    )
    control_plane.wait_until_serving(api.url, api.token, api.authority, server, *booting.daemons)
    booting.start(
        "kube-controller-manager",
        components.controller_manager(programs, credentials, booting.kubeconfig(CONTROLLER_MANAGER)),
    )
    booting.start("kube-scheduler", node.scheduler(programs, booting.kubeconfig(SCHEDULER)))


def _start_containerd(booting: Boot) -> Daemon:
    config = node.write_containerd_config(booting.cluster.folder, booting.cluster.network)
    return booting.start("containerd", node.containerd(config))


def _wait_for_containerd(booting: Boot, daemon: Daemon) -> None:
    runner = booting.cluster.machine.runner
    control_plane.wait_for(lambda: runner.succeeds("ctr", "version"), daemon, *booting.daemons)


def _start_node(booting: Boot) -> None:
    cluster, programs = booting.cluster, booting.kubernetes
    authority = booting.credentials.authority
    config = node.write_kubelet_config(
        cluster.folder,
        authority=authority.certificate,
        server=authority.server("kubelet", [str(cluster.network.node)]),
        network=cluster.network,
        cgroup=cluster.group,
    )
    identity = booting.kubeconfig(_kubelet_user(cluster))
    kubelet = node.kubelet(programs, config, identity, node=cluster.group, network=cluster.network)
    proxy = node.kube_proxy(
        programs, booting.kubeconfig(KUBE_PROXY), node=cluster.group, network=cluster.network
    )
    booting.start("kube-proxy", proxy)
    daemon = booting.start("kubelet", kubelet)
    control_plane.wait_for(lambda: node_is_ready(cluster), daemon, *booting.daemons)


def node_is_ready(cluster: Cluster) -> bool:
    """Tell whether the API server answers and says that the node is ready."""
    api = cluster.api
    if not control_plane.answers(f"{api.url}/readyz", api.token, api.authority):
        return False
    nodes = json.loads(api.kubectl("get", "nodes", "--output=json"))["items"]
    conditions = [condition for each in nodes for condition in each["status"]["conditions"]]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _start_dns(booting: Boot) -> None:
    cluster = booting.cluster
    config = dns.write_config(cluster.folder, booting.kubeconfig(dns.NAME), cluster.network)
    booting.start(dns.NAME, dns.command(binaries.built(binaries.DNS), config))


def _start_metrics_server(booting: Boot) -> None:
    authority, network = booting.credentials.authority, booting.cluster.network
    server = authority.server(metrics_server.HOST, [metrics_server.HOST, str(network.node)])
    programs = binaries.built(binaries.METRICS_SERVER)
    identity = booting.kubeconfig(metrics_server.NAME)
    booting.start(
        metrics_server.NAME,
        metrics_server.command(programs, identity, server, authority.certificate, network),
    )
    objects = metrics_server.manifest(authority.certificate, network)
    booting.cluster.api.kubectl("apply", "--filename=-", stdin=json.dumps(objects))


def _kubelet_user(cluster: Cluster) -> str:
    return f"system:node:{cluster.group}"

"""A single-node cluster in a machine of its own: start, find again, stop."""

import json
import shutil
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from berth_sandbox import folders
from berth_sandbox.cluster import binaries, cgroups, machine, network
from berth_sandbox.cluster.components import ADMIN, Address
from berth_sandbox.cluster.control_plane import ControlPlane
from berth_sandbox.cluster.kubeconfig import read_token
from berth_sandbox.cluster.machine import Machine
from berth_sandbox.cluster.network import Network
from berth_sandbox.once import locked


@dataclass(frozen=True)
class Cluster:
    """A cluster on this machine; `folder` holds all of its state."""

    name: str
    folder: Path
    machine: Machine
    network: Network

    @property
    def group(self) -> str:
        """Return the name of the cluster's control group, and of its node."""
        return f"berth-{self.name}"

    @property
    def pki(self) -> Path:
        """Return the folder of keys, certificates and kubeconfigs."""
        return self.folder / "pki"

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self.pki / f"{ADMIN}.kubeconfig"

    @property
    def address(self) -> Address:
        """Return where the control plane listens: a network of its own needs no free ports."""
        return Address(
            host=str(self.network.node),
            api_port=6443,
            etcd_port=2379,
            etcd_peer_port=2380,
            service_range=str(self.network.services),
            service_ip=str(self.network.api_service),
        )

    @property
    def api(self) -> ControlPlane:
        """Return the API server with its administrator's rights."""
        return ControlPlane(
            url=self.address.url,
            token=read_token(self.kubeconfig),
            authority=self.pki / "ca.crt",
            kubeconfig=self.kubeconfig,
            audit_log=self.folder / "audit.jsonl",
            binaries=binaries.built(binaries.KUBERNETES),
        )

    def load_image(self, archive: Path) -> None:
        """Put the images of an OCI archive on the node."""
        self._ctr("import", archive)

    def has_image(self, reference: str) -> bool:
        """Tell whether the node has an image of this name."""
        return reference in self._ctr("list", "--quiet").split()

    def _ctr(self, *arguments: str | Path) -> str:
        return self.machine.runner.run("ctr", "--namespace=k8s.io", "images", *arguments)

    def is_complete(self) -> bool:
        """Tell whether the cluster was once ready; a start that was killed leaves one that was not."""
        return self._mark.exists()

    def complete(self) -> None:
        """Note that the cluster is ready."""
        self._mark.touch()

    @property
    def _mark(self) -> Path:
        return self.folder / "complete"

    def down(self) -> None:
        """Stop the cluster and leave nothing of it behind."""
        with _locked():
            self.machine.stop()
            network.wait_until_unlinked(self.network)
            _remove(self.folder)


def find(name: str) -> Cluster | None:
    """Return the running cluster of this name, if there is one."""
    folder = _home() / name
    cluster = _load(folder) if folder.is_dir() else None
    return cluster if cluster and cluster.machine.is_alive() else None


def create(name: str, start: machine.Start) -> Cluster:
    """Make a machine with a network for a new cluster, after sweeping what dead ones left."""
    with _locked(), ExitStack() as undo:
        _sweep()
        folder = _home() / name
        folder.mkdir()
        undo.callback(_remove, folder)
        chosen = network.choose(name, network.routed())
        started = start(folder)
        undo.callback(started.stop)
        cluster = Cluster(name, folder, started, chosen)
        # From here on the cluster is found again, even if this process is killed.
        _save(cluster)
        started.take_own_folders(folder)
        network.connect(chosen, started.runner, started.pid)
        cgroups.create(cluster.group)
        undo.pop_all()
    return cluster


def sweep() -> None:
    """Remove what clusters left whose machine has ended without their knowledge."""
    with _locked():
        _sweep()


def _sweep() -> None:
    for folder in _home().iterdir():
        cluster = _load(folder)
        if folder.is_dir() and not (cluster and cluster.machine.is_alive()):
            _remove(folder)


def _remove(folder: Path) -> None:
    cgroups.remove(f"berth-{folder.name}")
    if folder.exists():
        shutil.rmtree(folder)


def _locked() -> AbstractContextManager[None]:
    return locked(_home().with_suffix(".lock"))


def _home() -> Path:
    home = folders.cache() / "clusters"
    home.mkdir(parents=True, exist_ok=True)
    return home


def _state(folder: Path) -> Path:
    return folder / "state.json"


def _save(cluster: Cluster) -> None:
    state = {
        "pid": cluster.machine.pid,
        "born": cluster.machine.born,
        "block": str(cluster.network.block),
        "link": cluster.network.link,
    }
    _state(cluster.folder).write_text(json.dumps(state))


def _load(folder: Path) -> Cluster | None:
    if not _state(folder).exists():
        return None
    state = json.loads(_state(folder).read_text())
    return Cluster(
        name=folder.name,
        folder=folder,
        machine=Machine(state["pid"], state["born"]),
        network=Network(IPv4Network(state["block"]), state["link"]),
    )

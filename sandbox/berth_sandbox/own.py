"""Clusters without Docker: a real control plane and node in namespaces of this machine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from berth_sandbox import folders, images, packages
from berth_sandbox.access import Access
from berth_sandbox.cluster import binaries, cluster, machine
from berth_sandbox.cluster.boot import boot, node_is_ready, running_cluster
from berth_sandbox.cluster.cluster import Cluster
from berth_sandbox.errors import SandboxError
from berth_sandbox.images import Image
from berth_sandbox.once import locked
from berth_sandbox.progress import step


class Own:
    """Runs each cluster in namespaces of its own."""

    def up(self, name: str) -> Access:
        """Return the running cluster of this name, started now if needed."""
        packages.ensure()
        programs = _programs()
        with locked(folders.cache() / "up.lock"):
            running = _complete(name) or self._boot(name)
        return Access(running.kubeconfig, programs)

    def is_running(self, name: str) -> bool:
        """Tell whether the cluster of this name is there."""
        return cluster.find(name) is not None

    @contextmanager
    def running(self, name: str) -> Iterator[Access]:
        """Run a cluster for as long as the block lasts, or the process lives."""
        packages.ensure()
        programs = _programs()
        with running_cluster(name, images.pause_archive()) as running:
            yield Access(running.kubeconfig, programs)

    def load(self, name: str, wanted: Sequence[Image]) -> None:
        """Build the images that are new and give the cluster those that it has not got."""
        running = _find(name)
        for image in wanted:
            archive = images.archive(image)
            if not running.has_image(image.reference):
                with step(f"loading the image {image.reference}"):
                    running.load_image(archive)

    def down(self, name: str) -> None:
        """Remove every trace of the cluster; there may be none."""
        if running := cluster.find(name):
            with step(f"stopping the cluster {name}"):
                running.down()
        cluster.sweep()

    def _boot(self, name: str) -> Cluster:
        pause = images.pause_archive()
        with step(f"starting the cluster {name}"):
            return boot(name, pause, machine.start).cluster


def _programs() -> tuple[Path, Path]:
    kubernetes, helm, *_ = binaries.built_all()
    return kubernetes / "kubectl", helm / "helm"


def _complete(name: str) -> Cluster | None:
    """Return the running cluster of this name, or remove what a start that was cut off left of it."""
    found = cluster.find(name)
    if found and not found.is_complete():
        found.down()
        return None
    if found and not node_is_ready(found):
        raise SandboxError(
            f"The cluster {name} runs but its node is not ready: remove it with "
            f"`make demo-down` or `berth-sandbox down --name {name}`, then run this again."
        )
    return found


def _find(name: str) -> Cluster:
    if running := cluster.find(name):
        return running
    raise SandboxError(f"No cluster {name} is running: start it with `berth-sandbox up --name {name}`.")

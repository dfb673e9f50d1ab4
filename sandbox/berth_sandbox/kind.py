"""Clusters by kind, where Docker is there."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from berth_sandbox import folders
from berth_sandbox.access import Access
from berth_sandbox.cluster import binaries
from berth_sandbox.errors import SandboxError
from berth_sandbox.images import Image
from berth_sandbox.progress import step
from berth_sandbox.runner import Runner

CONFIG = "kind-config.yaml"


@dataclass(frozen=True)
class Kind:
    """Runs each cluster as a Docker container."""

    state: Path
    runner: Runner = field(default_factory=Runner)

    def up(self, name: str) -> Access:
        """Return the running cluster of this name, started now if needed."""
        if not self.is_running(name):
            with step(f"starting the cluster {name} with kind"):
                config = folders.REPOSITORY / CONFIG
                self.runner.run(
                    "kind", "create", "cluster", "--name", name, "--config", config, "--wait", "3m"
                )
        kubeconfig = self.state / f"{name}.kubeconfig"
        kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        kubeconfig.write_text(self.runner.run("kind", "get", "kubeconfig", "--name", name))
        kubeconfig.chmod(0o600)
        return Access(kubeconfig, (_kubectl(), _helm()))

    def is_running(self, name: str) -> bool:
        """Tell whether the cluster of this name is there."""
        return name in self.runner.run("kind", "get", "clusters").split()

    @contextmanager
    def running(self, name: str) -> Iterator[Access]:
        """Run a cluster for as long as the block lasts."""
        try:
            yield self.up(name)
        finally:
            self.down(name)

    def load(self, name: str, images: Sequence[Image]) -> None:
        """Build the images and load them; Docker and kind know themselves what is there already."""
        for image in images:
            image.prepare()
            with step(f"building and loading the image {image.reference}"):
                self._build(image)
                self.runner.run("kind", "load", "docker-image", image.reference, "--name", name)

    def _build(self, image: Image) -> None:
        base: tuple[str, ...] = ()
        if image.base:
            self._build(image.base)
            base = ("--build-arg", f"BASE_IMAGE={image.base.reference}")
        dockerfile = folders.REPOSITORY / image.dockerfile
        self.runner.run(
            "docker", "build", "--tag", image.reference, "--file", dockerfile, *base, folders.REPOSITORY
        )

    def down(self, name: str) -> None:
        """Remove the cluster; there may be none."""
        self.runner.run("kind", "delete", "cluster", "--name", name)
        (self.state / f"{name}.kubeconfig").unlink(missing_ok=True)


def usable() -> bool:
    """Tell whether kind is installed and a Docker daemon answers."""
    present = shutil.which("kind") and shutil.which("docker")
    return bool(present) and Runner().succeeds("docker", "info")


def _kubectl() -> Path:
    if found := shutil.which("kubectl"):
        return Path(found)
    raise SandboxError("The program kubectl is missing: install it beside kind.")


def _helm() -> Path:
    return Path(shutil.which("helm") or binaries.built(binaries.HELM) / "helm")

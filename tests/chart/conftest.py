import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_sandbox.cluster import binaries
from berth_sandbox.cluster.control_plane import ControlPlane
from berth_sandbox.cluster.control_plane import control_plane as running_control_plane

CHART = Path(__file__).resolve().parents[2] / "charts" / "berth"
KUBERNETES = binaries.KUBERNETES_VERSION
NAMESPACE = "berth-system"


class Manifests:
    """What the chart renders, to be asked by kind and name."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects: list[dict[str, Any]] = [each for each in yaml.safe_load_all(text) if each]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str = "berth") -> dict[str, Any]:
        (found,) = [each for each in self.of(kind) if each["metadata"]["name"] == name]
        return found

    @property
    def pod(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.pod["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def environment(self) -> dict[str, str]:
        return {each["name"]: each["value"] for each in self.container["env"] if "value" in each}


Helm = Callable[..., "subprocess.CompletedProcess[str]"]
Render = Callable[..., Manifests]


@pytest.fixture(scope="session")
def chart() -> Path:
    return CHART


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Run Helm with the given arguments, whatever comes of it."""
    program = binaries.built(binaries.HELM) / "helm"

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def template(helm: Helm) -> Helm:
    """Render the chart with the given `--set` assignments, whatever comes of it."""

    def run(*assignments: str, values: Path | None = None) -> "subprocess.CompletedProcess[str]":
        settings = [word for each in assignments for word in ("--set", each)]
        if values is not None:
            settings += ["--values", str(values)]
        return helm(
            "template", "berth", CHART, "--namespace", NAMESPACE, "--kube-version", KUBERNETES, *settings
        )

    return run


@pytest.fixture(scope="session")
def render(template: Helm) -> Render:
    """The objects that the chart makes of the given `--set` assignments."""

    def run(*assignments: str, values: Path | None = None) -> Manifests:
        done = template(*assignments, values=values)
        assert done.returncode == 0, done.stderr
        return Manifests(done.stdout)

    return run


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """An API server of its own: Helm takes over no resource definition that another test has applied."""
    with running_control_plane() as running:
        yield running


@pytest.fixture(scope="session")
def kubectl(control_plane: ControlPlane) -> Callable[..., str]:
    """Run kubectl with the given arguments against that API server."""
    return control_plane.kubectl

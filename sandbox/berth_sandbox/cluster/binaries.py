"""The cluster's programs, built from the Go modules that `sandbox/cluster` pins."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from berth_sandbox import folders
from berth_sandbox.cluster.toolchain import find_toolchain
from berth_sandbox.once import made
from berth_sandbox.progress import step

KUBERNETES_VERSION = "v1.34.4"
STAMP = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Module:
    """One Go module and what to build of it: its tools, or itself; `names` maps a built name to ours."""

    name: str
    package: str = "tool"
    linker_flags: str = "-s -w"
    names: tuple[tuple[str, str], ...] = ()

    @property
    def pins(self) -> Path:
        """Return the folder with go.mod and go.sum."""
        return folders.PINS / self.name

    def key(self, go_version: str) -> str:
        """Return a name that changes with anything that changes the programs."""
        digest = hashlib.sha256(f"{go_version}\0{self.linker_flags}".encode())
        for file in sorted(self.pins.iterdir()):
            digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:12]}"


KUBERNETES = Module(
    "kubernetes",
    # Without its version the API server says v0.0.0 and features that look at it misbehave.
    linker_flags=" ".join(
        (
            "-s -w",
            f"-X {STAMP}.gitVersion={KUBERNETES_VERSION}",
            f"-X {STAMP}.gitMajor=1",
            f"-X {STAMP}.gitMinor=34",
        )
    ),
    names=(("server", "etcd"),),
)
HELM = Module("helm")
METRICS_SERVER = Module("metrics-server")
DNS = Module("dns", package=".")
ALL = (KUBERNETES, HELM, METRICS_SERVER, DNS)


def built(module: Module) -> Path:
    """Return the folder of the module's programs, built now unless they are there already."""
    toolchain = find_toolchain()

    def build(output: Path) -> None:
        with step(f"building {module.name} with {toolchain.version} (minutes, once)"):
            toolchain.build(module.pins, module.package, module.linker_flags, output)
            for made_as, wanted in module.names:
                (output / made_as).rename(output / wanted)

    return made(folders.cache() / "bin" / module.key(toolchain.version), build)


def built_all() -> list[Path]:
    """Return the folders of all programs, built now unless they are there already."""
    return [built(module) for module in ALL]

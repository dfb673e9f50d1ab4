"""What the sandbox needs of the machine: Linux, root, and a few Debian packages."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from berth_sandbox.errors import SandboxError, explained
from berth_sandbox.progress import step
from berth_sandbox.runner import Runner

PACKAGE_OF = {
    "buildah": "buildah",
    "catatonit": "catatonit",
    "containerd": "containerd",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "runc": "runc",
    "slirp4netns": "slirp4netns",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    # buildah remembers in its store that it was here once, and then fails without it.
    "/usr/lib/podman/netavark": "netavark",
}
LOAD_GENERATORS = {"wrk": "wrk", "h2load": "nghttp2-client"}
"""What asks as fast as a server can answer, over HTTP and over gRPC, and the packages that hold it."""
START_POLICY = Path("/usr/sbin/policy-rc.d")
OTHERWISE = "or install Docker and kind and start the Docker daemon"


def ensure(runner: Runner | None = None) -> None:
    """Install the packages of the cluster that are missing, or say why that is impossible."""
    if os.geteuid() != 0:
        raise SandboxError(f"The cluster without Docker needs root: run this with sudo, {OTHERWISE}.")
    if missing := missing_packages():
        if not shutil.which("apt-get"):
            names = " ".join(missing)
            raise SandboxError(f"Missing here: {names}. Without apt-get, install them yourself, {OTHERWISE}.")
        _install_all(missing, runner)


def ensure_load_generators(runner: Runner | None = None) -> None:
    """Install the programs that measure requests per second, or say how to."""
    missing = _missing(LOAD_GENERATORS)
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SandboxError(f"Missing here: {names}. Install it, on Debian by `sudo apt-get install {names}`.")
    _install_all(missing, runner)


def missing_packages() -> list[str]:
    """List the packages whose programs are not on this machine."""
    return _missing(PACKAGE_OF)


def _missing(package_of: Mapping[str, str]) -> list[str]:
    return sorted(package for program, package in package_of.items() if not shutil.which(program))


def _install_all(packages: list[str], runner: Runner | None) -> None:
    with step(f"installing Debian packages: {' '.join(packages)}"):
        _install(packages, runner or Runner(environment={"DEBIAN_FRONTEND": "noninteractive"}))


def _install(packages: list[str], runner: Runner) -> None:
    sentence = (
        f"apt-get could not install {' '.join(packages)}: check the network and "
        "/etc/apt/sources.list, then run this again."
    )
    with explained(sentence), _no_service_starts():
        runner.run("apt-get", "update")
        runner.run("apt-get", "install", "--yes", "--no-install-recommends", *packages)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep apt-get from starting a containerd of the whole machine, which no one here needs."""
    if START_POLICY.exists():
        yield
        return
    START_POLICY.write_text("#!/bin/sh\nexit 101\n")
    START_POLICY.chmod(0o755)
    try:
        yield
    finally:
        START_POLICY.unlink()

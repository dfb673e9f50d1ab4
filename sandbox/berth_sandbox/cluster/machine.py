"""A machine inside the machine: namespaces of its own for processes, mounts and network.

Whatever runs in it ends with its first process, and its mounts, interfaces and iptables rules
vanish with it, however that process ends.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from berth_sandbox.errors import SandboxError
from berth_sandbox.runner import Daemon, Runner, dying_with_parent, start_daemon

INIT = "catatonit"
OWN_FOLDERS = ("run", "var/lib", "var/log")
CREATE = ("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net", "--", INIT, "-P")
PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Machine:
    """A running machine, known by its first process; `born` tells it from a later one of that id."""

    pid: int
    born: int
    creator: Daemon | None = field(default=None, compare=False, repr=False)

    def is_alive(self) -> bool:
        """Tell whether the machine still runs."""
        return _born(self.pid) == self.born

    def enter(self, *namespaces: str) -> tuple[str, ...]:
        """Return the command prefix that runs a program inside, or in some of its namespaces only."""
        chosen = namespaces or ("pid", "mount", "net")
        return ("nsenter", f"--target={self.pid}", *(f"--{each}" for each in chosen), "--")

    @property
    def runner(self) -> Runner:
        """Return a runner for programs inside."""
        return Runner(prefix=self.enter())

    def stop(self) -> None:
        """End the machine and everything in it; return when nothing of it is left."""
        if self.is_alive():
            self._kill()
        if self.creator:
            self.creator.process.wait()

    def take_own_folders(self, folder: Path) -> None:
        """Give the machine a /run, /var/lib and /var/log that are in `folder`."""
        for own in OWN_FOLDERS:
            (folder / own).mkdir(parents=True, exist_ok=True)
            self.runner.run("mount", "--bind", folder / own, f"/{own}")
        # Pods may ask for mounts that propagate; this group of mounts is the machine's own.
        self.runner.run("mount", "--make-rshared", "/")

    def _kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        end = time.monotonic() + PATIENCE_SECONDS
        while self.is_alive():
            if time.monotonic() > end:
                raise SandboxError(f"Process {self.pid} does not end: see `cat /proc/{self.pid}/stack`.")
            time.sleep(0.02)


Start = Callable[[Path], Machine]


def start(folder: Path) -> Machine:
    """Start a machine that logs to `folder` and outlives the caller."""
    return _start(folder, list(CREATE))


def start_bound(folder: Path) -> Machine:
    """Start a machine as `start` does, that ends with the calling process."""
    return _start(folder, dying_with_parent(CREATE))


def _start(folder: Path, command: list[str]) -> Machine:
    creator = start_daemon("machine", command, folder / "logs")
    end = time.monotonic() + PATIENCE_SECONDS
    while not (pid := _init_of(creator.process.pid)):
        creator.ensure_running()
        if time.monotonic() > end:
            raise SandboxError(f"The machine did not start; the end of its log:\n{creator.last_words}")
        time.sleep(0.02)
    return Machine(pid, _born(pid) or 0, creator)


def _init_of(creator: int) -> int | None:
    children = _read(Path(f"/proc/{creator}/task/{creator}/children")).split()
    for child in map(int, children):
        if _read(Path(f"/proc/{child}/comm")).strip() == INIT:
            return child
    return None


def _born(pid: int) -> int | None:
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    is_zombie = not fields or fields[0] == "Z"
    return None if is_zombie else int(fields[19])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""

"""The one place that starts other programs."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from berth_sandbox.errors import SandboxError

QUOTED_LINES = 12


def last_lines(text: str, count: int = QUOTED_LINES) -> str:
    """Return the end of a log without repetitions, indented to be quoted below a sentence."""
    lines = list(dict.fromkeys(line for line in text.splitlines() if line.strip()))
    return "\n".join(f"    {line[:300]}" for line in lines[-count:])


@dataclass(frozen=True)
class Runner:
    """Runs programs to their end, below an optional command prefix such as `nsenter`."""

    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *command: str | Path, stdin: str | None = None, folder: Path | None = None) -> str:
        """Run `command`, return its standard output, and raise with its last lines if it fails."""
        words = [*self.prefix, *map(str, command)]
        try:
            done = subprocess.run(
                words,
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
                env={**os.environ, **self.environment},
            )
        except FileNotFoundError:
            raise SandboxError(f"The program {words[0]} is not installed.") from None
        if done.returncode:
            quoted = last_lines(done.stderr or done.stdout)
            said = " ".join(map(str, command[:6]))
            raise SandboxError(f"`{said}` failed with code {done.returncode}:\n{quoted}")
        return done.stdout

    def succeeds(self, *command: str | Path) -> bool:
        """Tell whether `command` ends with code 0."""
        try:
            self.run(*command)
        except SandboxError:
            return False
        return True


@dataclass(frozen=True)
class Daemon:
    """A program that runs until it is stopped; its output is in a file."""

    name: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def ensure_running(self) -> None:
        """Raise with the last lines of the log if the program has ended."""
        if self.process.poll() is not None:
            raise SandboxError(
                f"{self.name} ended with code {self.process.returncode}: run this again, "
                f"unless the end of its log names another cause:\n"
                f"{self.last_words}"
            )

    @property
    def last_words(self) -> str:
        """Return the end of the log, to be quoted: the log itself goes with its cluster."""
        return last_lines(self.log.read_text(errors="replace"))

    def stop(self) -> None:
        """End the program at once: nothing that the sandbox runs has data worth a farewell."""
        self.process.kill()
        self.process.wait()


def start_daemon(name: str, command: Sequence[str | Path], logs: Path) -> Daemon:
    """Start a program in its own session, writing to `logs/NAME.log`."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Daemon(name, log, process)


def dying_with_parent(command: Sequence[str | Path]) -> list[str]:
    """Return the command that the kernel ends when the calling thread ends, even when that is killed."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]

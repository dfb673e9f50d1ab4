"""The stages of `make test`, each with the time that it takes."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from berth_sandbox import folders, images, kind, packages
from berth_sandbox.cluster import binaries
from berth_sandbox.errors import SandboxError
from berth_sandbox.table import render

Command = tuple[str, ...]

BESIDE = ("--numprocesses=2", "--dist=loadfile")
"""Two files at a time, each with servers of its own: where nothing is measured or raced against a clock."""


@dataclass(frozen=True)
class Stage:
    """Commands that check one thing; what takes minutes to build is built before any test's clock runs."""

    commands: tuple[Command, ...]
    prepare: tuple[Callable[[], object], ...] = ()


def _images() -> None:
    """Build them here, unless Docker does it for kind."""
    if kind.usable():
        return
    packages.ensure()
    for image in images.OWN:
        images.archive(image)


def _tests(folder: str, *options: str) -> tuple[Command, ...]:
    return (("pytest", f"tests/{folder}", "-q", *options),)


STAGES = {
    "check": Stage((("ruff", "format", "--check"), ("ruff", "check"), ("mypy",), ("lint-imports",))),
    "unit": Stage(_tests("unit", *BESIDE)),
    "contract": Stage(_tests("contract")),
    "apiserver": Stage(_tests("apiserver", *BESIDE), (binaries.built_all,)),
    "chart": Stage(_tests("chart"), (binaries.built_all,)),
    "e2e": Stage(_tests("e2e"), (binaries.built_all, _images)),
    # Servers are timed after the API server of the operator's tests has gone.
    "perf": Stage(
        _tests("perf/operator", "-s") + _tests("perf/scoring", "-s"),
        (binaries.built_all, packages.ensure_load_generators),
    ),
}


def run(names: Sequence[str]) -> None:
    """Run the stages in the given order, all of them even after a failure, and print their times."""
    rows = [_run(name, STAGES[name]) for name in names]
    print(f"\n{render(('STAGE', 'RESULT', 'SECONDS'), rows)}")
    if failed := [name for name, result, _ in rows if result != "passed"]:
        raise SandboxError(
            f"These stages failed: {', '.join(failed)}. Run one alone with `make {failed[0]}`."
        )


def _run(name: str, stage: Stage) -> tuple[str, str, str]:
    started = time.monotonic()
    print(f"\n== {name}", flush=True)
    codes = [_execute(command) for command in stage.commands] if _prepare(stage) else [1]
    result = "failed" if any(codes) else "passed"
    return name, result, f"{time.monotonic() - started:.0f}"


def _prepare(stage: Stage) -> bool:
    try:
        for prepare in stage.prepare:
            prepare()
    except SandboxError as error:
        print(error, flush=True)
        return False
    return True


def _execute(command: Command) -> int:
    print(f"$ {' '.join(command)}", flush=True)
    return subprocess.run(command, cwd=folders.REPOSITORY, check=False).returncode

"""`berth-scoring run`: fetches, then serves, where no init container does the first."""

import subprocess
import sys
from collections.abc import Mapping

from berth_scoring.serve import Context, guarded, listening, load
from berth_scoring.startup import StartupError
from berth_scoring.waiting import waiting


def main(environment: Mapping[str, str]) -> int:
    """Fetch and serve until told to stop; returns the exit code of the process."""
    return guarded(environment, _run)


def _run(context: Context) -> int:
    tls = context.tls()
    with listening(context) as listener:
        with waiting(listener, tls):
            if code := _fetch(context.environment):
                return code
            run = load(context, tls)
        run(listener)
    return 0


def _fetch(environment: Mapping[str, str]) -> int:
    # In a process of its own, whose libraries, logging and memory are gone before the script is loaded.
    command = [sys.executable, "-P", "-m", "berth_scoring", "fetch"]
    code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - it is this program
    if code < 0:
        raise StartupError("ModelFetchFailed", f"fetching was ended by signal {-code}")
    return code

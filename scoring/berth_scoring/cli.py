"""The command line: `berth-scoring fetch`, `serve` and `run`."""

import argparse
import os
from collections.abc import Sequence

from berth_scoring.config import CONFIG_VARIABLE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; all read their configuration from the environment."""
    parser = argparse.ArgumentParser(
        prog="berth-scoring", epilog=f"The configuration is JSON in {CONFIG_VARIABLE}."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="bring models and code to where the server reads them")
    commands.add_parser("serve", help="load them and answer requests")
    commands.add_parser("run", help="fetch, then serve; the probes are answered from the start")
    command = parser.parse_args(arguments).command
    if os.geteuid() == 0:
        from berth_scoring.privileges import leave_root  # noqa: PLC0415

        leave_root(command, os.environ)
    # Each command imports its own half: the init container needs no server, the server no client.
    if command == "fetch":
        from berth_scoring.fetch import command as fetch  # noqa: PLC0415

        return fetch.main(os.environ)
    if command == "run":
        from berth_scoring import run  # noqa: PLC0415

        return run.main(os.environ)
    from berth_scoring import serve  # noqa: PLC0415

    return serve.main(os.environ)

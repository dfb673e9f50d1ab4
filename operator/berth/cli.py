"""The command `berth`."""

import argparse
import sys

from pydantic import ValidationError

from berth.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="berth", description="Puts models behind scoring endpoints.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the operator; its settings are environment variables, BERTH_*")
    parser.parse_args(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"BERTH_{name}: {problem['msg']}\n")
        return 2
    from berth.process import run  # noqa: PLC0415 - a wrong setting is told at once, not after the imports

    return run(settings)


if __name__ == "__main__":
    sys.exit(main())

"""The command `berth-sandbox`."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from berth_sandbox import demo, folders, images, models, stages
from berth_sandbox.access import Access
from berth_sandbox.cluster import binaries
from berth_sandbox.errors import SandboxError
from berth_sandbox.provider import choose

STATE = folders.REPOSITORY / ".sandbox"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    # A root shell by `su` has not got the folders of the system's own programs.
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except SandboxError as error:
        print(f"berth-sandbox: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("berth-sandbox: interrupted; run the same command again to go on.", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="berth-sandbox", description="Kubernetes on one machine.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Callable[[argparse.Namespace], None], explanation: str) -> None:
        added = verbs.add_parser(name, help=explanation, description=explanation)
        added.add_argument("--name", default=default_name(), help="of the cluster (default: %(default)s)")
        added.set_defaults(run=run)

    verb("up", _up, "start a cluster")
    verb("down", _down, "remove every trace of a cluster")
    verb("status", _status, "tell whether the cluster runs")
    verb("build", _build, "build the cluster's programs")
    verb("images", _images, "build the images and load them into the cluster")
    verb("demo", _demo, "start a cluster with Berth and the examples, and ask them")
    verb("demo-down", _demo_down, "remove every trace of the demo")
    stage = verbs.add_parser("stage", help="run stages of the tests, and tell how long each took")
    stage.add_argument("names", nargs="+", choices=stages.STAGES)
    stage.set_defaults(run=lambda options: stages.run(options.names))
    return parser


def default_name() -> str:
    """Return the name of this checkout's own cluster: two checkouts have two demos."""
    return f"demo-{sha256(str(folders.REPOSITORY).encode()).hexdigest()[:4]}"


def _up(options: argparse.Namespace) -> None:
    access = choose(STATE).up(options.name)
    _hand_over(access, options.name)


def _down(options: argparse.Namespace) -> None:
    choose(STATE).down(options.name)


def _status(options: argparse.Namespace) -> None:
    running = choose(STATE).is_running(options.name)
    print(f"{options.name}: {'running' if running else 'not running'}")


def _build(_: argparse.Namespace) -> None:
    for folder in binaries.built_all():
        print(folder)


def _images(options: argparse.Namespace) -> None:
    choose(STATE).load(options.name, images.OWN)


def _demo(options: argparse.Namespace) -> None:
    access = demo.show(choose(STATE), options.name)
    _hand_over(access, options.name)
    print(demo.NEXT)


def _demo_down(options: argparse.Namespace) -> None:
    _down(options)
    for folder in (STATE, *(example.output for example in models.ALL)):
        shutil.rmtree(folder, ignore_errors=True)


def _hand_over(access: Access, name: str) -> None:
    """Put the kubeconfig and the programs of this checkout's own cluster where people look for them."""
    if name != default_name():
        print(f"export KUBECONFIG={access.kubeconfig}")
        return
    (STATE / "bin").mkdir(parents=True, exist_ok=True)
    _link(STATE / "kubeconfig", access.kubeconfig)
    for program_name, program in zip(("kubectl", "helm"), access.programs, strict=True):
        _link(STATE / "bin" / program_name, program)


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


if __name__ == "__main__":
    sys.exit(main())

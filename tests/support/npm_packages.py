"""Programs from npm that tests need: installed once for each lock, into the cache."""

import hashlib
import shutil
import sys
from pathlib import Path

from berth_sandbox import folders
from berth_sandbox.errors import SandboxError
from berth_sandbox.once import made
from berth_sandbox.runner import Runner

PATIENCE = {"npm_config_fetch_retry_mintimeout": "1000", "npm_config_fetch_timeout": "30000"}
PROGRAMS = Path(sys.executable).parent


class RegistryUnreachableError(Exception):
    """Nothing can be installed, since the npm registry does not answer."""


def installed(pins: Path, name: str) -> Path:
    """Return the `node_modules` with what the lock in `pins` names."""
    lock = (pins / "package-lock.json").read_bytes()
    target = folders.cache() / name / hashlib.sha256(lock).hexdigest()[:16]

    def install(folder: Path) -> None:
        folder.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copy(pins / file, folder)
        _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)

    return made(target, install) / "node_modules"


def _npm(*arguments: str, folder: Path) -> None:
    runner = Runner(environment=PATIENCE)
    try:
        runner.run(PROGRAMS / "npm", *arguments, folder=folder)
    except SandboxError as error:
        if not runner.succeeds(PROGRAMS / "npm", "ping"):
            raise RegistryUnreachableError from error
        raise

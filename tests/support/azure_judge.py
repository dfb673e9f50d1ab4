"""Microsoft's validator `oav`, which judges what the emulator is asked and what it answers."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from berth_sandbox import folders
from berth_sandbox.azure.requests import Exchange
from berth_sandbox.errors import SandboxError
from berth_sandbox.once import made
from berth_sandbox.runner import Runner

# The service sends these two, which its description lacks.
DOCUMENTED = {"provisioningTimeoutInSeconds", "isCustomProvisioningTimeout"}
# Not in the description: where an operation is polled, and Entra.
BEYOND = {"Operation_Get", "Token", "ManagedIdentityToken", "OpenIdConfiguration", ""}
PATIENCE = {"npm_config_fetch_retry_mintimeout": "1000", "npm_config_fetch_timeout": "30000"}
PROGRAMS = Path(sys.executable).parent


class RegistryUnreachableError(Exception):
    """Nothing can be installed, since the npm registry does not answer."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with a request or an answer."""

    operation: str
    side: str
    code: str
    message: str
    paths: tuple[str, ...]

    @property
    def documented(self) -> bool:
        """Tell whether the real service deviates in the same way."""
        names = {path.rpartition("/")[2] for path in self.paths}
        return (self.side, self.code) == ("response", "OBJECT_ADDITIONAL_PROPERTIES") and names <= DOCUMENTED


class Judge:
    """A running validator."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def findings(self, exchanges: Iterable[Exchange]) -> list[Finding]:
        """Return what is wrong with the exchanges that were answered, but for what is documented."""
        found = [
            finding for exchange in exchanges if _described(exchange) for finding in self.judge(exchange)
        ]
        return [finding for finding in found if not finding.documented]

    def judge(self, exchange: Exchange) -> list[Finding]:
        """Return all that is wrong with an exchange."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(_live(exchange)), file=self._process.stdin, flush=True)
        found: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return [
            Finding(exchange.operation, one["side"], one["code"], one.get("message", ""), tuple(one["paths"]))
            for one in found
        ]


@contextmanager
def judging(script: Path, descriptions: Path) -> Iterator[Judge]:
    """Run the validator, which is installed first where it is missing."""
    modules = _installed(script.parent) / "node_modules"
    with subprocess.Popen(
        [PROGRAMS / "node", script, descriptions],
        env={"NODE_PATH": str(modules)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Judge(process)
        assert process.stdin
        process.stdin.close()


def _described(exchange: Exchange) -> bool:
    is_page = isinstance(exchange.response_body, str)
    return exchange.status is not None and exchange.operation not in BEYOND and not is_page


def _installed(pins: Path) -> Path:
    lock = (pins / "package-lock.json").read_bytes()
    target = folders.cache() / "oav" / hashlib.sha256(lock).hexdigest()[:16]

    def install(folder: Path) -> None:
        folder.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(pins / name, folder)
        _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)

    return made(target, install)


def _npm(*arguments: str, folder: Path) -> None:
    runner = Runner(environment=PATIENCE)
    try:
        runner.run(PROGRAMS / "npm", *arguments, folder=folder)
    except SandboxError as error:
        if not runner.succeeds(PROGRAMS / "npm", "ping"):
            raise RegistryUnreachableError from error
        raise


def _live(exchange: Exchange) -> dict[str, Any]:
    return {
        "liveRequest": {
            "method": exchange.method,
            "url": exchange.url,
            "headers": exchange.request_headers,
            "body": exchange.request_body,
        },
        "liveResponse": {
            "statusCode": str(exchange.status),
            "headers": exchange.response_headers,
            "body": exchange.response_body,
        },
    }

"""Microsoft's validator `oav`, which judges what the emulator is asked and what it answers."""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npm_packages import PROGRAMS, installed

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.requests import Exchange, RequestLog

# The services send these, which their descriptions lack: two of a group, two of a twin.
DOCUMENTED = {"provisioningTimeoutInSeconds", "isCustomProvisioningTimeout"}
OF_TWINS = {"configurations", "modelId"}
# Where a hub takes and sends any JSON, its description says `object`.
ANY_JSON = re.compile(r"(/\d+)?/(tags|content|properties/(desired|reported))/")
# A hub's description knows no errors at all.
OF_AN_ERROR = re.compile(r"does not define '[45]\d\d' response code")
# Not in a description: where an operation is polled, Entra, and hubs as the resource manager shows them.
BEYOND = {
    "Operation_Get",
    "Token",
    "ManagedIdentityToken",
    "OpenIdConfiguration",
    "IotHubResource_Get",
    "IotHubResource_ListBySubscription",
    "",
}


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
        if (self.side, self.code) == ("response", "OBJECT_ADDITIONAL_PROPERTIES"):
            return names <= DOCUMENTED | OF_TWINS
        if self.code == "INVALID_RESPONSE_CODE":
            return bool(OF_AN_ERROR.search(self.message))
        is_no_object = self.code == "INVALID_TYPE" and self.message.startswith("Expected type object")
        return is_no_object and all(ANY_JSON.match(path) for path in self.paths)


class Record(RequestLog):
    """A log that keeps for the judge what a test has cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.whole: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """Remember an exchange, for ever."""
        super().add(exchange)
        self.whole.append(exchange)


def whole(azure: Azure) -> list[Exchange]:
    """Return all that was ever asked of an emulated Azure that keeps such a record."""
    assert isinstance(azure.requests, Record)
    return azure.requests.whole


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
def judging(script: Path, description: Path) -> Iterator[Judge]:
    """Run the validator, which is installed first where it is missing."""
    modules = installed(script.parent, "oav")
    with subprocess.Popen(
        [PROGRAMS / "node", script, description.parent, description.name],
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

"""Where a container group answers: Azure maps no ports, so its server listens on the one that callers use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from berth.api.spec import ModelDeploymentSpec
from berth.plan.pods import PORT

_USUAL = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a group is spoken to."""

    scheme: str
    port: int

    def root(self, host: str) -> str:
        """Return the URL that paths follow."""
        return f"{self.scheme}://{host}" + ("" if self.port == _USUAL[self.scheme] else f":{self.port}")


PLAIN = Endpoint("http", _USUAL["http"])
OWN = Endpoint("http", PORT)
"""What a server other than Berth's is asked to listen on."""


def endpoint(spec: ModelDeploymentSpec) -> Endpoint:
    """Return how the group of a ModelDeployment is spoken to."""
    return OWN if spec.has_own_server else PLAIN


def observed_endpoint(group: Mapping[str, Any]) -> Endpoint:
    """Return how a group that is there is spoken to, which is how Azure asks it."""
    probe = group["properties"]["containers"][0]["properties"].get("readinessProbe") or {}
    asked = probe.get("httpGet") or {}
    return Endpoint((asked.get("scheme") or PLAIN.scheme).lower(), asked.get("port") or PLAIN.port)

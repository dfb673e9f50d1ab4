"""Where a container group answers: Azure maps no ports, so its server listens on the one that callers use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from berth.api.spec import ModelDeploymentSpec
from berth.plan.placement import PORT

Json = Mapping[str, Any]

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
TLS = Endpoint("https", _USUAL["https"])
OWN = Endpoint("http", PORT)
"""What a server other than Berth's is asked to listen on."""


def endpoint(spec: ModelDeploymentSpec) -> Endpoint:
    """Return how the group of a ModelDeployment is spoken to."""
    if spec.has_own_server:
        return OWN
    return TLS if spec.tls else PLAIN


def observed_endpoint(group: Json) -> Endpoint:
    """Return how a group that is there is spoken to, which is how Azure asks it."""
    asked = _asked(group)
    return Endpoint((asked.get("scheme") or PLAIN.scheme).lower(), asked.get("port") or PLAIN.port)


def observed_root(group: Json) -> str:
    """Return the URL of a group that is there; its name may be known later than its address."""
    return observed_endpoint(group).root(group["properties"]["ipAddress"]["ip"])


def readiness_url(group: Json) -> str:
    """Return the URL at which a group that is there says that it is ready."""
    return f"{observed_root(group)}{_asked(group).get('path') or '/'}"


def _asked(group: Json) -> Json:
    """Return what Azure asks a group for."""
    probe = group["properties"]["containers"][0]["properties"].get("readinessProbe") or {}
    return probe.get("httpGet") or {}

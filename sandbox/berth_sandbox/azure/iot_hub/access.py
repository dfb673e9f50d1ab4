"""Who may do what with a hub: shared access policies, and roles of applications."""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from berth_sandbox.azure.directory import Directory
from berth_sandbox.azure.errors import ArmError
from berth_sandbox.azure.http import Request
from berth_sandbox.azure.iot_hub.errors import unauthorized

AUDIENCE = "https://iothubs.azure.net"
SIGNATURE = "SharedAccessSignature "
READ_REGISTRY, WRITE_REGISTRY, SERVICE = "RegistryRead", "RegistryWrite", "ServiceConnect"
RIGHTS = frozenset({READ_REGISTRY, WRITE_REGISTRY, SERVICE})
BUILT_IN = {
    "iothubowner": RIGHTS,
    "service": frozenset({SERVICE}),
    "registryRead": frozenset({READ_REGISTRY}),
    "registryReadWrite": frozenset({READ_REGISTRY, WRITE_REGISTRY}),
}


@dataclass(frozen=True)
class Policy:
    """A shared access policy; each of its keys, in base64, opens as much."""

    keys: tuple[str, ...]
    rights: frozenset[str] = RIGHTS


class Access:
    """Reads the tokens of requests to one hub."""

    def __init__(
        self,
        directory: Directory,
        policies: dict[str, Policy],
        roles: dict[str, frozenset[str]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.policies = policies
        self.roles = roles
        self._directory = directory
        self._now = now

    def principal(self, request: Request) -> tuple[str, frozenset[str]]:
        """Return who sent a request, and what they may, or raise 401."""
        authorization = request.headers.get("authorization", "")
        if authorization.startswith(SIGNATURE):
            return self._of_signature(authorization.removeprefix(SIGNATURE), request.headers.get("host", ""))
        try:
            client = self._directory.principal(authorization, [AUDIENCE]).client_id
        except ArmError as error:
            raise unauthorized() from error
        return client, self.roles.get(client, frozenset())

    def check(self, request: Request, right: str) -> None:
        """Raise 401 unless the sender of a request has a right."""
        if right not in self.principal(request)[1]:
            raise unauthorized()

    def _of_signature(self, token: str, host: str) -> tuple[str, frozenset[str]]:
        fields = dict(part.partition("=")[::2] for part in token.split("&"))
        policy = self.policies.get(fields.get("skn", ""))
        if policy is None or not self._covers(fields.get("sr", ""), host):
            raise unauthorized()
        expiry = fields.get("se", "")
        if not expiry.isdigit() or int(expiry) <= self._now():
            raise unauthorized()
        if not any(_signed(key, fields) for key in policy.keys):
            raise unauthorized()
        return fields["skn"], policy.rights

    @staticmethod
    def _covers(resource: str, host: str) -> bool:
        """Tell whether a token is for this hub as a whole."""
        return unquote_plus(resource).lower() in {host.lower(), host.lower().partition(":")[0]}


def _signed(key: str, fields: Mapping[str, str]) -> bool:
    text = f"{fields.get('sr')}\n{fields.get('se')}".encode()
    try:
        signature = base64.b64decode(unquote_plus(fields.get("sig", "").replace("+", "%2B")), validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(hmac.digest(base64.b64decode(key), text, "sha256"), signature)

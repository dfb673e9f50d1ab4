"""What the module shows the hub, and by what it knows the hub: renewed before it expires."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from berth_scoring.edge.errors import WorkloadError

LAST_PART = 0.2
"""The part of its life before which a token is replaced; it is for a workload API that is away."""
RETRY_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Signer(Protocol):
    """Signs, and knows whom to trust; both may block."""

    def trust_bundle(self) -> str:
        """Return certificates in PEM."""

    def sign(self, data: bytes) -> str:
        """Return a signature in base64."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token, as it stands, and the context that checks the hub's certificate."""

    token: str
    trust: ssl.SSLContext
    renew_at: float
    expires_at: float


class CredentialStore:
    """Keeps the credentials of a module for as long as they are good."""

    def __init__(
        self, resource: str, signer: Signer, lifetime_seconds: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._resource = resource
        self._signer = signer
        self._lifetime = lifetime_seconds
        self._clock = clock
        self._held: Credentials | None = None

    async def current(self) -> Credentials:
        """Return good credentials; raises WorkloadError if there are none."""
        held, now = self._held, self._clock()
        if held is not None and now < held.renew_at:
            return held
        try:
            self._held = await asyncio.to_thread(self._make)
        except WorkloadError as error:
            if held is None or now >= held.expires_at:
                raise
            logger.warning("The token is not renewed yet: %s", error)
            return held
        return self._held

    def seconds_left(self, credentials: Credentials) -> float:
        """Return how long a connection with these credentials is to last."""
        left = credentials.renew_at - self._clock()
        return left if left > 0 else RETRY_SECONDS

    def discard(self) -> None:
        """Forget credentials that were refused."""
        self._held = None

    def _make(self) -> Credentials:
        expires = int(self._clock()) + self._lifetime
        trust = trust_context(self._signer.trust_bundle())
        signature = self._signer.sign(f"{self._resource}\n{expires}".encode())
        token = f"SharedAccessSignature sr={self._resource}&sig={quote(signature, safe='')}&se={expires}"
        return Credentials(token, trust, expires - LAST_PART * self._lifetime, expires)


def trust_context(bundle: str) -> ssl.SSLContext:
    """Return a context that trusts what is in `bundle`, or what the system trusts if that is nothing."""
    try:
        context = ssl.create_default_context(cadata=bundle or None)
    except ssl.SSLError as error:
        raise WorkloadError(f"the trust bundle holds no certificates: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

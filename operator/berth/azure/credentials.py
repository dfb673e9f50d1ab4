"""Who Berth is for Azure, and the tokens that prove it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from azure.identity.aio import ClientSecretCredential, WorkloadIdentityCredential

from berth.api.azure import Credentials
from berth.api.conditions import Reason
from berth.azure.clouds import Addresses
from berth.azure.failures import sign_in_failure
from berth.azure.session import Transport
from berth.core.backoff import Backoff
from berth.core.errors import Terminal
from berth.plan.azure_errors import Kind, Verdict

_REFUSED_SECONDS = 60.0
_YOUNG_SECONDS = 60.0
"""A token that is refused so soon is not to blame: another would be refused too."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An application, and how it proves what it is: by a secret, or by a file with a federated token."""

    tenant_id: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    token_file: str = ""


def identity(credentials: Credentials, client_secret: str | None, environment: Mapping[str, str]) -> Identity:
    """Return who Berth is; what the credentials leave out is that of the operator's workload identity."""
    tenant = credentials.tenant_id or environment.get("AZURE_TENANT_ID", "")
    client = credentials.client_id or environment.get("AZURE_CLIENT_ID", "")
    token_file = environment.get("AZURE_FEDERATED_TOKEN_FILE", "")
    if not (tenant and client and (client_secret or token_file)):
        raise Terminal(
            Reason.AUTHENTICATION_FAILED,
            "The operator has no workload identity: give it one, or give credentials.secretRef",
        )
    return Identity(tenant, client, client_secret, "" if client_secret else token_file)


@dataclass(frozen=True, slots=True)
class _Given:
    """A token, and when it was given first."""

    token: str
    at: float


class SignIn(AsyncTokenCredential):
    """Gets tokens one after the other, and asks for none for a while after a refusal.

    Azure's credentials let every client and every call ask again, whatever was answered before; and they keep
    a token until it expires, whoever refuses it.
    """

    def __init__(
        self, make: Callable[[], AsyncTokenCredential], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._credential = make()
        self._given: dict[tuple[str, ...], _Given] = {}
        self._clock = clock
        self._lock = asyncio.Lock()
        self._backoff: Backoff[None] = Backoff(base=1.0, cap=60.0)
        self._refusal: Verdict | None = None
        self._held_until = float("-inf")

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # noqa: ANN401 - of many kinds
        """Return a token; raises Terminal or Transient."""
        async with self._lock:
            if self._refusal and (wait := self._held_until - self._clock()) > 0:
                raise replace(self._refusal, retry_after=wait).as_error()
            try:
                token = await self._credential.get_token(*scopes, **options)
            except AzureError as error:
                raise self._refused(sign_in_failure(error)) from error
            except OSError as error:
                raise self._refused(_unreadable(error)) from error
            self._refusal = None
            self._backoff.reset(None)
            if scopes not in self._given or self._given[scopes].token != token.token:
                self._given[scopes] = _Given(token.token, self._clock())
            return token

    def discard(self, token: str) -> bool:
        """Give up a token that a service has refused; tells whether another one is worth a try."""
        refused = next((each for each in self._given.values() if each.token == token), None)
        if refused and self._clock() - refused.at < _YOUNG_SECONDS:
            return False
        if refused:
            self._credential = self._make()
            self._given.clear()
        return True

    async def close(self) -> None:
        """Do nothing: the session is closed by its owner."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    def _refused(self, verdict: Verdict) -> Exception:
        wait = verdict.retry_after if verdict.retry_after is not None else self._backoff.next(None)
        self._refusal = replace(verdict, retry_after=wait)
        self._held_until = self._clock() + wait
        return self._refusal.as_error()


def sign_in(
    who: Identity, where: Addresses, transport: Transport, clock: Callable[[], float] = time.monotonic
) -> SignIn:
    """Return what gets tokens for an identity; nothing is asked yet."""
    options: dict[str, Any] = {"authority": where.authority, "transport": transport, "retry_total": 0}

    def make() -> AsyncTokenCredential:
        if who.client_secret:
            return ClientSecretCredential(who.tenant_id, who.client_id, who.client_secret, **options)
        return WorkloadIdentityCredential(
            tenant_id=who.tenant_id, client_id=who.client_id, token_file_path=who.token_file, **options
        )

    return SignIn(make, clock)


def _unreadable(error: OSError) -> Verdict:
    message = f"The federated token cannot be read: {error.strerror}"
    return Verdict(Kind.TERMINAL, Reason.AUTHENTICATION_FAILED, message, _REFUSED_SECONDS)

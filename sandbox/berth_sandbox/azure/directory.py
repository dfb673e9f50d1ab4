"""Entra's directory: tenants, their applications, and the tokens they get."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import jwt

from berth_sandbox.azure.errors import ArmError
from berth_sandbox.azure.names import Document

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"
MANAGEMENT_AUDIENCES = ["https://management.azure.com", "https://management.core.windows.net"]
TOKEN_SECONDS = 3600


class EntraError(Exception):
    """What Entra answers instead of a token."""

    def __init__(self, status: int, error: str, code: int, text: str) -> None:
        super().__init__(f"AADSTS{code}: {text}")
        self.status = status
        self.error = error
        self.code = code

    def document(self) -> Document:
        """Return the body of the answer."""
        return {"error": self.error, "error_description": str(self), "error_codes": [self.code]}


@dataclass(frozen=True)
class FederatedCredential:
    """Whose tokens stand for a secret; with `key`, a PEM, their signature is verified."""

    issuer: str
    subject: str
    audience: str = EXCHANGE_AUDIENCE
    key: str | None = None


@dataclass
class Application:
    """An application; `secrets` maps each secret to when it expires in seconds since 1970, if ever."""

    client_id: str
    secrets: dict[str, float | None] = field(default_factory=dict)
    federated: tuple[FederatedCredential, ...] = ()


@dataclass(frozen=True)
class Principal:
    """Who sent a request."""

    client_id: str
    tenant: str


class Directory:
    """Issues tokens to applications, and reads them again; its time is the wall's, as its callers' is."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.tenants: dict[str, dict[str, Application]] = {}
        self.system_identity: str | None = None
        self.signing_key = secrets.token_hex(32)
        self._now = now

    def register(self, tenant: str, applications: Iterable[Application] = ()) -> None:
        """Add a tenant, and applications to it; one of the same id is replaced."""
        self.tenants.setdefault(tenant, {}).update({entry.client_id: entry for entry in applications})

    def tenant(self, name: str) -> dict[str, Application]:
        """Return the applications of a tenant."""
        if name not in self.tenants:
            raise EntraError(400, "invalid_tenant", 90002, f"Tenant '{name}' not found.")
        return self.tenants[name]

    def token(self, tenant: str, form: Mapping[str, str]) -> Document:
        """Return an access token for what a client presents: a secret, or a federated token."""
        client = form.get("client_id", "")
        application = self.tenant(tenant).get(client)
        if application is None:
            raise EntraError(
                400, "unauthorized_client", 700016, f"Application with identifier '{client}' was not found."
            )
        if form.get("grant_type") != "client_credentials":
            raise EntraError(400, "unsupported_grant_type", 70003, "Only client credentials are supported.")
        if "client_assertion" in form:
            self._check_assertion(application, form)
        else:
            self._check_secret(application, form.get("client_secret", ""))
        return {
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "access_token": self._issued(tenant, client, form.get("scope", "")),
        }

    def managed_identity_token(self, resource: str, client: str | None) -> Document:
        """Return what a machine's metadata service gives: a token of its own identity, or of a named one."""
        chosen = client or self.system_identity
        for tenant, applications in self.tenants.items():
            if chosen in applications:
                expires = int(self._now()) + TOKEN_SECONDS
                return {
                    "access_token": self._issued(tenant, chosen, resource),
                    "expires_in": str(TOKEN_SECONDS),
                    "expires_on": str(expires),
                    "resource": resource,
                    "token_type": "Bearer",
                }
        raise EntraError(400, "invalid_request", 1_000_000, "Identity not found.")

    def principal(
        self, authorization: str | None, audiences: Iterable[str] = MANAGEMENT_AUDIENCES
    ) -> Principal:
        """Return who holds a bearer token for a service, or raise 401."""
        if not authorization:
            raise _unauthorized("AuthenticationFailed", "The 'Authorization' header is missing.")
        try:
            claims = jwt.decode(
                authorization.removeprefix("Bearer "),
                self.signing_key,
                algorithms=["HS256"],
                audience=[form for audience in audiences for form in (audience, f"{audience}/")],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidAudienceError as error:
            raise _unauthorized(
                "InvalidAuthenticationTokenAudience", "The token is for another audience."
            ) from error
        except jwt.InvalidTokenError as error:
            raise _unauthorized("InvalidAuthenticationToken", "The access token is invalid.") from error
        if claims["exp"] <= self._now():
            raise _unauthorized("ExpiredAuthenticationToken", "The access token expiry was in the past.")
        return Principal(claims["appid"], claims["tid"])

    def _check_secret(self, application: Application, secret: str) -> None:
        if secret not in application.secrets:
            raise EntraError(401, "invalid_client", 7000215, "Invalid client secret provided.")
        expires = application.secrets[secret]
        if expires is not None and expires <= self._now():
            raise EntraError(401, "invalid_client", 7000222, "The provided client secret keys are expired.")

    def _check_assertion(self, application: Application, form: Mapping[str, str]) -> None:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise EntraError(401, "invalid_client", 7000218, "The type of the assertion is not known.")
        try:
            claims = jwt.decode(form["client_assertion"], options={"verify_signature": False})
        except jwt.InvalidTokenError as error:
            raise EntraError(401, "invalid_client", 50027, f"JWT token is invalid: {error}") from error
        self._check_signature(_matching(application, claims), form["client_assertion"])
        if claims.get("exp", 0) <= self._now():
            raise EntraError(401, "invalid_client", 700024, "Client assertion is not within its valid time.")

    def _check_signature(self, credential: FederatedCredential, assertion: str) -> None:
        if credential.key is None:
            return
        try:
            jwt.decode(
                assertion,
                credential.key,
                algorithms=["RS256", "ES256"],
                audience=credential.audience,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise EntraError(
                401, "invalid_client", 700027, "The signature of the assertion is invalid."
            ) from error

    def _issued(self, tenant: str, client: str, scope: str) -> str:
        now = int(self._now())
        claims = {
            "aud": scope.removesuffix("/.default"),
            "iss": f"https://sts.windows.net/{tenant}/",
            "tid": tenant,
            "oid": client,
            "appid": client,
            "iat": now,
            "nbf": now - 60,
            "exp": now + TOKEN_SECONDS,
        }
        return jwt.encode(claims, self.signing_key, algorithm="HS256")


def _matching(application: Application, claims: Document) -> FederatedCredential:
    """Return the credential that a federated token fits; the code says what does not fit."""
    known = application.federated
    known = _narrowed(known, "issuer", claims.get("iss"), 700211)
    known = _narrowed(known, "subject", claims.get("sub"), 700213)
    audiences = claims.get("aud") or []
    audience = audiences if isinstance(audiences, str) else next(iter(audiences), None)
    return _narrowed(known, "audience", audience, 700212)[0]


def _narrowed(
    known: tuple[FederatedCredential, ...], name: str, value: str | None, code: int
) -> tuple[FederatedCredential, ...]:
    fitting = tuple(credential for credential in known if getattr(credential, name) == value)
    if not fitting:
        raise EntraError(
            401,
            "invalid_client",
            code,
            f"No matching federated identity record found for presented assertion {name} '{value}'.",
        )
    return fitting


def _unauthorized(code: str, message: str) -> ArmError:
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return ArmError(401, code, message, {"WWW-Authenticate": challenge})

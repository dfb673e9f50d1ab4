"""Entra's endpoints, and that of a machine's metadata service, which gives tokens too."""

import re

from berth_sandbox.azure.directory import Directory, EntraError
from berth_sandbox.azure.http import Answer, Asked, AzureStyle, Request
from berth_sandbox.azure.names import Document

PATHS = {
    "Token": re.compile(r"/([^/]+)/oauth2/v2\.0/token"),
    "ManagedIdentityToken": re.compile(r"(/metadata)/identity/oauth2/token"),
    "OpenIdConfiguration": re.compile(r"/([^/]+)/v2\.0/\.well-known/openid-configuration"),
}


class Entra(AzureStyle):
    """Answers requests to Entra."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def asked(self, request: Request) -> Asked | None:
        """Tell whether Entra is asked, and by whom."""
        operation, _ = _found(request)
        return Asked(operation, _form(request).get("client_id")) if operation else None

    async def answer(self, request: Request) -> Answer:
        """Answer a request, with an error if it comes to that."""
        operation, tenant = _found(request)
        try:
            if operation == "Token":
                return Answer(200, self._directory.token(tenant, _form(request)))
            if operation == "ManagedIdentityToken":
                return Answer(200, self._managed_identity_token(request))
            self._directory.tenant(tenant)
            return Answer(200, _configuration(request.origin, tenant))
        except EntraError as error:
            return Answer(error.status, error.document())

    def _managed_identity_token(self, request: Request) -> Document:
        if request.headers.get("metadata", "").lower() != "true":
            raise EntraError(400, "invalid_request", 900144, "Required metadata header not specified.")
        query = request.query
        return self._directory.managed_identity_token(query.get("resource", ""), query.get("client_id"))


def _found(request: Request) -> tuple[str, str]:
    for operation, pattern in PATHS.items():
        if found := pattern.fullmatch(request.path):
            return operation, found[1]
    return "", ""


def _form(request: Request) -> Document:
    return request.body if isinstance(request.body, dict) else {}


def _configuration(origin: str, tenant: str) -> Document:
    return {
        "issuer": f"{origin}/{tenant}/v2.0",
        "authorization_endpoint": f"{origin}/{tenant}/oauth2/v2.0/authorize",
        "token_endpoint": f"{origin}/{tenant}/oauth2/v2.0/token",
    }

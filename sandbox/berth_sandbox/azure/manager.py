"""Azure Resource Manager: who asks, whether they may, and how often."""

import time
from collections.abc import Callable

from berth_sandbox.azure.directory import Directory, Principal
from berth_sandbox.azure.errors import ArmError, bad_request
from berth_sandbox.azure.http import Answer, Asked, AzureStyle, Request
from berth_sandbox.azure.iot_hub import resources
from berth_sandbox.azure.operations import Operations
from berth_sandbox.azure.routes import ROUTES, Match, match
from berth_sandbox.azure.service import ContainerInstances
from berth_sandbox.azure.throttle import Limits, Throttle

ALL_ROUTES = (*ROUTES, *resources.ROUTES)


class ResourceManager(AzureStyle):
    """Answers requests to Azure Resource Manager."""

    def __init__(
        self,
        directory: Directory,
        service: ContainerInstances,
        operations: Operations,
        limits: Limits,
        *,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._service = service
        self._operations = operations
        self._limits = limits
        self._elapsed = elapsed
        self._throttles: dict[tuple[str, str], Throttle] = {}

    def asked(self, request: Request) -> Asked:
        """Tell which operation is asked for, and by whom, if they are known."""
        found = match(request.method, request.path, ALL_ROUTES)
        try:
            principal = self._directory.principal(request.headers.get("authorization")).client_id
        except ArmError:
            principal = None
        return Asked(found.operation if found else "", principal)

    async def answer(self, request: Request) -> Answer:
        """Answer a request, with an error if it comes to that."""
        headers: dict[str, str] = {}
        try:
            principal = self._directory.principal(request.headers.get("authorization"))
            found = _found(request)
            headers |= self._admitted(found, principal, request)
            done = await self._operations.perform(found.operation, found.values, request)
        except ArmError as error:
            done = Answer(error.status, error.document(), error.headers)
        return Answer(done.status, done.body, {**headers, **done.headers})

    def _admitted(self, found: Match, principal: Principal, request: Request) -> dict[str, str]:
        """Return the headers that tell how much more the caller may ask."""
        if "subscription" not in found.values:
            return {}
        subscription = self._service.subscription(found.values["subscription"])
        if subscription.tenant != principal.tenant:
            raise ArmError(
                401, "InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer."
            )
        key = subscription.id, principal.client_id
        if key not in self._throttles:
            self._throttles[key] = Throttle(subscription.id, self._limits, self._elapsed())
        return self._throttles[key].admit(request.method, self._elapsed())


def _found(request: Request) -> Match:
    found = match(request.method, request.path, ALL_ROUTES)
    version = request.query.get("api-version")
    if found is None:
        raise ArmError(404, "InvalidResourceType", f"Nothing answers {request.method} {request.path}.")
    if not version:
        raise bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if found.api_version and version != found.api_version:
        raise bad_request(
            "NoRegisteredProviderFound",
            f"No registered resource provider found for API version '{version}' for type 'containerGroups'. "
            f"The supported api-versions are '{found.api_version}'.",
        )
    return found

"""What each request to the resource manager goes through."""

from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    ContentDecodePolicy,
    CustomHookPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy

from berth.azure.credentials import SignIn


def policies(credential: SignIn, scope: str) -> list[object]:
    """Return what each request goes through.

    Not among them: retries and redirects, and the registration of a resource provider, which waits for it.
    """
    return [
        RequestIdPolicy(),
        UserAgentPolicy(f"berth/{version('berth')}"),
        CustomHookPolicy(),
        ContentDecodePolicy(),
        _Authentication(credential, scope),
    ]


class _Authentication(AsyncARMChallengeAuthenticationPolicy):
    """Shows a token; one that is refused is renewed once, since it may have been revoked before its end."""

    def __init__(self, sign_in: SignIn, scope: str) -> None:
        super().__init__(sign_in, scope)
        self._sign_in = sign_in

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Authorize and send a request."""
        response = await super().send(request)
        if response.http_response.status_code != HTTPStatus.UNAUTHORIZED:
            return response
        token = request.http_request.headers["Authorization"].removeprefix("Bearer ")
        return await super().send(request) if self._sign_in.discard(token) else response

"""What each request to the resource manager goes through."""

from importlib.metadata import version

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
        AsyncARMChallengeAuthenticationPolicy(credential, scope),
    ]

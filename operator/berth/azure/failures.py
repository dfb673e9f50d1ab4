"""What the exceptions of Azure's libraries say, for the one table that knows what they mean."""

import os
import re
from collections.abc import Mapping

from aiohttp import ClientConnectorCertificateError, ClientConnectorDNSError, ClientConnectorError
from azure.core import exceptions as sdk

from berth.plan.azure_errors import AzureError, Verdict, classify, classify_sign_in

_AADSTS = re.compile(r"AADSTS\d+:.*", re.DOTALL)


def failure(error: sdk.AzureError | TimeoutError) -> Verdict:
    """Say what a call of the resource manager came to."""
    if not isinstance(error, sdk.HttpResponseError):
        return classify(AzureError(None, "", _unanswered(error)))
    code = error.error.code if error.error else None
    message = error.error.message if error.error else None
    return classify(AzureError(error.status_code, code or "", message or "", _retry_after(error)))


def status_of(error: sdk.AzureError | TimeoutError) -> int | None:
    """Return the status of the answer, if there was one."""
    return error.status_code if isinstance(error, sdk.HttpResponseError) else None


def sign_in_failure(error: sdk.AzureError) -> Verdict:
    """Say what asking for a token came to."""
    if not isinstance(error, sdk.HttpResponseError):
        return classify_sign_in(AzureError(None, "", f"Sign-in: {_unanswered(error)}"))
    words = _AADSTS.search(error.message)
    told = words[0].rstrip("'") if words else ""
    if not told:
        told = f"The authority answered {error.status_code or 'with something else than a token'}"
    return classify_sign_in(AzureError(error.status_code, "", told, _retry_after(error)))


def _unanswered(error: sdk.AzureError | TimeoutError) -> str:
    """Say why there was no answer, without what differs each time."""
    if isinstance(error, TimeoutError | sdk.ServiceRequestTimeoutError | sdk.ServiceResponseTimeoutError):
        return "Azure did not answer in time"
    cause = error.inner_exception
    if isinstance(cause, ClientConnectorError):
        return f"Azure cannot be reached at {cause.host}:{cause.port}: {_obstacle(cause)}"
    return f"Azure did not answer: {type(cause).__name__ if cause else error.message}"


def _obstacle(error: ClientConnectorError) -> str:
    if isinstance(error, ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", "its certificate is not trusted"))
    if isinstance(error, ClientConnectorDNSError):
        return "its name is not known"
    number = error.os_error.errno
    return os.strerror(number) if number and number > 0 else type(error.os_error).__name__


def _retry_after(error: sdk.HttpResponseError) -> float | None:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    after = headers.get("Retry-After", "")
    return float(after) if after.isdigit() else None

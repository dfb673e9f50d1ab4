"""What the exceptions of Azure's libraries are taken for; those of answers are tried with real ones."""

import errno
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from azure.core import exceptions as sdk

from berth.azure.failures import failure, sign_in_failure, status_of
from berth.plan.azure_errors import Kind

WHERE = ConnectionKey("management.azure.com", 443, True, ssl.create_default_context(), None, None, None)


def wrapped(error: Exception) -> sdk.AzureError:
    return sdk.ServiceRequestError(error, error=error)


def untrusted() -> Exception:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_message = "self-signed certificate"
    return aiohttp.ClientConnectorCertificateError(WHERE, error)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TimeoutError(), "Azure did not answer in time"),
        (sdk.ServiceResponseTimeoutError("late"), "Azure did not answer in time"),
        (sdk.ServiceRequestTimeoutError("late"), "Azure did not answer in time"),
        (
            wrapped(aiohttp.ClientConnectorError(WHERE, OSError(errno.ECONNREFUSED, "Connect call failed"))),
            "Azure cannot be reached at management.azure.com:443: Connection refused",
        ),
        (
            wrapped(aiohttp.ClientConnectorError(WHERE, OSError("Multiple exceptions: 1, 2"))),
            "Azure cannot be reached at management.azure.com:443: OSError",
        ),
        (
            wrapped(
                aiohttp.ClientConnectorDNSError(WHERE, OSError(None, "Timeout while contacting 10.0.0.10"))
            ),
            "Azure cannot be reached at management.azure.com:443: its name is not known",
        ),
        (
            wrapped(untrusted()),
            "Azure cannot be reached at management.azure.com:443: self-signed certificate",
        ),
        (wrapped(aiohttp.ClientPayloadError("3 of 5 bytes")), "Azure did not answer: ClientPayloadError"),
        (sdk.ServiceRequestError("no TLS"), "Azure did not answer: no TLS"),
    ],
)
def test_no_answer_is_transient_and_told_the_same_each_time(
    error: sdk.AzureError | TimeoutError, message: str
) -> None:
    verdict = failure(error)

    assert (verdict.kind, verdict.message, verdict.retry_after) == (Kind.TRANSIENT, message, None)
    assert status_of(error) is None


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> sdk.HttpResponseError:
    response: Any = SimpleNamespace(status_code=status, reason="", headers=headers or {}, text=lambda: "")
    error = sdk.ClientAuthenticationError(message=message, response=response)
    error.status_code = status
    return error


@pytest.mark.parametrize("after", ["", "soon", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_wish_that_is_no_number_of_seconds_is_passed_over(after: str) -> None:
    assert failure(refusal(503, "ill", {"Retry-After": after})).retry_after is None


def test_words_around_the_code_of_a_refused_sign_in_are_left_out() -> None:
    text = (
        "(invalid_client) AADSTS7000222: The keys for app 'a' are expired. Create 'new' ones. "
        "Trace ID: 1 Correlation ID: 2 Timestamp: 3"
    )
    verdict = sign_in_failure(refusal(401, f"Microsoft Entra ID error '{text}'\nContent: ..."))

    assert verdict.kind is Kind.TERMINAL
    assert verdict.message == "AADSTS7000222: The keys for app 'a' are expired. Create 'new' ones"


@pytest.mark.parametrize("code", ["90033", "50196"])
def test_a_busy_directory_is_no_refusal(code: str) -> None:
    assert sign_in_failure(refusal(400, f"AADSTS{code}: Try again.")).kind is Kind.TRANSIENT


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_sign_in_without_a_code_of_entras_goes_on(status: int) -> None:
    verdict = sign_in_failure(refusal(status, "Unexpected response '<html>...'", {"Retry-After": "4"}))

    assert (verdict.kind, verdict.retry_after) == (Kind.TRANSIENT, 4)
    assert verdict.message == f"The authority answered {status}"

"""What each of Azure's refusals leads to; the words are those of the emulator, which are the service's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.api.conditions import Reason
from berth.core.errors import Gone, ReconcileError, Terminal, Transient
from berth.plan.azure_errors import TABLE, AzureError, Kind, classify, classify_sign_in, told
from berth_sandbox.azure import errors
from berth_sandbox.azure.errors import ArmError
from berth_sandbox.azure.names import GroupId

GROUP = GroupId("sub", "rg", "iris")


def seen(error: ArmError) -> AzureError:
    after = error.headers.get("Retry-After")
    return AzureError.read(error.status, error.document(), float(after) if after else None)


CASES: list[tuple[ArmError, Kind, Reason, float | None]] = [
    (errors.quota_reached("ContainerGroups", "eastus", 100, 100, 1), Kind.QUOTA, Reason.QUOTA_EXCEEDED, 60),
    (errors.no_capacity("eastus", 4, 16, "Linux"), Kind.CAPACITY, Reason.CAPACITY_UNAVAILABLE, 120),
    (errors.suspected_fraud("eastus"), Kind.SUSPECTED, Reason.CAPACITY_UNAVAILABLE, 120),
    (errors.transitioning(GROUP), Kind.TRANSITIONING, Reason.PROGRESSING_WITH_RETRY, 10),
    (errors.invalid_update(GROUP), Kind.IMMUTABLE, Reason.PROGRESSING_WITH_RETRY, None),
    (errors.invalid_location(GROUP, "eastus", "westus"), Kind.STRANGER, Reason.CONFLICT, 60),
    (errors.inaccessible_image("team/scorer:1", GROUP), Kind.TERMINAL, Reason.IMAGE_PULL_FAILED, 300),
    (errors.throttled("write", "sub", 17), Kind.THROTTLED, Reason.PROGRESSING_WITH_RETRY, 17),
    (errors.resource_not_found(GROUP), Kind.GONE, Reason.NOT_READY, None),
    (errors.resource_group_not_found("rg"), Kind.TERMINAL, Reason.RESOURCE_GROUP_NOT_FOUND, 60),
    (errors.subscription_not_found("sub"), Kind.TERMINAL, Reason.SUBSCRIPTION_NOT_FOUND, 300),
    (errors.subscription_disabled("sub"), Kind.TERMINAL, Reason.READ_ONLY_DISABLED_SUBSCRIPTION, 300),
    (errors.location_not_available("mars", ["eastus"]), Kind.TERMINAL, Reason.REJECTED, 300),
    (errors.bad_request("DnsNameLabelNotAvailable", "taken"), Kind.STRANGER, Reason.CONFLICT, 60),
    (errors.bad_request("InvalidVolume", "bad"), Kind.TERMINAL, Reason.REJECTED, 300),
    (ArmError(403, "AuthorizationFailed", "no"), Kind.TERMINAL, Reason.AUTHORIZATION_FAILED, 60),
    (ArmError(403, "RequestDisallowedByPolicy", "no"), Kind.TERMINAL, Reason.AUTHORIZATION_FAILED, 60),
    (ArmError(401, "InvalidAuthenticationToken", "no"), Kind.TERMINAL, Reason.AUTHENTICATION_FAILED, 60),
    (ArmError(400, "RegistryErrorResponse", "busy"), Kind.TRANSIENT, Reason.IMAGE_PULL_FAILED, 60),
    (ArmError(404, "InvalidSubscriptionId", "no"), Kind.TERMINAL, Reason.SUBSCRIPTION_NOT_FOUND, 300),
    (ArmError(403, "SubscriptionDisabled", "no"), Kind.TERMINAL, Reason.READ_ONLY_DISABLED_SUBSCRIPTION, 300),
    (ArmError(409, "MissingSubscriptionRegistration", "no"), Kind.TERMINAL, Reason.REJECTED, 300),
    (ArmError(403, "LinkedAuthorizationFailed", "no"), Kind.TERMINAL, Reason.AUTHORIZATION_FAILED, 60),
    (ArmError(400, "ContainerLogNotAvailable", "no"), Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, None),
    (ArmError(404, "IotHubNotFound", "no"), Kind.TERMINAL, Reason.HUB_NOT_FOUND, 60),
    (ArmError(404, "HubNotFound", "no"), Kind.TERMINAL, Reason.HUB_NOT_FOUND, 60),
    (ArmError(413, "ConfigurationCountLimitExceeded", "full"), Kind.QUOTA, Reason.QUOTA_EXCEEDED, 60),
    (
        ArmError(403, "OperationNotAvailableInCurrentTier", "no"),
        Kind.TERMINAL,
        Reason.TIER_NOT_SUPPORTED,
        300,
    ),
    (ArmError(403, "OperationNotAllowedInCurrentTier", "no"), Kind.TERMINAL, Reason.TIER_NOT_SUPPORTED, 300),
    (ArmError(403, "IotHubQuotaExceeded", "full"), Kind.TERMINAL, Reason.QUOTA_EXCEEDED, 300),
    (
        ArmError(503, "ThrottleBacklogLimitExceeded", "wait"),
        Kind.THROTTLED,
        Reason.PROGRESSING_WITH_RETRY,
        30,
    ),
    (ArmError(412, "PreconditionFailed", "stale"), Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, 1),
    (ArmError(408, "RequestTimeout", "slow"), Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, None),
    (ArmError(409, "Conflict", "again"), Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, None),
    (ArmError(500, "InternalServerError", "oops"), Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, None),
    (ArmError(503, "ServiceUnavailable", "oops"), Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, None),
]
GOES_AWAY = {Kind.TRANSIENT, Kind.THROTTLED, Kind.TRANSITIONING, Kind.SUSPECTED, Kind.IMMUTABLE}


@pytest.mark.parametrize(("error", "kind", "reason", "after"), CASES, ids=[case[0].code for case in CASES])
def test_each_refusal_has_its_meaning(
    error: ArmError, kind: Kind, reason: Reason, after: float | None
) -> None:
    found = classify(seen(error))
    assert (found.kind, found.reason, found.retry_after) == (kind, reason, after)
    assert found.message.startswith(error.code)


@pytest.mark.parametrize(("error", "kind"), [(case[0], case[1]) for case in CASES])
def test_each_meaning_has_its_reaction(error: ArmError, kind: Kind) -> None:
    expected: type[ReconcileError] = (
        Transient if kind in GOES_AWAY else Gone if kind is Kind.GONE else Terminal
    )
    assert isinstance(classify(seen(error)).as_error(), expected)


def test_four_conflicts_have_four_reactions() -> None:
    """HTTP 409 and 400 alone say nothing: what counts is the code."""
    conflicts = [
        errors.quota_reached("ContainerGroups", "eastus", 1, 1, 1),
        errors.no_capacity("eastus", 1, 1, "Linux"),
        errors.transitioning(GROUP),
        errors.invalid_location(GROUP, "eastus", "westus"),
    ]
    assert len({classify(seen(error)).kind for error in conflicts}) == 4


def test_spot_cores_that_were_never_granted_are_a_quota() -> None:
    refused = seen(errors.quota_reached("StandardSpotCores", "eastus", 0, 0, 1))
    assert classify(refused).kind is Kind.QUOTA


def test_an_operation_that_failed_is_read_as_an_answer_is() -> None:
    failed = AzureError.read(
        200, {"status": "Failed", "error": {"code": "InaccessibleImage", "message": "x"}}
    )
    assert classify(failed).reason is Reason.IMAGE_PULL_FAILED


def test_no_answer_at_all_goes_away() -> None:
    found = classify(AzureError(None, "", "Cannot connect to host management.azure.com:443"))
    assert (found.kind, found.message) == (Kind.TRANSIENT, "Cannot connect to host management.azure.com:443")


@given(st.integers(400, 599), st.text(), st.text(), st.none() | st.floats(0, 1e4))
def test_every_answer_has_a_meaning_and_words(status: int, code: str, text: str, after: float | None) -> None:
    found = classify(AzureError(status, code, text, after))
    assert found.message
    assert len(found.message) <= 800
    assert after is None or found.retry_after == after


@given(st.integers(500, 599), st.text())
def test_azures_own_failures_are_never_final(status: int, text: str) -> None:
    assert classify(AzureError(status, "", text)).kind is Kind.TRANSIENT


def test_every_row_has_a_case() -> None:
    reached = {next((row for row in TABLE if row.fits(seen(error))), None) for error, *_ in CASES}
    assert set(TABLE) <= reached


def entra(status: int | None, text: str) -> AzureError:
    return AzureError(status, "", text)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (entra(401, "AADSTS7000215: Invalid client secret provided."), Kind.TERMINAL),
        (entra(401, "AADSTS7000222: The provided client secret keys are expired."), Kind.TERMINAL),
        (entra(400, "AADSTS90002: Tenant 'x' not found."), Kind.TERMINAL),
        (entra(400, "AADSTS700016: Application not found."), Kind.TERMINAL),
        (entra(401, "AADSTS700213: No matching federated identity record found."), Kind.TERMINAL),
        (entra(429, "AADSTS7000215: throttled"), Kind.TRANSIENT),
        (entra(400, "AADSTS90033: A transient error has occurred."), Kind.TRANSIENT),
        (entra(500, "AADSTS7000215: broken"), Kind.TRANSIENT),
        (entra(None, "Cannot connect to host login.microsoftonline.com:443"), Kind.TRANSIENT),
        (entra(400, "Unexpected response"), Kind.TRANSIENT),
    ],
)
def test_only_a_sign_in_that_a_person_must_mend_is_final(error: AzureError, kind: Kind) -> None:
    found = classify_sign_in(error)
    assert found.kind is kind
    assert (found.reason is Reason.AUTHENTICATION_FAILED) is (kind is Kind.TERMINAL)


@pytest.mark.parametrize(
    "noise", ["Trace ID: 1f", "\r\nTrace ID: 2 Correlation ID: 3 Timestamp: 4", " Correlation ID: 9"]
)
def test_what_differs_each_time_is_not_told(noise: str) -> None:
    error = entra(401, f"AADSTS7000215: Invalid client secret provided. {noise}")
    assert told(error) == "AADSTS7000215: Invalid client secret provided"

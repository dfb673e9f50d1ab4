"""What Azure's refusals mean, and what to do about each: the one table of its error codes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Self

from berth.api.conditions import Reason
from berth.core.errors import Gone, Immutable, ReconcileError, Terminal, Transient

_MESSAGE_LIMIT = 800
_REFUSALS = range(400, 500)
_SIGN_IN = re.compile(r"AADSTS(\d+)")
_SIGN_IN_LATER = frozenset({"90033", "50196"})
"""The directory is busy, or asked too often."""
_CHANGES_EACH_TIME = re.compile(
    r"\s*(Trace ID|Correlation ID|Timestamp|Client request ID|x-ms-[a-z-]*request-id):?.*", re.DOTALL
)
_NO_ROOM_AT_ALL = re.compile(r"Limit: '?0'?\b")


class Kind(StrEnum):
    """What an error calls for."""

    TRANSIENT = "Transient"
    """Try again, later each time."""
    THROTTLED = "Throttled"
    """Try again when Azure says so."""
    TRANSITIONING = "Transitioning"
    """Another operation runs on the group: wait, and delete nothing."""
    QUOTA = "Quota"
    """Wait in line until the subscription has room."""
    CAPACITY = "Capacity"
    """The region has no machine free: wait for minutes, or go elsewhere."""
    SUSPECTED = "Suspected"
    """Azure takes creations side by side for fraud: make one after the other."""
    IMMUTABLE = "Immutable"
    """Only a new group can have what is asked for: delete and create."""
    STRANGER = "Stranger"
    """Something of that name belongs to someone else."""
    GONE = "Gone"
    """It does not exist (any more)."""
    TERMINAL = "Terminal"
    """Only a change of the spec or of the surroundings helps."""


@dataclass(frozen=True, slots=True)
class AzureError:
    """What Azure answered instead of a resource; without a status there was no answer at all."""

    status: int | None
    code: str
    message: str
    retry_after: float | None = None
    """Seconds, as the header `Retry-After` says."""

    @classmethod
    def read(cls, status: int | None, document: Mapping[str, Any], retry_after: float | None = None) -> Self:
        """Read the body of an answer, or of an operation that failed."""
        error = document.get("error") or {}
        return cls(status, error.get("code") or "", error.get("message") or "", retry_after)


@dataclass(frozen=True, slots=True)
class Row:
    """An error by its code, its status or both, and what to do about it."""

    code: str | None
    kind: Kind
    reason: Reason
    retry_after: float | None = None
    """Seconds, where Azure does not say."""
    status: int | None = None

    def fits(self, error: AzureError) -> bool:
        """Tell whether the row speaks of the error."""
        return self.code in {None, error.code} and self.status in {None, error.status}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error means; the message stays the same while the cause does."""

    kind: Kind
    reason: Reason
    message: str
    retry_after: float | None

    def as_error(self) -> ReconcileError:
        """Return the error for a pass to end with."""
        if self.kind is Kind.GONE:
            return Gone(self.message)
        if self.kind is Kind.IMMUTABLE:
            return Immutable(self.message, self.retry_after)
        if self.kind in _GOES_AWAY:
            return Transient(self.message, self.retry_after)
        return Terminal(self.reason, self.message, self.retry_after)


LINKED = "LinkedAuthorizationFailed"
"""The code of a refusal that is about what a group refers to, such as a subnet, and not about the group."""
_GOES_AWAY = frozenset({Kind.TRANSIENT, Kind.THROTTLED, Kind.TRANSITIONING, Kind.SUSPECTED})
_MINUTE = 60.0

TABLE = (
    Row("ContainerGroupQuotaReached", Kind.QUOTA, Reason.QUOTA_EXCEEDED, _MINUTE),
    Row("ContainerGroupTransitioning", Kind.TRANSITIONING, Reason.PROGRESSING_WITH_RETRY, 10.0),
    Row("InvalidContainerGroupUpdate", Kind.IMMUTABLE, Reason.PROGRESSING_WITH_RETRY),
    Row("InvalidResourceLocation", Kind.STRANGER, Reason.CONFLICT, _MINUTE),
    Row("DnsNameLabelNotAvailable", Kind.STRANGER, Reason.CONFLICT, _MINUTE),
    Row("InaccessibleImage", Kind.TERMINAL, Reason.IMAGE_PULL_FAILED, 5 * _MINUTE),
    Row("RegistryErrorResponse", Kind.TRANSIENT, Reason.IMAGE_PULL_FAILED, _MINUTE),
    Row("ResourceGroupNotFound", Kind.TERMINAL, Reason.RESOURCE_GROUP_NOT_FOUND, _MINUTE),
    Row("SubscriptionNotFound", Kind.TERMINAL, Reason.SUBSCRIPTION_NOT_FOUND, 5 * _MINUTE),
    Row("InvalidSubscriptionId", Kind.TERMINAL, Reason.SUBSCRIPTION_NOT_FOUND, 5 * _MINUTE),
    Row("ReadOnlyDisabledSubscription", Kind.TERMINAL, Reason.READ_ONLY_DISABLED_SUBSCRIPTION, 5 * _MINUTE),
    Row("SubscriptionDisabled", Kind.TERMINAL, Reason.READ_ONLY_DISABLED_SUBSCRIPTION, 5 * _MINUTE),
    Row("MissingSubscriptionRegistration", Kind.TERMINAL, Reason.REJECTED, 5 * _MINUTE),
    Row("AuthorizationFailed", Kind.TERMINAL, Reason.AUTHORIZATION_FAILED, _MINUTE),
    Row(LINKED, Kind.TERMINAL, Reason.AUTHORIZATION_FAILED, _MINUTE),
    Row("ContainerLogNotAvailable", Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY),
    Row("ServiceUnavailable", Kind.CAPACITY, Reason.CAPACITY_UNAVAILABLE, 2 * _MINUTE, status=409),
    Row("IotHubNotFound", Kind.TERMINAL, Reason.HUB_NOT_FOUND, _MINUTE),
    Row("HubNotFound", Kind.TERMINAL, Reason.HUB_NOT_FOUND, _MINUTE),
    Row("ConfigurationCountLimitExceeded", Kind.QUOTA, Reason.QUOTA_EXCEEDED, _MINUTE),
    Row("OperationNotAvailableInCurrentTier", Kind.TERMINAL, Reason.TIER_NOT_SUPPORTED, 5 * _MINUTE),
    Row("OperationNotAllowedInCurrentTier", Kind.TERMINAL, Reason.TIER_NOT_SUPPORTED, 5 * _MINUTE),
    Row("IotHubQuotaExceeded", Kind.TERMINAL, Reason.QUOTA_EXCEEDED, 5 * _MINUTE),
    Row("ThrottleBacklogLimitExceeded", Kind.THROTTLED, Reason.PROGRESSING_WITH_RETRY, 30.0),
    Row(None, Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, 1.0, status=412),
    Row(None, Kind.THROTTLED, Reason.PROGRESSING_WITH_RETRY, 10.0, status=429),
    Row(None, Kind.GONE, Reason.NOT_READY, status=404),
    Row(None, Kind.TERMINAL, Reason.AUTHENTICATION_FAILED, _MINUTE, status=401),
    Row(None, Kind.TERMINAL, Reason.AUTHORIZATION_FAILED, _MINUTE, status=403),
    Row(None, Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, status=408),
    Row(None, Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, status=409),
)
"""The first row that fits counts; where none does, 4xx are terminal and the rest is transient."""


def classify(error: AzureError) -> Verdict:
    """Say what an answer of the resource manager, or the end of an operation, means."""
    message = told(error)
    row = next((row for row in TABLE if row.fits(error)), None)
    if row is None:
        return _by_status(error, message)
    wait = _wait(error, row.retry_after)
    if row.kind is Kind.CAPACITY and _NO_ROOM_AT_ALL.search(error.message):
        return Verdict(Kind.SUSPECTED, row.reason, message, wait)
    return Verdict(row.kind, row.reason, message, wait)


def classify_sign_in(error: AzureError) -> Verdict:
    """Say what an error of the directory that gives tokens means."""
    code = _SIGN_IN.search(error.message)
    is_answer = error.status in _REFUSALS and error.status != HTTPStatus.TOO_MANY_REQUESTS
    if is_answer and code and code[1] not in _SIGN_IN_LATER:
        return Verdict(Kind.TERMINAL, Reason.AUTHENTICATION_FAILED, told(error), _wait(error, _MINUTE))
    return Verdict(Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, told(error), error.retry_after)


def told(error: AzureError) -> str:
    """Return Azure's code and words, without what differs each time."""
    words = _CHANGES_EACH_TIME.sub("", error.message).strip().rstrip(".")
    whole = f"{error.code}: {words}" if error.code and words else error.code or words
    return whole[:_MESSAGE_LIMIT] or f"Azure answered {error.status or 'nothing'}"


def _wait(error: AzureError, otherwise: float | None) -> float | None:
    return otherwise if error.retry_after is None else error.retry_after


def _by_status(error: AzureError, message: str) -> Verdict:
    if error.status in _REFUSALS:
        return Verdict(Kind.TERMINAL, Reason.REJECTED, message, _wait(error, 5 * _MINUTE))
    return Verdict(Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, message, error.retry_after)

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.base import ApiModel


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """What a condition is about."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    MODEL_AVAILABLE = "ModelAvailable"
    ENDPOINT_READY = "EndpointReady"
    VALIDATED = "Validated"
    SUCCESSOR_READY = "SuccessorReady"
    QUOTA_AVAILABLE = "QuotaAvailable"
    CREDENTIALS_ACCEPTED = "CredentialsAccepted"
    REGION_AVAILABLE = "RegionAvailable"
    HUB_AVAILABLE = "HubAvailable"
    DEVICES_AVAILABLE = "DevicesAvailable"
    IN_USE = "InUse"
    SUSPENDED = "Suspended"


ABNORMAL_TRUE = frozenset({ConditionType.RECONCILING, ConditionType.STALLED})


class Reason(StrEnum):
    """Why a condition has its status."""

    # all is well
    READY = "Ready"
    MODEL_FETCHED = "ModelFetched"
    MODEL_SERVED = "ModelServed"
    ENDPOINT_READY = "EndpointReady"
    VALIDATION_PASSED = "ValidationPassed"
    QUOTA_AVAILABLE = "QuotaAvailable"
    CREDENTIALS_ACCEPTED = "CredentialsAccepted"
    REGION_AVAILABLE = "RegionAvailable"
    SCALED_TO_ZERO = "ScaledToZero"
    SUSPENDED = "Suspended"
    # under way
    PROGRESSING_WITH_RETRY = "ProgressingWithRetry"
    ROLLING_OUT = "RollingOut"
    FETCHING_MODEL = "FetchingModel"
    WAITING_FOR_ADDRESS = "WaitingForAddress"
    VALIDATING = "Validating"
    # the model or its code
    MODEL_FETCH_FAILED = "ModelFetchFailed"
    MODEL_DIGEST_MISMATCH = "ModelDigestMismatch"
    MODEL_ARCHIVE_UNSAFE = "ModelArchiveUnsafe"
    MODEL_ARCHIVE_DAMAGED = "ModelArchiveDamaged"
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    CLASSIFIER_MISMATCH = "ClassifierMismatch"
    CODE_FETCH_FAILED = "CodeFetchFailed"
    CODE_DIGEST_MISMATCH = "CodeDigestMismatch"
    CODE_ARCHIVE_UNSAFE = "CodeArchiveUnsafe"
    CODE_ARCHIVE_DAMAGED = "CodeArchiveDamaged"
    SCORING_SCRIPT_MISSING = "ScoringScriptMissing"
    SCRIPT_LOAD_FAILED = "ScriptLoadFailed"
    SCRIPT_INIT_FAILED = "ScriptInitFailed"
    VALIDATION_FAILED = "ValidationFailed"
    # the pods
    INVALID_IMAGE_NAME = "InvalidImageName"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG_FAILED = "ContainerConfigFailed"
    CONTAINER_FAILED = "ContainerFailed"
    CONFIG_INVALID = "ConfigInvalid"
    KEYS_MISSING = "KeysMissing"
    PORT_UNAVAILABLE = "PortUnavailable"
    SWAGGER_INVALID = "SwaggerInvalid"
    DEVICE_UNAVAILABLE = "DeviceUnavailable"
    CERTIFICATE_INVALID = "CertificateInvalid"
    OUT_OF_MEMORY = "OutOfMemory"
    UNSCHEDULABLE = "Unschedulable"
    VOLUME_FAILED = "VolumeFailed"
    POD_PENDING = "PodPending"
    NOT_READY = "NotReady"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    QUOTA_EXCEEDED = "QuotaExceeded"
    # the ComputeTarget, and Azure, mostly in its own words
    IN_USE = "InUse"
    LOOKING = "Looking"
    CAPACITY_UNAVAILABLE = "CapacityUnavailable"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    AUTHORIZATION_FAILED = "AuthorizationFailed"
    RESOURCE_GROUP_NOT_FOUND = "ResourceGroupNotFound"
    SUBSCRIPTION_NOT_FOUND = "SubscriptionNotFound"
    HUB_AVAILABLE = "HubAvailable"
    HUB_NOT_FOUND = "HubNotFound"
    TIER_NOT_SUPPORTED = "TierNotSupported"
    READ_ONLY_DISABLED_SUBSCRIPTION = "ReadOnlyDisabledSubscription"
    # exclusive devices
    DEVICES_AVAILABLE = "DevicesAvailable"
    DEVICES_IN_USE = "DevicesInUse"
    DEVICE_NOT_OFFERED = "DeviceNotOffered"
    WAITING_FOR_CAPACITY = "WaitingForCapacity"
    NO_CAPACITY = "NoCapacity"
    PREEMPTION_NOT_ALLOWED = "PreemptionNotAllowed"
    # the fleet
    COUNTING_DEVICES = "CountingDevices"
    NO_DEVICES = "NoDevices"
    BASE_DEPLOYMENT_MISSING = "BaseDeploymentMissing"
    DEVICES_FAILING = "DevicesFailing"
    ROLLED_BACK = "RolledBack"
    # the target and the API server
    TARGET_NOT_AVAILABLE = "TargetNotAvailable"
    REJECTED = "Rejected"
    TOO_LARGE = "TooLarge"
    CONFLICT = "Conflict"
    UNREADABLE = "Unreadable"
    INTERNAL_ERROR = "InternalError"


class Condition(ApiModel):
    """One observation, as in meta/v1."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)]
    """What the condition is about."""
    status: ConditionStatus
    """Whether it holds."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the resource that was looked at."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed; what is not well starts anew with each generation."""
    reason: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ]
    """Why, in one word."""
    message: Annotated[str, StringConstraints(max_length=32768)]
    """Why, in a sentence."""


def merge(old: Iterable[Condition], new: Iterable[Condition], now: str) -> tuple[Condition, ...]:
    """Give the new conditions in a stable order; those whose status changed get `now` as transition time.

    So do those that are not well, for each generation: their age tells how long that one takes.
    Reconciling and Stalled are left out unless they are true, as kstatus asks.
    """
    before = {condition.type: condition for condition in old}
    kept = (c for c in new if c.type not in ABNORMAL_TRUE or c.status is ConditionStatus.TRUE)
    return tuple(_since(before.get(c.type), c, now) for c in sorted(kept, key=_order))


def _since(old: Condition | None, new: Condition, now: str) -> Condition:
    goes_on = (
        old is not None
        and old.status is new.status
        and (_is_well(new) or old.observed_generation == new.observed_generation)
    )
    return new.model_copy(
        update={"last_transition_time": old.last_transition_time if goes_on and old else now}
    )


def _is_well(condition: Condition) -> bool:
    return condition.status is ConditionStatus.TRUE and condition.type not in ABNORMAL_TRUE


def _order(condition: Condition) -> tuple[int, str]:
    known = list(ConditionType)
    return (
        known.index(ConditionType(condition.type)) if condition.type in known else len(known),
        condition.type,
    )

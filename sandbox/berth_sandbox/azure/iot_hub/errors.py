"""IoT Hub's errors: their status, name and words."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from berth_sandbox.azure.errors import NO_HEADERS
from berth_sandbox.azure.names import Document


class HubError(Exception):
    """What an IoT hub answers instead of what is asked for."""

    def __init__(
        self, status: int, code: str, message: str = "BadRequest", headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = {"iothub-errorcode": code, **headers}

    def document(self) -> Document:
        """Return the body of the answer."""
        return error_document(self.code, self.message)


def error_document(code: str, message: str) -> Document:
    """Write an error as a hub does; its tracking id holds the time on the wall."""
    tracking = f"{uuid.uuid4().hex}-G:0-TimeStamp:{datetime.now(UTC):%m/%d/%Y %H:%M:%S}"
    return {"Message": f"ErrorCode:{code};{message}", "ExceptionMessage": f"Tracking ID:{tracking}"}


def unauthorized() -> HubError:
    """Say that the token does not open this, without saying why."""
    return HubError(401, "IotHubUnauthorizedAccess", "Unauthorized")


def not_in_this_tier() -> HubError:
    """Say that the hub is of the basic tier."""
    return HubError(
        403, "OperationNotAvailableInCurrentTier", "Operation is not available in the current tier."
    )


def throttled(seconds: int) -> HubError:
    """Say how long to wait after too many requests."""
    return HubError(
        429,
        "ThrottlingException",
        "Throttling, operation was not attempted.",
        {"Retry-After": str(seconds)},
    )


def too_many_configurations(limit: int) -> HubError:
    """Say that the hub keeps no more configurations."""
    return HubError(
        413,
        "ConfigurationCountLimitExceeded",
        f"Number of deployments exceed the maximum quota {limit} for this IotHub.",
    )


def configuration_exists(name: str) -> HubError:
    """Say that a configuration of that id is there, and that nobody said which version was meant."""
    return HubError(
        409, "ConfigurationAlreadyExists", f"A configuration with ID '{name}' already exists on the IoT Hub."
    )


def configuration_not_found(name: str) -> HubError:
    """Say that there is no such configuration."""
    return HubError(404, "ConfigurationNotFound", f"Configuration '{name}' does not exist.")


def configuration_changed() -> HubError:
    """Say that the ETag is of another version."""
    return HubError(412, "PreconditionFailed", "Precondition failed: Configuration version did not match.")


def invalid_content() -> HubError:
    """Say that the content is not what a hub takes; it does not say why."""
    return HubError(
        400,
        "InvalidConfigurationContent",
        "The content provided for configuration is invalid. Please check and try again",
    )


def invalid_condition(message: str = "BadRequest") -> HubError:
    """Say that the target condition is none."""
    return HubError(400, "InvalidConfigurationTargetCondition", message)


def invalid_argument(message: str = "BadRequest") -> HubError:
    """Refuse what the request asks for."""
    return HubError(400, "ArgumentInvalid", message)


def device_not_found(device: str) -> HubError:
    """Say that there is no such device."""
    return HubError(404, "DeviceNotFound", f"Device {device} not registered")


def device_exists() -> HubError:
    """Say that a device of that id is there."""
    return HubError(409, "DeviceAlreadyExists", "A device with ID already exists.")


def device_changed(existing: int, requested: int) -> HubError:
    """Say that the ETag is of another version of the device."""
    return HubError(
        412,
        "PreconditionFailed",
        "Precondition failed: Device version did not match, "
        f"existingVersion:{existing} newVersion:{requested}",
    )


def module_not_found(device: str, module: str) -> HubError:
    """Say that the device has no such module."""
    return HubError(404, "ModuleNotFound", f"Module {module} not found on device {device}")


def twin_too_large() -> HubError:
    """Say that a section of a twin would be too large."""
    return HubError(413, "RequestEntityTooLarge", "The section of the twin exceeds its maximum size.")


def invalid_query(message: str) -> HubError:
    """Say that a query cannot be read."""
    return HubError(400, "QueryInvalid", message)

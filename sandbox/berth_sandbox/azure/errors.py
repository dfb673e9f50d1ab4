"""Azure's errors: their status, code and words."""

from collections.abc import Mapping
from types import MappingProxyType

from berth_sandbox.azure.names import CONTAINER_GROUPS, Document, GroupId

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
TRANSITIONING_SECONDS = 10


class ArmError(Exception):
    """What Azure Resource Manager answers instead of a resource."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def document(self) -> Document:
        """Return the body of the answer."""
        return {"error": {"code": self.code, "message": self.message}}


def bad_request(code: str, message: str) -> ArmError:
    """Refuse what the request asks for."""
    return ArmError(400, code, message)


def subscription_not_found(subscription: str) -> ArmError:
    """Say that there is no such subscription."""
    return ArmError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")


def subscription_disabled(subscription: str) -> ArmError:
    """Say that a disabled subscription can only be read."""
    return ArmError(
        409,
        "ReadOnlyDisabledSubscription",
        f"The subscription '{subscription}' is disabled and therefore marked as read only. "
        "You cannot perform any write actions on this subscription until it is re-enabled.",
    )


def resource_group_not_found(name: str) -> ArmError:
    """Say that the resource group has to be made first."""
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def resource_not_found(group: GroupId) -> ArmError:
    """Say that there is no such container group."""
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{CONTAINER_GROUPS}/{group.name}' under resource group '{group.resource_group}' "
        "was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def transitioning(group: GroupId) -> ArmError:
    """Say that another operation on the group has not ended."""
    return ArmError(
        409,
        "ContainerGroupTransitioning",
        f"The container group '{group.name}' is still transitioning, please retry later.",
    )


def invalid_update(group: GroupId) -> ArmError:
    """Say that only a new group can have what was asked for."""
    return bad_request(
        "InvalidContainerGroupUpdate",
        f"The updates on container group '{group.name}' are invalid. If you are going to update the os type, "
        "restart policy, network profile, CPU, memory or GPU resources for a container group, you must "
        "delete it first and then create a new one.",
    )


def invalid_location(group: GroupId, existing: str, requested: str) -> ArmError:
    """Say that a resource cannot move to another region."""
    return ArmError(
        409,
        "InvalidResourceLocation",
        f"The resource '{group.name}' already exists in location '{existing}' in resource group "
        f"'{group.resource_group}'. A resource with the same name cannot be created in location "
        f"'{requested}'. Please select a new resource name.",
    )


def location_not_available(location: str, regions: list[str]) -> ArmError:
    """Say that the service is not in that region."""
    return bad_request(
        "LocationNotAvailableForResourceType",
        f"The provided location '{location}' is not available for resource type '{CONTAINER_GROUPS}'. "
        f"List of available regions for the resource type is '{','.join(regions)}'.",
    )


def quota_reached(quota: str, region: str, limit: int, usage: int, requested: int) -> ArmError:
    """Say that the subscription may not have more of this in the region."""
    return bad_request(
        "ContainerGroupQuotaReached",
        f"Resource type '{CONTAINER_GROUPS}' container group quota '{quota}' exceeded in region "
        f"'{region}'. Limit: '{limit}', Usage: '{usage}' Requested: '{requested}'.",
    )


def no_capacity(region: str, cpu: float, memory_in_gb: float, os_type: str) -> ArmError:
    """Say that the region has no machine free, or none of that size at all."""
    return ArmError(
        409,
        "ServiceUnavailable",
        f"The requested resource is not available in the location '{region}' at this moment. Please retry "
        "with a different resource request or in another location. Resource requested: "
        f"'{cpu:g}' CPU '{memory_in_gb:g}' GB memory '{os_type}' OS",
    )


def suspected_fraud(region: str) -> ArmError:
    """Refuse groups of one name that appear in several regions at once: it looks like abuse."""
    return ArmError(
        409,
        "ServiceUnavailable",
        f"Resource type '{CONTAINER_GROUPS}' container group quota 'ContainerGroups' exceeded in region "
        f"'{region}'. Limit: '0', Usage: '0' Requested: '1'.",
    )


def inaccessible_image(image: str, group: GroupId) -> ArmError:
    """Say that the registry does not show the image to the service."""
    return bad_request(
        "InaccessibleImage",
        f"The image '{image}' in container group '{group.name}' is not accessible. "
        "Please check the image and registry credential.",
    )


def throttled(kind: str, subscription: str, seconds: int) -> ArmError:
    """Say how long to wait after too many requests."""
    return ArmError(
        429,
        "SubscriptionRequestsThrottled",
        f"Number of '{kind}' requests for subscription '{subscription}' exceeded the limit. "
        f"Please try again after '{seconds}' seconds.",
        {"Retry-After": str(seconds)},
    )

"""Whether Azure takes a container group, given what is there already."""

from collections.abc import Iterable
from datetime import datetime

from berth_sandbox.azure import errors
from berth_sandbox.azure.backing import Observation
from berth_sandbox.azure.group import Group, is_terminated, is_transitioning
from berth_sandbox.azure.names import Document, GroupId
from berth_sandbox.azure.regions import Region, Subscription, exceeded, used
from berth_sandbox.azure.rules import gpus, totals
from berth_sandbox.azure.updates import immutable_changes


def check_new(
    asked: GroupId, body: Document, region: Region, owner: Subscription, groups: Iterable[Group]
) -> None:
    """Raise unless there is room for a new group: in the quota, and in the region."""
    mine = [group for group in groups if group.id.subscription.lower() == owner.id.lower()]
    usage = used(group.body for group in mine if group.location == region.name)
    if error := exceeded(region.name, owner.quotas, usage, body):
        raise error
    if any(_is_suspicious(asked, region, group) for group in mine):
        raise errors.suspected_fraud(region.name)
    properties = body["properties"]
    cpu, memory = totals(properties)
    for gpu in gpus(properties) or ["None"]:
        if not region.offers(properties["osType"], gpu, cpu, memory):
            raise errors.no_capacity(region.name, cpu, memory, properties["osType"])


def check_update(group: Group, seen: Observation, body: Document, region: Region, now: datetime) -> None:
    """Raise unless the group can be changed in place."""
    if is_transitioning(group, now):
        raise errors.transitioning(group.id)
    if region.name != group.location:
        raise errors.invalid_location(group.id, group.location, region.name)
    if is_terminated(group, seen) or immutable_changes(group.body, body):
        raise errors.invalid_update(group.id)


def check_dns_label(asked: GroupId, body: Document, region: Region, groups: Iterable[Group]) -> None:
    """Raise if another group of the region has the DNS label."""
    label = _dns_label(body)
    others = (group for group in groups if group.id.key != asked.key and group.location == region.name)
    if label and any(_dns_label(other.body) == label for other in others):
        raise errors.bad_request(
            "DnsNameLabelNotAvailable",
            f"The DNS name label '{label}' in container group '{asked.name}' not available. "
            "Try using a different label.",
        )


def _dns_label(body: Document) -> str | None:
    address: Document = body["properties"].get("ipAddress") or {}
    return address.get("dnsNameLabel")


def _is_suspicious(asked: GroupId, region: Region, other: Group) -> bool:
    same_name = other.id.name.lower() == asked.name.lower()
    return same_name and other.location != region.name and other.operation.ended is None

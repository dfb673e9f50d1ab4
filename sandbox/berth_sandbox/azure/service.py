"""The service of container instances: every container group of every subscription."""

import asyncio
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from berth_sandbox.azure import errors, views
from berth_sandbox.azure.admission import check_dns_label, check_new, check_update
from berth_sandbox.azure.backing import Backing, InaccessibleImageError, Observation
from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.group import (
    Deletion,
    Fate,
    Group,
    Operation,
    is_gone,
    is_transitioning,
    progressed,
    progressed_operation,
    stopped,
)
from berth_sandbox.azure.launch import launch
from berth_sandbox.azure.names import Document, GroupId, region_name
from berth_sandbox.azure.regions import REGIONS, Region, Subscription, usages_document, used
from berth_sandbox.azure.rules import check
from berth_sandbox.azure.shape import check_shape, without_nulls

READ_ONLY = ("provisioningState", "instanceView")


@dataclass(frozen=True)
class Accepted:
    """What a write is answered with; `operation` goes on in `location`, if there is one."""

    status: int
    document: Document | None = None
    operation: str | None = None
    location: str = ""


class ContainerInstances:
    """Keeps container groups; raises `ArmError` for what Azure refuses."""

    def __init__(
        self,
        backing: Backing,
        clock: Clock,
        subscriptions: Iterable[Subscription] = (),
        regions: Iterable[Region] = REGIONS,
    ) -> None:
        self.subscriptions = {subscription.id.lower(): subscription for subscription in subscriptions}
        self.regions = {region.name: region for region in regions}
        self._backing = backing
        self._clock = clock
        self._groups: dict[str, Group] = {}
        self._operations: dict[str, tuple[GroupId, Operation]] = {}
        self._writing = asyncio.Lock()

    def subscription(self, name: str) -> Subscription:
        """Return a subscription that exists."""
        found = self.subscriptions.get(name.lower())
        if found is None:
            raise errors.subscription_not_found(name)
        return found

    def region(self, location: str) -> Region:
        """Return a region that has the service."""
        found = self.regions.get(region_name(location))
        if found is None:
            raise errors.location_not_available(location, list(self.regions))
        return found

    def group_ids(self) -> list[GroupId]:
        """Name every group that exists."""
        return [group.id for group in self._present()]

    async def get(self, asked: GroupId) -> Document:
        """Return a group with its instance view."""
        return self._shown(*await self._existing(asked))

    async def list_groups(self, subscription: str, resource_group: str | None = None) -> list[Document]:
        """Return the groups of a subscription or resource group, without instance views."""
        owner = self.subscription(subscription)
        if resource_group is not None:
            _check_resource_group(owner, resource_group)
        chosen = [
            group.id
            for group in self._groups_of(owner)
            if resource_group is None or group.id.resource_group.lower() == resource_group.lower()
        ]
        looked = [await self._look(group) for group in sorted(chosen, key=str)]
        return [views.summary(*found, owner.tenant) for found in looked if found]

    async def create_or_update(self, asked: GroupId, body: Document, fate: Fate = None) -> Accepted:
        """Start a group, or start it anew with other values; both restart all of its containers."""
        async with self._writing:
            owner = self._check_writable(asked)
            body = without_nulls(body)
            check_shape(body)
            region = self._requested_region(body)
            found = await self._look(asked)
            existing = found[0].id if found else asked
            check(existing.name, body)
            if found:
                check_update(*found, body, region, self._clock.now())
            else:
                check_new(asked, body, region, owner, self._present())
            check_dns_label(asked, body, region, self._present())
            group = await self._started(existing, _stored(body, region), fate)
            shown = self._shown(*await self._existing(asked))
            return Accepted(200 if found else 201, shown, group.operation.id, group.location)

    async def update_tags(self, asked: GroupId, patch: Document) -> Document:
        """Replace the tags and nothing else; no container notices."""
        self._check_writable(asked)
        group, seen = await self._existing(asked)
        if "tags" in patch:
            group = self._keep(replace(group, body={**group.body, "tags": patch["tags"]}))
        return self._shown(group, seen)

    async def delete(self, asked: GroupId, seconds: float | None = None) -> Accepted:
        """Delete a group at once, or in `seconds`; return it as it was."""
        async with self._writing:
            self._check_writable(asked)
            found = await self._look(asked)
            if found is None:
                return Accepted(204)
            group, seen = found
            if isinstance(group.operation.fate, Deletion):
                return Accepted(202, None, group.operation.id, group.location)
            if seconds is None:
                await self._remove(group)
                return Accepted(200, self._shown(group, seen))
            at = self._clock.now() + timedelta(seconds=seconds)
            group = self._keep(replace(group, operation=self._operation(Deletion(at))))
            return Accepted(202, None, group.operation.id, group.location)

    async def stop(self, asked: GroupId) -> Accepted:
        """End the containers; the group stays."""
        async with self._writing:
            group = await self._writable(asked)
            await self._backing.stop(group.id, self._clock.now())
            self._keep(stopped(group, self._operation(None)))
            return Accepted(204)

    async def start(self, asked: GroupId) -> Accepted:
        """Start the containers of a stopped group."""
        async with self._writing:
            group = await self._writable(asked)
            if not group.stopped:
                return Accepted(204)
            group = await self._started(group.id, group.body, None)
            return Accepted(202, None, group.operation.id, group.location)

    async def restart(self, asked: GroupId) -> Accepted:
        """Start all containers anew."""
        async with self._writing:
            group = await self._writable(asked)
            await self._started(group.id, group.body, None)
            return Accepted(204)

    async def operation(self, subscription: str, operation: str) -> Document:
        """Return how an operation fares."""
        self.subscription(subscription)
        if operation not in self._operations:
            raise errors.ArmError(404, "ResourceNotFound", f"The operation '{operation}' was not found.")
        asked, last_known = self._operations[operation]
        found = await self._look(asked)
        if found and found[0].operation.id == operation:
            group, seen = found
            return views.operation(group.id, seen, group.operation)
        ended = progressed_operation(last_known, None, self._clock.now())
        return views.operation(asked, Observation(), ended)

    async def logs(self, asked: GroupId, container: str, *, tail: int | None, timestamps: bool) -> Document:
        """Return what a container wrote since its last start."""
        group, seen = await self._existing(asked)
        view = seen.containers.get(container)
        if view is None or view.first_started is None:
            raise errors.bad_request(
                "ContainerLogNotAvailable", f"The logs of container '{container}' are not available yet."
            )
        lines = await self._backing.logs(group.id, container, self._clock.now())
        return views.logs(lines, view, tail=tail, timestamps=timestamps)

    async def check_container(self, asked: GroupId, container: str) -> None:
        """Raise unless the group has a container of that name."""
        group, _ = await self._existing(asked)
        if container not in {entry["name"] for entry in group.body["properties"]["containers"]}:
            raise errors.ArmError(404, "ResourceNotFound", f"There is no container '{container}'.")

    async def vanish(self, asked: GroupId) -> None:
        """Delete a group without a request to do so."""
        async with self._writing:
            group, _ = await self._existing(asked)
            await self._remove(group)

    def usages(self, subscription: str, location: str) -> Document:
        """Return what the subscription uses of its quotas in a region."""
        owner, region = self.subscription(subscription), self.region(location)
        usage = used(group.body for group in self._groups_of(owner) if group.location == region.name)
        return usages_document(owner.id, region.name, owner.quotas, usage)

    def _requested_region(self, body: Document) -> Region:
        if not body.get("location"):
            raise errors.bad_request(
                "LocationRequired", "The location property is required for this definition."
            )
        return self.region(body["location"])

    def _check_writable(self, asked: GroupId) -> Subscription:
        owner = self.subscription(asked.subscription)
        if not owner.enabled:
            raise errors.subscription_disabled(owner.id)
        _check_resource_group(owner, asked.resource_group)
        return owner

    async def _writable(self, asked: GroupId) -> Group:
        self._check_writable(asked)
        group, _ = await self._existing(asked)
        if is_transitioning(group, self._clock.now()):
            raise errors.transitioning(group.id)
        return group

    async def _existing(self, asked: GroupId) -> tuple[Group, Observation]:
        _check_resource_group(self.subscription(asked.subscription), asked.resource_group)
        found = await self._look(asked)
        if found is None:
            raise errors.resource_not_found(asked)
        return found

    async def _look(self, asked: GroupId) -> tuple[Group, Observation] | None:
        """Return a group as it is by now, with what is seen of it, unless it is gone."""
        group = self._groups.get(asked.key)
        if group is None:
            return None
        now = self._clock.now()
        if is_gone(group, now):
            await self._remove(group)
            return None
        seen = await self._backing.observe(group.id, now)
        # While it was looked at, another request may have put a newer group in its place.
        if self._groups.get(asked.key) is not group:
            return await self._look(asked)
        return self._keep(progressed(group, seen, now)), seen

    async def _started(self, asked: GroupId, body: Document, fate: Fate) -> Group:
        """Start what `body` describes; containers whose operation has a fate of its own never run."""
        if fate is None:
            try:
                await self._backing.start(launch(asked, body), self._clock.now())
            except InaccessibleImageError as error:
                raise errors.inaccessible_image(error.image, asked) from error
        else:
            await self._backing.remove(asked)
        return self._keep(Group(asked, body["location"], body, self._operation(fate)))

    async def _remove(self, group: Group) -> None:
        self._groups.pop(group.id.key, None)
        await self._backing.remove(group.id)

    def _keep(self, group: Group) -> Group:
        self._groups[group.id.key] = group
        self._operations[group.operation.id] = group.id, group.operation
        return group

    def _operation(self, fate: Fate) -> Operation:
        return Operation(str(uuid.uuid4()), self._clock.now(), fate)

    def _present(self) -> list[Group]:
        now = self._clock.now()
        return [group for group in self._groups.values() if not is_gone(group, now)]

    def _groups_of(self, owner: Subscription) -> list[Group]:
        return [group for group in self._present() if group.id.subscription.lower() == owner.id.lower()]

    def _shown(self, group: Group, seen: Observation) -> Document:
        return views.resource(group, seen, self.subscription(group.id.subscription).tenant)


def _check_resource_group(owner: Subscription, resource_group: str) -> None:
    if not owner.has(resource_group):
        raise errors.resource_group_not_found(resource_group)


def _stored(body: Document, region: Region) -> Document:
    properties = {name: value for name, value in body["properties"].items() if name not in READ_ONLY}
    return {**body, "location": region.name, "properties": properties}

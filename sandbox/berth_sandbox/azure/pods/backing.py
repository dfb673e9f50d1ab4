"""Container groups that really run: one Pod each."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from berth_sandbox.azure.backing import Launch, LogLine, Observation
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.pods.api import Api, Refusal
from berth_sandbox.azure.pods.objects import Objects
from berth_sandbox.azure.pods.starts import Starts
from berth_sandbox.azure.pods.view import log_lines


@dataclass(frozen=True)
class Started:
    """The present start of a group; `restarts` counts earlier ones, `stopped` is what was last seen."""

    objects: Objects
    restarts: int = 0
    stopped: Observation | None = None


class Pods:
    """A `Backing` by the Pods of one namespace, which is its own; the service's time must be the wall's."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._starts = Starts(api)
        self._groups: dict[str, Started] = {}

    async def clear(self) -> None:
        """Remove what an emulator before this one left: nobody knows those groups any more."""
        await self._starts.clear()

    async def start(self, launch: Launch, now: datetime) -> None:  # noqa: ARG002 - it starts now
        """Start the group's Pod in place of the one that runs."""
        earlier = self._groups.get(launch.group.key)
        await self.remove(launch.group)
        started = Started(Objects(launch, secrets.token_hex(4)), earlier.restarts + 1 if earlier else 0)
        self._groups[launch.group.key] = started
        try:
            await self._starts.begin(started.objects.pod(), started.objects.secrets())
        except Refusal:
            await self.remove(launch.group)
            raise

    async def stop(self, group: GroupId, now: datetime) -> None:
        """End the group's Pod."""
        started = self._groups.get(group.key)
        if started is None or started.stopped:
            return
        seen = await self.observe(group, now)
        views = {name: view.killed(now) for name, view in seen.containers.items()}
        self._groups[group.key] = replace(started, stopped=Observation(views))
        await self._starts.end(started.objects.start)

    async def remove(self, group: GroupId) -> None:
        """Delete the group's Pod and Secrets."""
        if started := self._groups.pop(group.key, None):
            await self._starts.end(started.objects.start)

    async def observe(self, group: GroupId, now: datetime) -> Observation:  # noqa: ARG002 - a Pod is seen now
        """Look at the group's Pod; of one that is gone nothing is seen."""
        started = self._groups.get(group.key)
        if started is None:
            return Observation()
        if started.stopped:
            return started.stopped
        return await self._starts.seen(started.objects.name, started.restarts) or Observation()

    async def logs(self, group: GroupId, container: str, now: datetime) -> Sequence[LogLine]:  # noqa: ARG002
        """Return what a container wrote since its last start; a stopped group has no log."""
        started = self._groups.get(group.key)
        if started is None or started.stopped:
            return []
        return log_lines(await self._api.log(started.objects.name, container))

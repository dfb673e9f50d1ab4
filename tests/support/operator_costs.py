"""What a running operator costs: requests, CPU and memory."""

import asyncio
import os
from pathlib import Path
from typing import Any

from operator_process import Process

from berth.kube.connection import USER_AGENT
from berth.plan.resources import LEASES
from berth_sandbox.cluster.control_plane import ControlPlane

TICKS = os.sysconf("SC_CLK_TCK")


class Audit:
    """What the operator has asked of the API server since the last look, apart from its lease."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._seen = len(plane.audit_events(USER_AGENT))

    async def news(self) -> list[dict[str, Any]]:
        await asyncio.sleep(1)
        events = self._plane.audit_events(USER_AGENT)
        fresh, self._seen = events[self._seen :], len(events)
        return [
            event
            for event in fresh
            if event["verb"] != "watch"
            and event.get("objectRef", {}).get("resource") not in (None, LEASES.plural)
        ]

    async def until_quiet(self) -> list[dict[str, Any]]:
        """Wait for what is done beside the passes, such as Events."""
        events: list[dict[str, Any]] = []
        while fresh := await self.news():
            events += fresh
        return events


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mebibytes(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

"""When a Pod is replaced whose device has died: the kubelet starts its container there again, for ever."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from berth.api.conditions import Reason
from berth.api.names import child_name
from berth.core.keys import Key
from berth.plan.causes import SCORING_CONTAINER, first_cause
from berth.plan.devices import Room, Uncounted
from berth.plan.fpga_placement import FpgaSubject
from berth.plan.observed import controller_of
from berth.plan.report import Event
from berth.plan.resources import PODS
from berth.plan.steps import Remove

_RESTARTS = 3
"""The kubelet waits before the third, 20 s after the end: what only blinks has come back by then."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replacement:
    """A Pod to delete, for another one to get another device."""

    pod: Json
    device: str
    cause: str

    @property
    def step(self) -> Remove:
        """The deletion, with the Pod's own grace period: nobody gets its device before it has ended."""
        metadata = self.pod["metadata"]
        return Remove(PODS, Key(metadata["namespace"], metadata["name"]), metadata["uid"])

    @property
    def told(self) -> str:
        """What the status says."""
        name, node = self.pod["metadata"]["name"], self.pod["spec"]["nodeName"]
        return (
            f"Pod {name} on node {node} is replaced, since another device {self.device} is free: {self.cause}"
        )

    @property
    def event(self) -> Event:
        """What is told once."""
        return Event("PodReplaced", self.told, is_warning=True)


def replacement(subject: FpgaSubject, pods: Sequence[Json], room: Room | Uncounted) -> Replacement | None:
    """Return the Pod whose container ends because of its device, while another device is free for it.

    None while one of its Pods ends: what that gives back has not been counted yet.
    """
    if isinstance(room, Uncounted) or any("deletionTimestamp" in each["metadata"] for each in pods):
        return None
    device = subject.device
    own_waiting = sum(not each["spec"].get("nodeName") for each in pods) * device.count
    others_waiting = max(0, room.pending - own_waiting)
    for pod in pods:
        cause = first_cause([pod])
        if cause is None or cause.reason is not Reason.DEVICE_UNAVAILABLE:
            continue
        free = room.replicas_without(pod["spec"].get("nodeName", ""), device.count) * device.count
        if _is_ours(subject, pod) and _fails_for_long(pod) and free >= device.count + others_waiting:
            return Replacement(pod, device.name, cause.message)
    return None


def _is_ours(subject: FpgaSubject, pod: Json) -> bool:
    """Tell whether a ReplicaSet of its Deployment made the Pod, and will make another one."""
    metadata = pod["metadata"]
    controller = controller_of(metadata) or {}
    template = metadata.get("labels", {}).get("pod-template-hash", "")
    name = f"{child_name(subject.metadata.name)}-{template}"
    return (controller.get("apiVersion"), controller.get("kind"), controller.get("name")) == (
        "apps/v1",
        "ReplicaSet",
        name,
    )


def _fails_for_long(pod: Json) -> bool:
    """Tell whether the container was started in vain, and is not just trying a device that came back."""
    return any(
        each["name"] == SCORING_CONTAINER
        and each.get("restartCount", 0) >= _RESTARTS
        and "running" not in each.get("state", {})
        for each in pod["status"].get("containerStatuses", ())
    )

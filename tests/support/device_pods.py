"""Nodes with devices, and Pods that ask for them, as the API server returns them."""

from typing import Any

from berth.plan.devices import Claimant, Node, read_claimant, read_offering

RESOURCE = "fpga.example.com/arria10"

Object = dict[str, Any]


def node(
    name: str = "a", devices: int | None = 2, *, ready: bool = True, broken: int = 0, **more: Any
) -> Object:
    """Give a node that offers devices; `more` are labels, taints and whether it is unschedulable."""
    offers = {} if devices is None else {RESOURCE: str(devices)}
    there = {} if devices is None else {RESOURCE: str(devices + broken)}
    return {
        "metadata": {"name": name, "labels": more.pop("labels", {})},
        "spec": more,
        "status": {
            "allocatable": {"cpu": "2", "memory": "4Gi"} | offers,
            "capacity": {"cpu": "4", "memory": "8Gi"} | there,
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def container(devices: int, **more: Any) -> Object:
    """Give a container that asks for devices."""
    resources = {"limits": {RESOURCE: str(devices), "cpu": "1"}} if devices else {}
    return {"name": "scoring", "resources": resources, **more}


def pod(name: str, devices: int = 1, *, on: str = "", phase: str = "Running", **more: Any) -> Object:
    """Give a Pod that asks for devices on a node; `deployment` names whose it is, `ending` ends it."""
    deployment = more.pop("deployment", "")
    ending = {"deletionTimestamp": "2026-11-01T12:00:00Z"} if more.pop("ending", False) else {}
    labels = {"app.kubernetes.io/managed-by": "berth", "berth.dev/deployment": deployment}
    return {
        "metadata": {
            "namespace": "demo",
            "name": name,
            "uid": f"uid-{name}",
            "labels": labels if deployment else {},
            **ending,
        },
        "spec": {"containers": [container(devices)], **({"nodeName": on} if on else {})},
        "status": {"phase": phase, **more},
    }


def nodes(*raw: Object) -> list[Node]:
    """Read nodes."""
    return [each for each in map(read_offering, raw) if each is not None]


def claimants(*raw: Object) -> list[Claimant]:
    """Read Pods."""
    return [each for each in map(read_claimant, raw) if each is not None]

"""DeviceClasses, ResourceSlices and ResourceClaims, as the API server returns them."""

from collections.abc import Sequence
from typing import Any

DRIVER = "fpga.example.com"
CLASS = "arria10"
OF_DRIVER = f'device.driver == "{DRIVER}"'

Object = dict[str, Any]


def device_class(*expressions: str, name: str = CLASS) -> Object:
    """Give a class that chooses by CEL expressions."""
    selectors = [{"cel": {"expression": each}} for each in expressions]
    return {"metadata": {"name": name}, "spec": {"selectors": selectors} if selectors else {}}


def resource_slice(
    name: str = "s",
    devices: Sequence[Object | str] = ("acl0", "acl1"),
    *,
    on: str | None = "a",
    pool: str = "a",
    driver: str = DRIVER,
    generation: int = 1,
    slices: int = 1,
    **more: Any,
) -> Object:
    """Give a slice of the devices that a driver has on a node."""
    spec = {
        "driver": driver,
        "pool": {"name": pool, "generation": generation, "resourceSliceCount": slices},
        "devices": [{"name": each} if isinstance(each, str) else each for each in devices],
        **({"nodeName": on} if on else {}),
        **more,
    }
    return {"metadata": {"name": name}, "spec": spec}


def claim(
    name: str,
    *devices: str,
    pool: str = "a",
    asks: int = 1,
    deployment: str = "",
    class_name: str = CLASS,
    **more: Any,
) -> Object:
    """Give the claim of a Pod of this name, with the devices that it was given, or none yet."""
    labels = {"app.kubernetes.io/managed-by": "berth", "berth.dev/deployment": deployment}
    given = [
        {"request": "device", "driver": DRIVER, "pool": pool, "device": each, **more} for each in devices
    ]
    user = {"resource": "pods", "name": name, "uid": f"uid-{name}"}
    exactly = {"deviceClassName": class_name, "allocationMode": "ExactCount", "count": asks, **more}
    allocated = {"allocation": {"devices": {"results": given}}, "reservedFor": [user]}
    return {
        "metadata": {
            "namespace": "demo",
            "name": f"{name}-device-x2x",
            "uid": f"uid-claim-{name}",
            "labels": labels if deployment else {},
            "ownerReferences": [{"kind": "Pod", "name": name, "uid": f"uid-{name}"}],
        },
        "spec": {"devices": {"requests": [{"name": "device", "exactly": exactly}]}},
        "status": allocated if devices else {},
    }

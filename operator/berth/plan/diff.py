"""Tell whether an object in the cluster already holds all that Berth wants of it.

A server-side apply that changes nothing is the most expensive call there is. So what is wanted is compared
with what the watch has seen, as the API server would merge them: lists of named things by their key, other
lists and selectors as a whole, and nothing that Berth does not set.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port", "protocol"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
ATOMIC = frozenset({"labelSelector", "nodeSelector", "selector"})
QUANTITY_MAPS = frozenset({"limits", "requests"})
QUANTITIES = frozenset({"sizeLimit", "averageValue", "storage"})

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def covers(observed: Any, desired: Any, field: str = "") -> bool:  # noqa: ANN401 - any JSON value
    """Tell whether `observed` holds every value of `desired`, JSON values that are named `field`."""
    if observed == desired:  # the short way for whole parts to which the API server added nothing
        return True
    if observed is None:  # the API server leaves out zeros, too; an absent false may mean true
        return not desired and desired is not False
    if field in ATOMIC:
        return False
    if isinstance(desired, dict):
        return isinstance(observed, dict) and all(
            covers(observed.get(name), value, field if field in QUANTITY_MAPS else name)
            for name, value in desired.items()
        )
    if isinstance(desired, list):
        return isinstance(observed, list) and _covers_list(observed, desired, field)
    is_quantity = field in QUANTITY_MAPS or field in QUANTITIES
    return is_quantity and quantity(observed) == quantity(desired)


def differences(observed: Any, desired: Any, field: str = "", path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Give the innermost parts that `observed` does not cover: where they are, and what is there instead."""
    if covers(observed, desired, field):
        return
    parts = list(_parts(observed, desired, field))
    if not parts:
        yield path.removeprefix("."), observed
    for name, seen, wanted, inner in parts:
        yield from differences(seen, wanted, inner, path + name)


def quantity(value: object) -> Decimal | None:
    """Return a Kubernetes quantity such as `500m` or `1Gi` as a number, or None where it is none."""
    text = str(value)
    number = text.rstrip("numkKMGTPEi")
    factor = _SUFFIXES.get(text[len(number) :])
    try:
        return None if factor is None else Decimal(number) * factor
    except InvalidOperation:
        return None


def _covers_list(observed: Sequence[Any], desired: Sequence[Any], field: str) -> bool:
    keys = MERGE_KEYS.get(field)
    if keys is None or not all(isinstance(item, dict) for item in desired):
        return len(observed) == len(desired) and all(
            covers(seen, wanted) for seen, wanted in zip(observed, desired, strict=True)
        )
    by_key = {_identity(item, keys): item for item in observed}
    return all(covers(by_key.get(_identity(item, keys)), item) for item in desired)


def _parts(observed: Any, desired: Any, field: str) -> Iterator[tuple[str, Any, Any, str]]:  # noqa: ANN401
    """Give the name, both values and the field name of each part that is merged on its own."""
    if isinstance(desired, dict) and isinstance(observed, dict) and field not in ATOMIC:
        for name, value in desired.items():
            yield f".{name}", observed.get(name), value, field if field in QUANTITY_MAPS else name
    keys = MERGE_KEYS.get(field)
    if keys is not None and isinstance(desired, list) and isinstance(observed, list):
        by_key = {_identity(item, keys): item for item in observed}
        for item in desired:
            identity = _identity(item, keys)
            name = next(str(part) for part in identity if part is not None)
            yield f"[{name}]", by_key.get(identity), item, ""


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in keys)

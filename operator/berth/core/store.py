"""The last known state of each object of one kind, kept right against late and missing news."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


class Versioned(Protocol):
    """What the store must know of a value; a resourceVersion is a number that grows with each write."""

    @property
    def uid(self) -> str:
        """The identity that no later object of the same name shares."""

    @property
    def resource_version(self) -> int:
        """The version that the API server gave to this state."""


V = TypeVar("V", bound=Versioned)

_REMEMBERED_DELETIONS = 4096


class Store(Generic[K, V]):
    """Maps keys to values; news that is older than what is known changes nothing."""

    def __init__(self) -> None:
        self._values: dict[K, V] = {}
        self._left: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def get(self, key: K) -> V | None:
        """Return the value of `key`, if it is known to exist."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> bool:
        """Learn of a state of `key`; False if a newer one, or the object's later end, is known already."""
        known = self._values.get(key)
        newest = max(self._left.get(value.uid, 0), known.resource_version if known else 0)
        if value.resource_version < newest:
            return False
        self._values[key] = value
        return True

    def delete(self, key: K, uid: str, resource_version: int) -> V | None:
        """Learn that the object with this uid left at this version; later ones of the name or uid stay.

        A watch by labels tells the same of an object that lost a label, and it may come back.
        """
        # Kept, because the answer to our own write can arrive after the news of the deletion.
        self._left[uid] = max(resource_version, self._left.get(uid, 0))
        if len(self._left) > _REMEMBERED_DELETIONS:
            self._left.popitem(last=False)
        known = self._values.get(key)
        if known is None or known.uid != uid or known.resource_version > resource_version:
            return None
        return self._values.pop(key)

    def replace(
        self, present: Mapping[K, str], resource_version: int, within: Callable[[K], bool] = lambda _: True
    ) -> dict[K, V]:
        """Drop what a list of all uids `within` a scope, taken at this version, lacks, and return it.

        Objects that are newer than the list stay.
        """
        vanished = {
            key: value
            for key, value in self._values.items()
            if present.get(key) != value.uid and value.resource_version <= resource_version and within(key)
        }
        for key, value in vanished.items():
            self.delete(key, value.uid, resource_version)
        return vanished

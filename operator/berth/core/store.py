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
    """Maps keys to values; news that is older than what is known changes nothing.

    `owner` tells the uid of a value's owner, or None, for `owned_by`.
    """

    def __init__(self, owner: Callable[[V], str | None] = lambda _: None) -> None:
        self._owner = owner
        self._values: dict[K, V] = {}
        self._owned: dict[str, dict[K, V]] = {}
        self._deleted: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def get(self, key: K) -> V | None:
        """Return the value of `key`, if it is known to exist."""
        return self._values.get(key)

    def owned_by(self, uid: str) -> Mapping[K, V]:
        """Return the values whose owner has this uid."""
        return self._owned.get(uid, {})

    def put(self, key: K, value: V) -> bool:
        """Learn of a state of `key`; False if a newer one, or the object's deletion, is known already."""
        known = self._values.get(key)
        if value.uid in self._deleted or (known and known.resource_version > value.resource_version):
            return False
        if known is not None:
            self._disown(key, known)
        self._values[key] = value
        owner = self._owner(value)
        if owner is not None:
            self._owned.setdefault(owner, {})[key] = value
        return True

    def delete(self, key: K, uid: str) -> V | None:
        """Learn that the object with this uid is gone; a later object of the same name stays."""
        # Kept, because the answer to our own write can arrive after the news of the deletion.
        self._deleted[uid] = None
        if len(self._deleted) > _REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        known = self._values.get(key)
        if known is None or known.uid != uid:
            return None
        del self._values[key]
        self._disown(key, known)
        return known

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
            self.delete(key, value.uid)
        return vanished

    def _disown(self, key: K, value: V) -> None:
        owner = self._owner(value)
        if owner is None:
            return
        owned = self._owned[owner]
        del owned[key]
        if not owned:
            del self._owned[owner]

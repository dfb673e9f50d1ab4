"""How an object is named within its kind."""

from typing import NamedTuple


class Key(NamedTuple):
    """The namespace and name of one object; the namespace of a cluster-scoped one is empty."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

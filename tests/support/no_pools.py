"""A world without node pools."""

from typing import Any

from berth.core.keys import Key


class NoPools:
    """Looks at node pools in a world that has none."""

    def look(self, place: Any) -> Any:
        raise AssertionError("There is no pool here")

    def forget(self, key: Key) -> None:
        pass

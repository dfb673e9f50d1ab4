"""How Azure names its resources; it compares names without regard to case."""

import re
from dataclasses import dataclass
from typing import Any

PROVIDER = "Microsoft.ContainerInstance"
CONTAINER_GROUPS = f"{PROVIDER}/containerGroups"
API_VERSION = "2023-05-01"
OPERATIONS_API_VERSION = "2018-06-01"

GROUP_ID = re.compile(
    f"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/{CONTAINER_GROUPS}/([^/]+)", re.IGNORECASE
)

Document = dict[str, Any]


@dataclass(frozen=True)
class GroupId:
    """The resource id of a container group."""

    subscription: str
    resource_group: str
    name: str

    def __str__(self) -> str:
        scope = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{scope}/providers/{CONTAINER_GROUPS}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "GroupId":
        """Read a resource id."""
        match = GROUP_ID.fullmatch(text)
        if match is None:
            raise ValueError(f"{text} is not the id of a container group.")
        return cls(*match.groups())

    @property
    def key(self) -> str:
        """Return what is the same for every way to write this id."""
        return str(self).lower()


def region_name(location: str) -> str:
    """Return the name of a region that may be given as people write it: `West US` is `westus`."""
    return location.replace(" ", "").lower()

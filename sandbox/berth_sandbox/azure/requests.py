"""What was asked, and what was answered."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from berth_sandbox.azure.names import Document

MOST_EXCHANGES = 10_000
CONFIDENTIAL = {"authorization", "client_secret", "client_assertion"}


@dataclass(frozen=True)
class Exchange:
    """A request and its answer; without an answer `status` is None. `time` is the service's."""

    time: datetime
    operation: str
    method: str
    url: str
    connection: str
    principal: str | None = None
    status: int | None = None
    request_headers: dict[str, str] = field(default_factory=dict)
    request_body: Any = None
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: Any = None

    def document(self) -> Document:
        """Return the exchange as JSON."""
        return asdict(self) | {"time": self.time.isoformat()}


class RequestLog:
    """Remembers the latest exchanges; tokens and secrets of sign-in are left out."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=MOST_EXCHANGES)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._exchanges))

    def __len__(self) -> int:
        return len(self._exchanges)

    def add(self, exchange: Exchange) -> None:
        """Remember an exchange."""
        self._exchanges.append(exchange)

    def clear(self) -> None:
        """Forget all."""
        self._exchanges.clear()

    def of(self, *operations: str) -> list[Exchange]:
        """Return the exchanges of some operations, such as `ContainerGroups_CreateOrUpdate`."""
        return [exchange for exchange in self._exchanges if exchange.operation in operations]

    def connections(self) -> set[str]:
        """Name the connections over which requests came."""
        return {exchange.connection for exchange in self._exchanges}


def public(values: Document) -> Document:
    """Return headers or a form without what must not be remembered."""
    return {name: value for name, value in values.items() if name.lower() not in CONFIDENTIAL}

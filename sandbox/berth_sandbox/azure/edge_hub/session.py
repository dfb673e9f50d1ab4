"""What the hub knows of one module, connected or not."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from berth_sandbox.azure.edge_hub.packets import publish


@dataclass(frozen=True)
class Stored:
    """An input that waits for its module, until it is too old."""

    topic: str
    payload: bytes
    expires: float


@dataclass
class Session:
    """Subscriptions and stored inputs of a module; of all inputs one at a time is without acknowledgement."""

    ack_seconds: float
    clock: Callable[[], float] = time.monotonic
    filters: set[str] = field(default_factory=set)
    stored: deque[Stored] = field(default_factory=deque)
    expired: int = 0
    repeated: int = 0
    writer: asyncio.StreamWriter | None = None
    _unacknowledged: int | None = None
    _last_id: int = 0
    _again: asyncio.TimerHandle | None = None

    def attach(self, writer: asyncio.StreamWriter) -> None:
        """Take a new connection in place of the one of before."""
        if self.writer is not None:
            self.writer.transport.abort()
        self.writer = writer

    def detach(self, writer: asyncio.StreamWriter) -> None:
        """Note that a connection is gone."""
        if self.writer is writer:
            self.writer = None
            self._stop_clock()

    def keep(self, message: Stored) -> None:
        """Store an input, and send it if none is under way."""
        self.stored.append(message)
        if self._unacknowledged is None:
            self.send()

    def acknowledge(self, packet_id: int) -> None:
        """Forget the input that the module has acknowledged, and send the next one."""
        if packet_id != self._unacknowledged:
            return
        self.stored.popleft()
        self._unacknowledged = None
        self._stop_clock()
        self.send()

    def send(self) -> None:
        """Send the first input that is still good, or send it once more."""
        self._stop_clock()
        while self.stored and self.stored[0].expires <= self.clock():
            self.stored.popleft()
            self._unacknowledged = None
            self.expired += 1
        if not self.stored or not self._hears(self.stored[0].topic):
            return
        again = self._unacknowledged is not None
        self.repeated += again
        packet_id = self._unacknowledged or self._free_id()
        self._unacknowledged = packet_id
        self._write(publish(self.stored[0].topic, self.stored[0].payload, packet_id, duplicate=again))
        self._again = asyncio.get_running_loop().call_later(self.ack_seconds, self.send)

    def tell(self, topic: str, payload: bytes) -> bool:
        """Send what is not kept, such as an answer about the twin; tells whether anyone hears it."""
        if not self._hears(topic):
            return False
        self._write(publish(topic, payload, self._free_id()))
        return True

    def _hears(self, topic: str) -> bool:
        return self.writer is not None and any(topic.startswith(each.rstrip("#")) for each in self.filters)

    def _write(self, data: bytes) -> None:
        if self.writer is not None:
            self.writer.write(data)

    def _free_id(self) -> int:
        self._last_id = self._last_id % 0xFFFF + 1
        return self._last_id if self._last_id != self._unacknowledged else self._free_id()

    def _stop_clock(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

"""Faults on demand: what goes wrong with which request, and how often."""

import itertools
import re
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

from berth_sandbox.azure.names import Document

T = TypeVar("T")


class TransportEffect:
    """What goes wrong between the caller and the service."""


@dataclass(frozen=True)
class Refuse(TransportEffect):
    """Answer with an error, before anything is done; without `code` it is a gateway's page."""

    status: int
    code: str = ""
    message: str = "Refused on demand."
    retry_after: int | None = None


@dataclass(frozen=True)
class CutConnection(TransportEffect):
    """Close the connection, before anything is done."""


@dataclass(frozen=True)
class LoseAnswer(TransportEffect):
    """Do what is asked, and close the connection without an answer."""


@dataclass(frozen=True)
class Delay(TransportEffect):
    """Let the caller wait for `seconds` on the wall."""

    seconds: float


@dataclass(frozen=True)
class StickPending:
    """Let the group that is put stay pending until it times out."""


@dataclass(frozen=True)
class FailOperation:
    """Let the operation that a PUT starts fail, `after` seconds of the service's time."""

    code: str
    message: str
    after: float = 5.0


@dataclass(frozen=True)
class SlowDelete:
    """Let a deletion take `seconds` of the service's time."""

    seconds: float


Effect = Refuse | CutConnection | LoseAnswer | Delay | StickPending | FailOperation | SlowDelete
EFFECTS: dict[str, type[Effect]] = {
    effect.__name__: effect
    for effect in (Refuse, CutConnection, LoseAnswer, Delay, StickPending, FailOperation, SlowDelete)
}


@dataclass(frozen=True)
class Fault:
    """An effect on the next `times` requests, or all, whose method and path fit; `path` is a pattern."""

    effect: Effect
    method: str = ".*"
    path: str = ".*"
    times: int | None = 1

    def fits(self, method: str, path: str) -> bool:
        """Tell whether a request is meant."""
        return bool(
            re.fullmatch(self.method, method, re.IGNORECASE) and re.search(self.path, path, re.IGNORECASE)
        )

    def document(self) -> Document:
        """Return the fault as JSON."""
        return asdict(self) | {"effect": type(self.effect).__name__, "with": asdict(self.effect)}


def fault(document: Document) -> Fault:
    """Read a fault: `{"effect": "Refuse", "with": {"status": 503}, "method": "PUT", "times": 3}`."""
    rest = {name: value for name, value in document.items() if name not in {"effect", "with"}}
    return Fault(EFFECTS[document["effect"]](**document.get("with", {})), **rest)


@dataclass
class Faults:
    """The faults that are still to happen, first come first."""

    _pending: dict[int, Fault] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def add(self, effect: Effect, method: str = ".*", path: str = ".*", times: int | None = 1) -> int:
        """Let something go wrong, and return the number by which it can be removed."""
        return self.plan(Fault(effect, method, path, times))

    def plan(self, planned: Fault) -> int:
        """Let a fault happen, and return its number."""
        number = next(self._numbers)
        self._pending[number] = planned
        return number

    def remove(self, number: int) -> None:
        """Let a fault happen no more."""
        self._pending.pop(number, None)

    def clear(self) -> None:
        """Let no fault happen any more."""
        self._pending.clear()

    def pending(self) -> dict[int, Fault]:
        """Return what is still to happen, by number."""
        return dict(self._pending)

    def take(self, kind: type[T], method: str, path: str) -> T | None:
        """Return the effect of this kind on a request, if one is due, and count it."""
        for number, planned in self._pending.items():
            if isinstance(planned.effect, kind) and planned.fits(method, path):
                self._count(number, planned)
                return planned.effect
        return None

    def _count(self, number: int, planned: Fault) -> None:
        if planned.times is None:
            return
        if planned.times > 1:
            self._pending[number] = replace(planned, times=planned.times - 1)
        else:
            del self._pending[number]

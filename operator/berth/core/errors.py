"""Why a pass could not finish. Adapters raise these; `workers` decides what happens next."""

from berth.api.conditions import Reason


class ReconcileError(Exception):
    """The base of every failure that the workers know how to treat."""


class Transient(ReconcileError):
    """A failure that goes away by itself; `retry_after` is the server's wish in seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class Immutable(Transient):
    """What is there cannot become what is wanted: only something new can."""


class Terminal(ReconcileError):
    """A failure that only a change of the spec or of the surroundings can mend.

    `retry_after` is when to look whether surroundings that no watch tells of have changed.
    """

    def __init__(self, reason: Reason, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class Postponed(ReconcileError):
    """Nothing is wrong, but it is the turn of others: look again after `retry_after` seconds, tell no one."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class Conflict(ReconcileError):
    """Someone else wrote first: look again, tell no one unless it lasts."""


class Gone(ReconcileError):
    """The object does not exist (any more)."""


def describe(error: BaseException) -> str:
    """Name an error, or all that a group holds, in one line."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(describe, error.exceptions))
    return f"{type(error).__name__}: {error}"

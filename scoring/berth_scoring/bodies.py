"""How much of requests may be in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from berth_scoring.messages import Refusal

DEFAULT_BODY_LIMIT = 100 * 1024 * 1024
CLOSE = (b"connection", b"close")
TOO_MANY_BYTES = "The server is busy: the requests that it holds are too large together. Try again"


class Bodies:
    """Counts the bytes of all bodies that come in pieces, until their requests are answered."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that counts a piece of one body, or refuses the request."""
        held = 0

        def add(size: int) -> None:
            nonlocal held
            if size > self._left:
                raise Refusal(503, TOO_MANY_BYTES, [(b"retry-after", b"1"), CLOSE])
            held += size
            self._left -= size

        try:
            yield add
        finally:
            self._left += held


def check_length(size: int, limit: int) -> None:
    """Refuse a body that is too long; its rest is not worth reading, which ends the connection."""
    if size > limit:
        raise Refusal(413, f"The body is larger than {limit} bytes", [CLOSE])

"""What the sandbox says when it cannot go on."""

from collections.abc import Iterator
from contextlib import contextmanager


class SandboxError(Exception):
    """One clear sentence that names the cause and the remedy; what a program said may follow."""


@contextmanager
def explained(sentence: str) -> Iterator[None]:
    """Say what the failure of the block means, and what to do, before what the failed program said."""
    try:
        yield
    except SandboxError as error:
        raise SandboxError(f"{sentence}\n{error}") from None

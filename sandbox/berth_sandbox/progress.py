"""A line for each step, with the time that it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print what is being done and, on the same line, how long it took once it is done."""
    started = time.monotonic()
    outcome = "failed after "
    print(f"  {what} ... ", end="", flush=True)
    try:
        yield
        outcome = ""
    finally:
        print(f"{outcome}{time.monotonic() - started:.1f} s", flush=True)

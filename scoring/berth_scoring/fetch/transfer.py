"""Repeat a download while that can help, and keep what has arrived of it."""

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from berth_scoring.fetch.errors import FetchError

R = TypeVar("R")

WORTH_REPEATING = {408, 425, 429, 500, 502, 503, 504}
REFUSALS = {
    401: "the server asks for credentials (401): check credentialsSecretRef",
    403: "the server refuses access (403): check the credentials or the signature of the URI",
    404: "not found (404)",
    410: "no longer there (410)",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download is tried; times in seconds."""

    deadline: float = 3600.0
    connect: float = 10.0
    stall: float = 60.0
    """The longest wait for the next bytes."""
    first_pause: float = 0.5
    longest_pause: float = 30.0
    attempts: int = 6
    """Attempts in a row without any progress."""


class InterruptedDownloadError(Exception):
    """An attempt failed in a way that the next one may not."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause
        """What the server asks for, in seconds."""


class Part:
    """What has arrived so far of one file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.start_over()

    def start_over(self) -> None:
        """Forget it: the file is another one, or cannot be resumed."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0
        self.validator: str | None = None
        """What proves that the rest is of the same file."""

    def add(self, chunk: bytes) -> None:
        """Append what came."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def sha256(self) -> str:
        """Return the digest in hex."""
        return self._hash.hexdigest()


class Transfer:
    """One artifact on its way, however many files and attempts it takes, until one deadline."""

    def __init__(self, patience: Patience, shown: str) -> None:
        self._patience = patience
        self._shown = shown
        """The URI as messages may tell it."""
        self._end = time.monotonic() + patience.deadline

    def file(self, target: Path, attempt: Callable[[Part], None]) -> str:
        """Fill the file `target` by attempts that each go on where the last one broke; returns its sha256."""
        with target.open("wb") as file:
            part = Part(file)
            self.repeat(lambda: attempt(part), lambda: part.size)
            return part.sha256()

    def repeat(self, attempt: Callable[[], R], progress: Callable[[], int] = lambda: 0) -> R:
        """Return what an attempt returns that is not interrupted."""
        failures = 0
        while True:
            before = progress()
            try:
                return attempt()
            except InterruptedDownloadError as error:
                failures = 1 if progress() > before else failures + 1
                self._pause(error, failures)

    def check(self, arrived: int) -> None:
        """Raise FetchError at the deadline."""
        if time.monotonic() >= self._end:
            raise FetchError(f"{self._shown}: {arrived} bytes have arrived; {self._out_of_time()}")

    def timeouts(self) -> tuple[float, float]:
        """Return how long the next request may take to connect, and to bring its next bytes."""
        left = max(self._end - time.monotonic(), 0.001)
        return min(self._patience.connect, left), min(self._patience.stall, left)

    def _pause(self, error: InterruptedDownloadError, failures: int) -> None:
        if failures >= self._patience.attempts:
            raise FetchError(f"{self._shown}: {error}; gave up after {failures} attempts") from error
        grown = min(self._patience.first_pause * 2 ** (failures - 1), self._patience.longest_pause)
        pause = error.pause if error.pause is not None else grown * random.uniform(0.5, 1)  # noqa: S311
        if time.monotonic() + pause >= self._end:
            raise FetchError(f"{self._shown}: {error}; {self._out_of_time()}") from error
        time.sleep(pause)

    def _out_of_time(self) -> str:
        return f"gave up at the deadline of {self._patience.deadline:g} s"

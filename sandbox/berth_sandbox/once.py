"""Make something once, whoever asks and however often."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, which the kernel frees when its holder dies."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def shared(path: Path, when_alone: Callable[[], object]) -> Iterator[None]:
    """Hold the lock file at `path` together with others; who finds no other there does something first."""
    with _opened(path) as descriptor:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            when_alone()
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def made(target: Path, make: Callable[[Path], None]) -> Path:
    """Return `target`, letting `make` write it first if it is missing; it appears whole or not at all."""
    if target.exists():
        return target
    with locked(target.with_name(f"{target.name}.lock")):
        if not target.exists():
            partial = target.with_name(f"{target.name}.partial")
            _discard(partial)
            make(partial)
            partial.rename(target)
    return target


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""What was fetched from afar, kept on a device: a start without a network finds it there."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from berth_scoring.fetch.digest import digest

INCOMING = "incoming"
CONTENT = "content"
RECEIPT = "sha256"

logger = logging.getLogger(__name__)


class Cache:
    """Keeps each artifact under what it was asked by; what is damaged is fetched anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[str] = set()

    def get(self, wanted: str, bring: Callable[[Path], str]) -> tuple[Path, str]:
        """Return content and sha256 of what is wanted; `bring` writes it to a path and returns its sha256."""
        key = hashlib.sha256(wanted.encode()).hexdigest()
        self._used.add(key)
        entry = self._folder / key
        content = entry / CONTENT
        kept = _receipt(entry)
        if kept is None or digest(content) != kept:
            if kept is not None:
                logger.warning("what was kept in %s is damaged and is fetched anew", entry)
            kept = self._fill(entry, bring)
        return content, kept

    def prune(self) -> None:
        """Remove what was not asked for by this process."""
        for entry in self._folder.iterdir() if self._folder.is_dir() else ():
            if entry.name not in self._used:
                shutil.rmtree(entry, ignore_errors=True)

    def _fill(self, entry: Path, bring: Callable[[Path], str]) -> str:
        incoming = self._folder / INCOMING
        for leftover in (incoming, entry):
            if leftover.exists():
                shutil.rmtree(leftover)
        incoming.mkdir(parents=True)
        sha256 = bring(incoming / CONTENT)
        # A device may lose its power at any moment: the receipt must not be there before the content.
        os.sync()
        (incoming / RECEIPT).write_text(sha256)
        incoming.rename(entry)
        os.sync()
        return sha256


def _receipt(entry: Path) -> str | None:
    if not (entry / CONTENT).exists():
        return None
    try:
        return (entry / RECEIPT).read_text()
    except FileNotFoundError:
        return None

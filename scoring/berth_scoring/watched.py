"""Files of a mounted Secret, which the kubelet replaces while the server runs."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

REFRESH_SECONDS = 1.0


class WatchedFiles:
    """Tells when one of some files, which need not be there, has changed."""

    def __init__(self, files: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._clock = clock
        self._checked_at = clock()
        self._stamp = self._read_stamp()

    @property
    def present(self) -> list[Path]:
        """The files that are there."""
        return [path for path in self._files if path.is_file()]

    def changed(self) -> bool:
        """Tell whether they have changed since this was last told; looks at most once a second."""
        now = self._clock()
        if now - self._checked_at < REFRESH_SECONDS:
            return False
        self._checked_at = now
        before, self._stamp = self._stamp, self._read_stamp()
        return self._stamp != before

    def _read_stamp(self) -> list[tuple[int, int, int]]:
        # The kubelet swaps a symlink above the files: following it gives another inode.
        stats = [path.stat() for path in self.present]
        return [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats]

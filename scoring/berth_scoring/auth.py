"""The two keys of an endpoint, each of which may be rotated alone."""

import hmac
import time
from collections.abc import Callable
from pathlib import Path

from berth_scoring.messages import Refusal

KEY_FILES = ("primaryKey", "secondaryKey")
REFRESH_SECONDS = 1.0

UNAUTHORIZED = "This endpoint needs a key: send the header 'Authorization: Bearer <primary or secondary key>'"


class KeyRing:
    """The keys as they stand in a folder, read again when a file has changed."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._checked_at = clock()
        self._stamp = self._read_stamp()
        self._keys = self._read_keys()

    def __len__(self) -> int:
        return len(self._keys)

    def admit(self, authorization: bytes | None) -> None:
        """Raise a refusal with status 401 unless `authorization` carries one of the keys."""
        self._refresh()
        scheme, _, token = (authorization or b"").partition(b" ")
        presented = token.strip()
        # Both are always compared, so that the time taken tells nothing about either.
        matches = [hmac.compare_digest(presented, key) for key in self._keys]
        if scheme.lower() != b"bearer" or not any(matches):
            raise Refusal(401, UNAUTHORIZED, [(b"www-authenticate", b"Bearer")])

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._checked_at < REFRESH_SECONDS:
            return
        self._checked_at = now
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._stamp, self._keys = stamp, self._read_keys()

    def _read_stamp(self) -> list[tuple[int, int, int]]:
        # The kubelet swaps a symlink above the files: following it gives another inode.
        stats = [path.stat() for path in self._files()]
        return [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats]

    def _read_keys(self) -> list[bytes]:
        keys = [path.read_bytes().strip() for path in self._files()]
        return [key for key in keys if key]

    def _files(self) -> list[Path]:
        return [path for name in KEY_FILES if (path := self._folder / name).is_file()]

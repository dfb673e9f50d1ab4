"""The two keys of an endpoint, each of which may be rotated alone."""

import hmac
import time
from collections.abc import Callable
from pathlib import Path

from berth_scoring.messages import Refusal
from berth_scoring.watched import WatchedFiles

KEY_FILES = ("primaryKey", "secondaryKey")

UNAUTHORIZED = "This endpoint needs a key: send the header 'Authorization: Bearer <primary or secondary key>'"


class KeyRing:
    """The keys as they stand in a folder, read again when a file has changed."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = WatchedFiles([folder / name for name in KEY_FILES], clock)
        self._keys = self._read()

    def __len__(self) -> int:
        return len(self._keys)

    def admit(self, authorization: bytes | None) -> None:
        """Raise a refusal with status 401 unless `authorization` carries one of the keys."""
        scheme, _, token = (authorization or b"").partition(b" ")
        if not self.holds(token.strip()) or scheme.lower() != b"bearer":
            raise Refusal(401, UNAUTHORIZED, [(b"www-authenticate", b"Bearer")])

    def holds(self, token: bytes) -> bool:
        """Tell whether `token` is one of the keys."""
        if self._files.changed():
            self._keys = self._read()
        # Both are always compared, so that the time taken tells nothing about either.
        matches = [hmac.compare_digest(token, key) for key in self._keys]
        return any(matches)

    def _read(self) -> list[bytes]:
        keys = [path.read_bytes().strip() for path in self._files.present]
        return [key for key in keys if key]

"""One line of JSON per request, built by hand and written by a thread of its own."""

import asyncio
import contextlib
import json
import os
import queue
import threading
import time
from functools import lru_cache

FLUSH_SECONDS = 0.1
SHORT_PATH = 256
MAX_CHUNKS = 100
"""What may wait for a reader of stdout that does not keep up; more is dropped and counted."""


class AccessLog:
    """Lines are gathered on the event loop and handed over ten times a second at most."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._lines: list[str] = []
        self._chunks: queue.Queue[bytes | None] = queue.Queue(MAX_CHUNKS)
        self._second = 0
        self._timestamp = ""
        self._writer = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._writer.start()
        self.dropped = 0

    def record(self, method: str, path: str, status: int, seconds: float, request_id: str) -> None:
        """Add a line; `path` and `request_id` are the client's and may hold anything."""
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        shown = short_path(path) if len(path) < SHORT_PATH else quoted(path)
        self._lines.append(
            f'{{"time":"{self._now()}","level":"info","logger":"access","method":"{method}",'
            f'"path":{shown},"status":{status},"duration_ms":{seconds * 1000:.3f},'
            f'"request_id":{quoted(request_id)}}}\n'
        )

    def flush(self) -> None:
        """Hand over what was gathered."""
        lines, self._lines = self._lines, []
        try:
            self._chunks.put_nowait("".join(lines).encode())
        except queue.Full:
            self.dropped += len(lines)

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        with contextlib.suppress(queue.Full):
            self._chunks.put(None, timeout=1)
        self._writer.join(timeout=1)

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._timestamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._timestamp}.{int((now - second) * 1000):03d}Z"

    def _write(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            try:
                while chunk:
                    chunk = chunk[os.write(self._descriptor, chunk) :]
            except OSError:
                # Whoever read it has gone, and may come back.
                self.dropped += chunk.count(b"\n")


def quoted(text: str) -> str:
    """Return `text` as a JSON string; most are plain, and telling so is cheaper than escaping."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return json.dumps(text)


short_path = lru_cache(maxsize=256)(quoted)

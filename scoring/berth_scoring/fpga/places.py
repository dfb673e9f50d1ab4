"""Room for so many threads at once; who finds none in time is told to come again."""

from queue import Empty, SimpleQueue

from grpc import StatusCode

from berth_scoring.fpga.errors import Rejected


class Places:
    """Holds a place for as long as its block lasts; rejects who waits for one in vain."""

    def __init__(self, count: int, wait_milliseconds: int, busy: str) -> None:
        self._wait = wait_milliseconds
        self._busy = busy
        # A semaphore with a deadline is written in Python, and would take time from who has its turn.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def __enter__(self) -> None:
        try:
            self._free.get(timeout=self._wait / 1000)
        except Empty:
            told = f"{self._busy}: no free place within {self._wait} ms (maxQueueWaitMilliseconds)"
            raise Rejected(StatusCode.UNAVAILABLE, told) from None

    def __exit__(self, *_raised: object) -> None:
        self._free.put(None)

"""What the process is told before it loads gRPC: small calls cost more for threads than for their work."""

import ctypes
import os

M_ARENA_MAX = -8
"""The number of this setting in malloc.h of the GNU C library."""


def tune_process() -> None:
    """Have fewer threads, and have them share their memory."""
    # Sockets are looked after by the thread that waits for calls, not by others that have to wake it.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
    # An image is 600 KB: in memory of each thread's own it would never be found in the processor's cache.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)

"""The socket that the server listens on: one of its own, or one that was opened for it before."""

import os
import socket
from collections.abc import Mapping

BACKLOG = 2048
LISTENER = "BERTH_LISTENER"
"""Names the descriptor of a socket that is bound already: to a port that takes root, for one."""


def listen(port: int, environment: Mapping[str, str]) -> socket.socket:
    """Listen on all addresses, of both families where there are two."""
    listener = _inherited(environment) or bound(port)
    listener.listen(BACKLOG)
    return listener


def bound(port: int) -> socket.socket:
    """Return a socket that has the port, but refuses connections until it listens."""
    is_dual = socket.has_dualstack_ipv6()
    listener = socket.socket(socket.AF_INET6 if is_dual else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_dual:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::" if is_dual else "0.0.0.0", port))  # noqa: S104 - it is reached from outside
    except OSError:
        listener.close()
        raise
    return listener


def _inherited(environment: Mapping[str, str]) -> socket.socket | None:
    if LISTENER not in environment:
        return None
    listener = socket.socket(fileno=int(environment[LISTENER]))
    os.set_inheritable(listener.fileno(), False)
    return listener

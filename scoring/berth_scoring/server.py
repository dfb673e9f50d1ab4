"""The process: an event loop in a second thread, the script or model in the main one."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from types import FrameType

import uvicorn
import uvloop

from berth_scoring.app import Application
from berth_scoring.connection import Connection
from berth_scoring.execution import TICK_SECONDS, WorkQueue
from berth_scoring.lifecycle import Lifecycle

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
KEEP_ALIVE_SECONDS = 75
"""Longer than the 60 s of common proxies: whoever pools connections must be the one to close them."""


class Server:
    """Serves until it is told to stop, then drains."""

    def __init__(
        self,
        application: Application,
        queue: WorkQueue,
        lifecycle: Lifecycle,
        *,
        drain_seconds: float,
        stop_seconds: float,
        tls: ssl.SSLContext | None = None,
        beside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        on_leave: Callable[[], None] = lambda: None,
    ) -> None:
        self._application = application
        self._queue = queue
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        self._beside = beside
        """What else runs on the event loop, for as long as HTTP is served."""
        self._on_leave = on_leave
        """What is still to be done when the process ends around a run that does not."""
        self._worked = threading.Event()
        self._failure: Exception | None = None
        config = http_config(application, tls, stop_seconds=int(stop_seconds) + 1)
        self._http = uvicorn.Server(config)
        self._signals, self._wakeup = socket.socketpair()

    def run(self, listener: socket.socket, workers: int) -> None:
        """Serve on `listener`, with runs in the calling thread, which must be the main one, and in more.

        Raises what ended the event loop, if that did not end because it was told to.
        """
        self._route_signals()
        threads = [threading.Thread(target=self._queue.work, daemon=True) for _ in range(workers - 1)]
        loop = threading.Thread(target=self._serve, args=(listener,), name="http")
        with self._queue.interrupting():
            try:
                for thread in (loop, *threads):
                    thread.start()
                self._queue.work()
            finally:
                # A handler of the script's own may end the process from here, even before the loop has begun.
                self._worked.set()
                self._finish()
                if loop.is_alive():
                    loop.join()
        if self._failure is not None:
            raise self._failure

    def _route_signals(self) -> None:
        # The interpreter runs handlers only between two steps of the main thread, for which a long run in C
        # may keep it waiting; what it does at once is to write the number to this socket, and the loop acts.
        for end in (self._signals, self._wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler, exit_at_once}:
                signal.signal(number, self._on_caught)
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=self._forget_signals)

    def _on_caught(self, number: int, _frame: FrameType | None) -> None:
        # The loop has heard of it through the socket, unless a script's own event loop has that place or has
        # left it empty.
        ours = self._wakeup.fileno()
        current = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if current == ours:
            return
        self._wakeup.send(bytes([number]))
        if current >= 0:
            signal.set_wakeup_fd(current, warn_on_full_buffer=False)

    def _forget_signals(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) == self._on_caught:
                signal.signal(number, signal.SIG_DFL)
        _unblock()

    def _serve(self, listener: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve_until_stopped(listener))
        except Exception as error:  # whatever it is: a thread has no exit code, the main thread does
            logger.exception("The event loop failed")
            self._failure = error
        finally:
            self._queue.close()
        while not self._worked.wait(TICK_SECONDS):
            if self._queue.overdue:
                self._on_leave()
                os._exit(1 if self._failure else 0)

    async def _serve_until_stopped(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(self._signals, self._on_signals)
        async with self._beside():
            await self._http.serve(sockets=[listener])

    def _on_signals(self) -> None:
        for number in self._signals.recv(64):
            if number in STOP_SIGNALS:
                self._stop(number)

    def _stop(self, number: int) -> None:
        if self._lifecycle.draining:
            os._exit(128 + number)
        self._lifecycle.draining = True
        self._application.closing = True
        asyncio.get_running_loop().call_later(self._drain_seconds, self._finish)

    def _finish(self) -> None:
        self._http.should_exit = True


def http_config(application: Application, tls: ssl.SSLContext | None, *, stop_seconds: int) -> uvicorn.Config:
    """Return what uvicorn is to do with an application: little but to accept connections and to end them."""
    return uvicorn.Config(
        application,
        loop="none",
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=stop_seconds,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )


def exit_at_once(number: int, _frame: FrameType | None) -> None:
    """Leave while nothing is served yet: as process 1 the default would be to stay."""
    raise SystemExit(128 + number)


def _block() -> None:
    # A child forked by a script shares the socket: a signal to it must not stop the server, however early.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

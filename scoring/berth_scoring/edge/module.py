"""The module as a whole: it keeps a connection to the edge hub for as long as the server runs."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from berth_scoring.edge.connection import Connection
from berth_scoring.edge.counts import Counts
from berth_scoring.edge.credentials import Credentials, CredentialStore
from berth_scoring.edge.errors import MqttError, RefusedError, WorkloadError
from berth_scoring.edge.identity import ModuleIdentity
from berth_scoring.edge.intake import Intake
from berth_scoring.edge.packets import Login, Publish
from berth_scoring.edge.report import Reporter
from berth_scoring.edge.topics import Topics, twin_answer

FINISH_SECONDS = 5.0
"""What inputs in hand get before a connection is closed on purpose."""
STOP_SECONDS = FINISH_SECONDS + 1

logger = logging.getLogger(__name__)


class BackOff:
    """How long to wait between attempts: longer each time, and never the same for two devices."""

    def __init__(self, first: float = 1.0, most: float = 60.0) -> None:
        self._first = first
        self._most = most
        self._next = first

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._next = self._first

    def seconds(self) -> float:
        """Return the wait before the next attempt."""
        bound, self._next = self._next, min(2 * self._next, self._most)
        return random.uniform(bound / 2, bound)  # noqa: S311


@dataclass(frozen=True, slots=True)
class EdgeModule:
    """Connects, and connects again, until the server stops."""

    identity: ModuleIdentity
    credentials: CredentialStore
    intake: Callable[[Connection], Intake]
    reporter: Reporter
    counts: Counts
    back_off: BackOff

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer messages while the block runs."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._keep_connected(stop))
            try:
                yield
            finally:
                stop.set()
                # It may be connecting to a hub that does not answer.
                await asyncio.wait({task}, timeout=STOP_SECONDS)
                task.cancel()

    async def _keep_connected(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            done = self.counts.acknowledged
            try:
                await self._serve_once(stop)
            except (MqttError, WorkloadError, OSError) as error:
                if self.counts.acknowledged > done:
                    self.back_off.reset()
                await self._pause(stop, str(error) or "no answer")
            except Exception as error:  # HTTP goes on, whatever the hub or the workload API says
                logger.exception("The connection to the edge hub failed")
                await self._pause(stop, type(error).__name__)
            else:
                self.back_off.reset()

    async def _pause(self, stop: asyncio.Event, cause: str) -> None:
        delay = self.back_off.seconds()
        logger.warning("Edge hub: %s; again in %.1f s", cause, delay)
        await _wait(stop, delay)

    async def _serve_once(self, stop: asyncio.Event) -> None:
        """Serve by one connection, which ends with the server or when its token is to be renewed."""
        credentials = await self.credentials.current()
        session = Session(self)
        try:
            await session.begin(credentials)
            await session.last(stop, self.credentials.seconds_left(credentials))
        except (RefusedError, OSError):
            # The token may have been too old for the hub's clock, the trust bundle of before.
            self.credentials.discard()
            raise
        finally:
            session.end()


class Session:
    """One connection and what is done by it."""

    def __init__(self, module: EdgeModule) -> None:
        self._module = module
        self._topics = Topics.of(module.identity)
        self._connection = Connection(self._on_message)
        self._intake = module.intake(self._connection)
        self._reporting: asyncio.Task[None] | None = None

    async def begin(self, credentials: Credentials) -> None:
        """Connect and subscribe, whether or not the hub remembers what was subscribed."""
        identity = self._module.identity
        login = Login(identity.client_id, identity.username, credentials.token)
        await self._connection.open(identity.gateway, credentials.trust, login)
        await self._connection.subscribe(self._topics.filters)
        self._module.counts.connections += 1
        self._module.counts.connected = True
        logger.warning("Connected to the edge hub %s as %s", identity.gateway, identity.client_id)
        self._reporting = asyncio.create_task(self._report())

    async def last(self, stop: asyncio.Event, seconds: float) -> None:
        """Stay until it is time to go; raises MqttError if the connection ends before."""
        stopping = asyncio.ensure_future(stop.wait())
        reasons: set[asyncio.Future[Any]] = {stopping, self._connection.ended}
        try:
            await asyncio.wait(reasons, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if self._connection.ended.done():
            raise self._connection.ended.result()
        await self._intake.finish(FINISH_SECONDS)

    def end(self) -> None:
        """Take leave; what is still in hand comes again."""
        self._module.counts.connected = False
        if self._reporting is not None:
            self._reporting.cancel()
        self._intake.abandon()
        self._connection.close()

    async def _report(self) -> None:
        with suppress(MqttError):  # the end of the connection is told elsewhere
            await self._module.reporter.run(self._connection)

    def _on_message(self, message: Publish) -> None:
        answer = twin_answer(message.topic)
        if answer is None:
            self._intake.take(message)
            return
        self._module.reporter.settle(*answer)
        self._connection.acknowledge(message.packet_id)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)

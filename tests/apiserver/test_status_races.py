"""What a user writes while the operator writes the status must not be lost between answer and watch."""

import asyncio
from datetime import UTC, datetime

from deployments import spec
from operator_process import User

from berth.api.conditions import Reason
from berth.core.errors import Terminal
from berth.core.keys import Key
from berth.core.queue import WorkQueue
from berth.feed import Feed
from berth.kube.client import Api, Object
from berth.kube.connection import Connection
from berth.kube.events import EventRecorder
from berth.kube.informer import Informer
from berth.plan.resources import MODEL_DEPLOYMENTS, Resource
from berth.reconcile import Reconciler

NEWER = spec(scaling={"replicas": 4})


class OvertakenApi(Api):
    """Lets a user apply another spec just before each status."""

    def __init__(self, connection: Connection, user: User) -> None:
        super().__init__(connection)
        self._user = user

    async def apply_status(self, resource: Resource, body: Object) -> Object:
        await self._user.apply(NEWER)
        return await super().apply_status(resource, body)


async def test_a_spec_that_comes_while_the_status_is_written_is_seen(
    connection: Connection, client: Api, user: User
) -> None:
    queue: WorkQueue[Key] = WorkQueue()
    feed = Feed(queue, WorkQueue())
    subjects = feed.stores[MODEL_DEPLOYMENTS]
    feed.changed(MODEL_DEPLOYMENTS, await user.apply())
    key = await queue.get()
    reconciler = Reconciler(
        subjects,
        {},
        api=OvertakenApi(connection, user),
        recorder=EventRecorder(client, "berth-0"),
        clock=lambda: datetime.now(UTC),
    )
    await reconciler.report_failure(key, Terminal(Reason.REJECTED, "no"))
    queue.done(key)
    informer = Informer(client, MODEL_DEPLOYMENTS, feed, namespace=user.namespace)
    running = asyncio.create_task(informer.run())
    assert await asyncio.wait_for(queue.get(), 20) == key
    known = subjects.get(key)
    assert known is not None
    assert known.parse()["metadata"]["generation"] == 2
    assert known.parse()["status"]["observedGeneration"] == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

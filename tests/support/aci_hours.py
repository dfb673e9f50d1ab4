"""Hours of an operator between a cluster in memory and an emulated Azure, by its real workers."""

import asyncio
import heapq
import itertools

from aci_world import PLACE, World, place_spec
from azure_emulator import SECRET, configured
from azure_world import OPERATOR_NAMESPACE

from berth.core.backoff import Backoff
from berth.core.keys import Key
from berth.core.queue import Priority, QueueClosed, WorkQueue
from berth.core.results import Result
from berth.core.workers import Workers
from berth.places import PlaceReconciler
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS, SECRETS
from berth.reconcile import Reconciler


class Agenda(WorkQueue[Key]):
    """Lets time go by in Azure and here while nobody works, until it is `until`."""

    def __init__(self, world: World, until: float) -> None:
        super().__init__()
        self._world = world
        self._until = until
        self._next: dict[Key, float] = {}
        self._order: list[tuple[float, int, Key]] = []
        self._numbers = itertools.count()
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        self._news = asyncio.Condition()

    def add(self, key: Key, priority: Priority = Priority.CHANGE) -> None:
        """Ask for a pass now, or as soon as the present one ends."""
        if key in self._busy:
            self._again.add(key)
        else:
            self._note(key, self._world.clock.seconds)

    def add_after(self, key: Key, delay: float, priority: Priority = Priority.CHANGE) -> None:
        """Ask for a pass later; the earliest wish counts."""
        self._note(key, self._world.clock.seconds + delay)

    async def get(self) -> Key:
        """Take what is due."""
        async with self._news:
            while True:
                if (key := self._take()) is not None:
                    return key
                if self._busy:
                    await self._news.wait()
                elif not self._pass_time():
                    self._news.notify_all()
                    raise QueueClosed

    def done(self, key: Key) -> None:
        """Let others take what this pass has brought."""
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self._note(key, self._world.clock.seconds)
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _note(self, key: Key, due: float) -> None:
        if due < self._next.get(key, float("inf")):
            self._next[key] = due
            heapq.heappush(self._order, (due, next(self._numbers), key))

    def _take(self) -> Key | None:
        """Take the earliest that is due; what an earlier wish replaced is passed over."""
        while self._order and self._order[0][0] <= self._world.clock.seconds:
            due, _, key = heapq.heappop(self._order)
            if self._next.get(key) != due:
                continue
            del self._next[key]
            if key not in self._busy:
                self._busy.add(key)
                return key
            self._again.add(key)
        return None

    def _pass_time(self) -> bool:
        """Go on to when something is due; tell whether that is before the end."""
        due = min(self._next.values(), default=float("inf"))
        self._world.pass_time(max(0.0, min(due, self._until) - self._world.clock.seconds))
        return due <= self._until


async def spend(world: World, seconds: float, workers: int = 16) -> None:
    """Let an operator work for so long, by as many workers as it has."""
    agenda = Agenda(world, world.clock.seconds + seconds)
    world.follow(agenda)

    async def one(key: Key) -> Result:
        try:
            return await _reconciler(world, key).reconcile(key)
        finally:
            world.look()

    async def report(key: Key, error: Exception) -> None:
        await _reconciler(world, key).report_failure(key, error)

    pool = Workers(
        agenda,
        one,
        report,
        size=workers,
        backoff=Backoff(base=0.05, rand=lambda: 0.0),
    )
    world.look()
    for resource in (COMPUTE_TARGETS, MODEL_DEPLOYMENTS):
        for key in list(world.feed.stores[resource]):
            agenda.add(key)
    await pool.run()


async def clear_up(world: World) -> None:
    """Mend all that was broken, and let the user delete every ModelDeployment."""
    world.azure.faults.clear()
    configured(world.azure)
    world.put_data(SECRETS, Key(OPERATOR_NAMESPACE, "azure"), {"clientSecret": SECRET})
    if world.get(COMPUTE_TARGETS, PLACE) is None:
        world.put(COMPUTE_TARGETS, PLACE, {"spec": place_spec(world.endpoint)})
    world.mortal.last = None
    world.restart()
    for resource, key in list(world.cluster.objects):
        if resource == MODEL_DEPLOYMENTS:
            world.delete(key=key)
    await spend(world, 60)
    if world.groups:
        await spend(world, 3600)  # a stranger's fault, or an orphan's grace period
    left = [str(key) for resource, key in world.cluster.objects if resource == MODEL_DEPLOYMENTS]
    assert left == []


def _reconciler(world: World, key: Key) -> Reconciler | PlaceReconciler:
    return world.reconciler if key.namespace else world.places

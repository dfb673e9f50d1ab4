"""What the queue and the workers of each kind tell, named as controller-runtime names it."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from berth.core.observer import Observer
from berth.core.queue import WorkQueue
from berth.telemetry.families import SECONDS


class ControllerFamilies:
    """The families that the controllers share, each under a name of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, label: str) -> Histogram:
            return Histogram(name, text, [label], buckets=SECONDS, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, ["name"], registry=registry)

        self.adds = counter("workqueue_adds_total", "Keys that entered the queue", "name")
        self.retries = counter("workqueue_retries_total", "Keys that came again after a failure", "name")
        self.waits = histogram("workqueue_queue_duration_seconds", "Time that a key waited", "name")
        self.works = histogram("workqueue_work_duration_seconds", "Time that a key was worked on", "name")
        self.depth = gauge("workqueue_depth", "Keys that wait")
        self.unfinished = gauge("workqueue_unfinished_work_seconds", "Time spent on keys in work")
        self.longest = gauge("workqueue_longest_running_processor_seconds", "Time spent on the slowest key")
        self.reconciles = counter(
            "controller_runtime_reconcile_total", "Passes by result", "controller", "result"
        )
        self.errors = counter("controller_runtime_reconcile_errors_total", "Passes that failed", "controller")
        self.passes = histogram("controller_runtime_reconcile_time_seconds", "Time of a pass", "controller")


class ControllerMetrics(Observer):
    """Counts what the queue and the workers of one kind tell it."""

    def __init__(self, families: ControllerFamilies, name: str) -> None:
        self._name = name
        self._depth = families.depth.labels(name)
        self._unfinished = families.unfinished.labels(name)
        self._longest = families.longest.labels(name)
        self._adds = families.adds.labels(name)
        self._retries = families.retries.labels(name)
        self._waits = families.waits.labels(name)
        self._works = families.works.labels(name)
        self._reconciles = families.reconciles
        self._errors = families.errors.labels(name)
        self._passes = families.passes.labels(name)

    def watch_queue(self, queue: WorkQueue[Any]) -> None:
        """Show the state of the queue at each scrape."""
        self._depth.set_function(lambda: queue.depth)
        self._unfinished.set_function(lambda: queue.unfinished)
        self._longest.set_function(lambda: queue.longest_running)

    def added(self) -> None:
        """Count a key that entered the queue."""
        self._adds.inc()

    def started(self, waited: float) -> None:
        """Count the time that a key waited."""
        self._waits.observe(waited)

    def finished(self, worked: float) -> None:
        """Count the time that a key was worked on."""
        self._works.observe(worked)

    def retried(self) -> None:
        """Count a key that comes again because its pass failed."""
        self._retries.inc()

    def reconciled(self, outcome: str, seconds: float) -> None:
        """Count a pass that ended."""
        self._reconciles.labels(self._name, outcome).inc()
        self._passes.observe(seconds)
        if outcome == "error":
            self._errors.inc()

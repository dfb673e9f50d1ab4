"""The operator's metrics, named as controller-runtime names them where it has them."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from berth.core.observer import Observer
from berth.core.queue import WorkQueue
from berth.kube.client import RequestObserver
from berth.kube.informer import WatchObserver
from berth.plan.resources import Resource

CONTROLLER = "modeldeployment"

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics(Observer, RequestObserver, WatchObserver):
    """Counts what the queue, the workers, the API client and the watches tell it."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        queue, controller = {"name": CONTROLLER}, {"controller": CONTROLLER}
        self._adds = _counter(registry, "workqueue_adds_total", "Keys that entered the queue", queue)
        self._retries = _counter(
            registry, "workqueue_retries_total", "Keys that came again after a failure", queue
        )
        self._waits = _histogram(
            registry, "workqueue_queue_duration_seconds", "Time that a key waited", queue
        )
        self._works = _histogram(
            registry, "workqueue_work_duration_seconds", "Time that a key was worked on", queue
        )
        self._reconciles = _counters(
            registry, "controller_runtime_reconcile_total", "Passes by result", "controller", "result"
        )
        self._errors = _counter(
            registry, "controller_runtime_reconcile_errors_total", "Passes that failed", controller
        )
        self._passes = _histogram(
            registry, "controller_runtime_reconcile_time_seconds", "Time of a pass", controller
        )
        self._requests = _counters(
            registry, "rest_client_requests_total", "Requests to the API server", "method", "resource", "code"
        )
        self._latency = Histogram(
            "rest_client_request_duration_seconds",
            "Time of a request to the API server",
            ["method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._restarts = _counters(
            registry,
            "berth_watch_restarts_total",
            "Times that a kind was listed again after a gap in its watch",
            "resource",
        )
        self._refusals = _counters(
            registry,
            "berth_watch_refused_total",
            "Times that the API server did not let a kind be watched",
            "resource",
        )
        self._dropped = _counters(
            registry, "berth_watch_dropped_total", "Pieces of news that could not be understood", "resource"
        )
        self.leading = Gauge(
            "leader_election_master_status", "1 for the replica that acts", ["name"], registry=registry
        ).labels(CONTROLLER)
        self.loop_lag = Gauge(
            "berth_event_loop_lag_seconds", "How late the event loop ran its last timer", registry=registry
        )
        Info("berth_build", "The version that runs", registry=registry).info({"version": version("berth")})

    def watch_queue(self, queue: WorkQueue[Any]) -> None:
        """Show the state of the queue at each scrape."""
        for name, text, read in (
            ("workqueue_depth", "Keys that wait", lambda: queue.depth),
            ("workqueue_unfinished_work_seconds", "Time spent on keys in work", lambda: queue.unfinished),
            (
                "workqueue_longest_running_processor_seconds",
                "Time spent on the slowest key",
                lambda: queue.longest_running,
            ),
        ):
            gauge = Gauge(name, text, ["name"], registry=self.registry)
            gauge.labels(CONTROLLER).set_function(read)

    def watch_conditions(self, read: Callable[[], Iterable[tuple[str, str]]]) -> None:
        """Show how many ModelDeployments have each condition; `read` gives (type, status) pairs."""
        self.registry.register(_Conditions(read))

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
        self._reconciles.labels(CONTROLLER, outcome).inc()
        self._passes.observe(seconds)
        if outcome == "error":
            self._errors.inc()

    def requested(self, verb: str, resource: Resource, code: str, seconds: float) -> None:
        """Count a request to the API server."""
        self._requests.labels(verb, resource.plural, code).inc()
        self._latency.labels(verb).observe(seconds)

    def restarted(self, resource: Resource) -> None:
        """Count a gap in a watch."""
        self._restarts.labels(resource.plural).inc()

    def refused(self, resource: Resource) -> None:
        """Count a watch that the API server did not allow."""
        self._refusals.labels(resource.plural).inc()

    def dropped(self, resource: Resource) -> None:
        """Count a piece of news that was not understood."""
        self._dropped.labels(resource.plural).inc()


class _Conditions(Collector):
    def __init__(self, read: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "berth_modeldeployment_conditions", "ModelDeployments by condition", labels=["type", "status"]
        )
        for (kind, status), number in sorted(Tally(self._read()).items()):
            family.add_metric([kind, status], number)
        yield family


def _counters(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=registry)


def _counter(registry: CollectorRegistry, name: str, text: str, labels: dict[str, str]) -> Counter:
    return Counter(name, text, list(labels), registry=registry).labels(**labels)


def _histogram(registry: CollectorRegistry, name: str, text: str, labels: dict[str, str]) -> Histogram:
    return Histogram(name, text, list(labels), buckets=_SECONDS, registry=registry).labels(**labels)

"""What Prometheus sees of the server."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from berth_scoring.config import ModelSource
from berth_scoring.messages import Request, Response

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class RouteMetrics:
    """The series of one route, looked up once: a look-up by label costs more than the count."""

    def __init__(self, counter: Counter, histogram: Histogram, route: str) -> None:
        self._count_of = counter.labels
        self._route = route
        self._by_status: dict[int, Counter] = {}
        self._observe = histogram.labels(route).observe

    def record(self, status: int, seconds: float) -> None:
        """Count one answer."""
        child = self._by_status.get(status)
        if child is None:
            child = self._by_status[status] = self._count_of(self._route, str(status))
        child.inc()
        self._observe(seconds)


class Metrics:
    """All series of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "berth_scoring_requests", "Requests answered.", ["route", "code"], registry=self.registry
        )
        self._latency = Histogram(
            "berth_scoring_request_duration_seconds",
            "Time from a request's headers to its answer.",
            ["route"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "berth_scoring_batch_size",
            "Requests per call of the model.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self._models = Gauge(
            "berth_scoring_model_info",
            "The models served.",
            ["name", "version", "format"],
            registry=self.registry,
        )

    def route(self, route: str) -> RouteMetrics:
        """Return the series of one route."""
        return RouteMetrics(self._requests, self._latency, route)

    def observe_batch(self, size: int) -> None:
        """Record how many requests one call of the model answered."""
        self._batches.observe(size)

    def describe(self, model: ModelSource) -> None:
        """Name a model that this server holds."""
        self._models.labels(model.name, model.version, model.format or "script").set(1)

    def watch_queue(self, depth: Callable[[], float], running: Callable[[], float]) -> None:
        """Read the length of the queue and the work in hand whenever they are asked for."""
        gauges = (
            ("berth_scoring_queue_depth", "Requests that wait for a free slot.", depth),
            ("berth_scoring_in_flight", "Requests that a script or model is working on.", running),
        )
        for name, text, function in gauges:
            Gauge(name, text, registry=self.registry).set_function(function)

    async def expose(self, _request: Request) -> Response:
        """Answer `/metrics`."""
        return Response(
            200, generate_latest(self.registry), [(b"content-type", CONTENT_TYPE_LATEST.encode())]
        )

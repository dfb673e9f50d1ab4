"""What Prometheus sees of the server."""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from berth_scoring.config import ModelSource
from berth_scoring.messages import Request, Response

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class RouteMetrics:
    """The answers of one route: plain numbers, for only the event loop writes them, and locks cost."""

    def __init__(self) -> None:
        self.by_status: dict[int, int] = {}
        self.by_bucket = [0] * (len(LATENCY_BUCKETS) + 1)
        self.seconds = 0.0

    def record(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self.by_status[status] = self.by_status.get(status, 0) + 1
        self.by_bucket[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.seconds += seconds

    def cumulated(self) -> list[tuple[str, float]]:
        """Return the histogram as Prometheus wants it: each bucket holds those below it."""
        names = (*(str(float(bound)) for bound in LATENCY_BUCKETS), "+Inf")
        return list(zip(names, itertools.accumulate(self.by_bucket), strict=True))


class RouteCollector(Collector):
    """Shows the answers of all routes."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteMetrics] = {}

    def route(self, route: str) -> RouteMetrics:
        """Return the numbers of one route."""
        return self._routes.setdefault(route, RouteMetrics())

    def collect(self) -> Iterator[Metric]:
        """Yield the two series of each route."""
        requests = CounterMetricFamily(
            "berth_scoring_requests", "Requests answered.", labels=["route", "code"]
        )
        latency = HistogramMetricFamily(
            "berth_scoring_request_duration_seconds",
            "Time from a request's headers to its answer.",
            labels=["route"],
        )
        for name, route in self._routes.items():
            for status, count in route.by_status.items():
                requests.add_metric([name, str(status)], count)
            latency.add_metric([name], route.cumulated(), route.seconds)
        yield requests
        yield latency


class Metrics:
    """All series of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._routes = RouteCollector()
        self.registry.register(self._routes)
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
        return self._routes.route(route)

    def observe_batch(self, size: int) -> None:
        """Record how many requests one call of the model answered."""
        self._batches.observe(size)

    def add(self, collector: Collector) -> None:
        """Show the series of a part that only some servers have."""
        self.registry.register(collector)

    def describe(self, model: ModelSource) -> None:
        """Name a model that this server holds."""
        self._models.labels(model.name, model.version, model.format or "script").set(1)

    def watch(
        self, depth: Callable[[], float], running: Callable[[], float], dropped: Callable[[], float]
    ) -> None:
        """Read the queue, the work in hand and the gaps in the log whenever they are asked for."""
        gauges = (
            ("berth_scoring_queue_depth", "Requests that wait for a free slot.", depth),
            ("berth_scoring_in_flight", "Requests that a script or model is working on.", running),
            ("berth_scoring_log_lines_dropped", "Lines that nobody read from stdout in time.", dropped),
        )
        for name, text, function in gauges:
            Gauge(name, text, registry=self.registry).set_function(function)

    async def expose(self, _request: Request) -> Response:
        """Answer `/metrics`."""
        return Response(
            200, generate_latest(self.registry), [(b"content-type", CONTENT_TYPE_LATEST.encode())]
        )

"""What Prometheus sees of a pipeline: written by many threads, unlike the series of HTTP routes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
STAGES = ("preprocess", "wait", "featurizer", "classifier")


class Measures:
    """Latencies of the stages and of gRPC calls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        stages = Histogram(
            "berth_scoring_stage_duration_seconds",
            "Time in a stage of the pipeline.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._stages = {name: stages.labels(name) for name in STAGES}
        self._calls = Counter(
            "berth_scoring_grpc_requests", "Calls answered.", ["method", "code"], registry=registry
        )
        self._latency = Histogram(
            "berth_scoring_grpc_request_duration_seconds",
            "Time from a call's message to its answer.",
            ["method"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._images = Histogram(
            "berth_scoring_images_per_request",
            "Images that came together.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=registry,
        )
        self._device = Gauge(
            "berth_scoring_device_up", "Whether the device answers.", ["device"], registry=registry
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one pass of a stage, a failed one too."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._stages[name].observe(time.perf_counter() - started)

    def waited(self, seconds: float) -> None:
        """Record how long a request waited for the device."""
        self._stages["wait"].observe(seconds)

    def images(self, count: int) -> None:
        """Record the size of a batch."""
        self._images.observe(count)

    def call(self, method: str, code: str, seconds: float) -> None:
        """Record one call."""
        self._calls.labels(method, code).inc()
        self._latency.labels(method).observe(seconds)

    def watch_device(self, device: str, is_up: Callable[[], bool]) -> None:
        """Show whether the device answers."""
        self._device.labels(device).set_function(is_up)

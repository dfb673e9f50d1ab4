"""The operator's metrics, named as controller-runtime names them where it has them."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from berth.kube.client import RequestObserver
from berth.kube.informer import WatchObserver
from berth.plan.resources import Resource
from berth.telemetry.azure_metrics import AzureMetrics, SweepMetrics
from berth.telemetry.controller_metrics import ControllerFamilies, ControllerMetrics
from berth.telemetry.families import SECONDS

MODEL_CONTROLLER = "modeldeployment"
PLACE_CONTROLLER = "computetarget"


class Metrics(RequestObserver, WatchObserver):
    """Counts what the queues, the workers, the clients and the watches tell it."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._controllers = ControllerFamilies(registry)
        self.models = ControllerMetrics(self._controllers, MODEL_CONTROLLER)
        self.places = ControllerMetrics(self._controllers, PLACE_CONTROLLER)
        self.azure = AzureMetrics(registry)
        self.sweeps = SweepMetrics(registry)
        self._requests = _counters(
            registry, "rest_client_requests_total", "Requests to the API server", "method", "resource", "code"
        )
        self._latency = Histogram(
            "rest_client_request_duration_seconds",
            "Time of a request to the API server",
            ["method"],
            buckets=SECONDS,
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
        ).labels(MODEL_CONTROLLER)
        self.loop_lag = Gauge(
            "berth_event_loop_lag_seconds", "How late the event loop ran its last timer", registry=registry
        )
        Info("berth_build", "The version that runs", registry=registry).info({"version": version("berth")})

    def watch_conditions(self, read: Callable[[], Iterable[tuple[str, str]]]) -> None:
        """Show how many ModelDeployments have each condition; `read` gives (type, status) pairs."""
        self.registry.register(_Conditions(read))

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

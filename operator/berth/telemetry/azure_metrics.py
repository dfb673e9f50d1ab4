"""What the calls to Azure tell: how many, how long, and which were not made."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from berth.azure.observer import CallObserver
from berth.targets.aci_sweeper import SweepObserver
from berth.telemetry.families import SECONDS

_MOST_SUBSCRIPTIONS = 64
_OTHERS = "other"
_COUNTERS = frozenset({"reads", "writes", "deletes"})


class AzureMetrics(CallObserver):
    """Counts calls by subscription, of which those beyond the first 64 are counted together."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._subscriptions: set[str] = set()
        self._requests = Counter(
            "berth_azure_requests_total",
            "Requests to Azure Resource Manager",
            ["subscription", "operation", "code"],
            registry=registry,
        )
        self._latency = Histogram(
            "berth_azure_request_duration_seconds",
            "Time of a request to Azure Resource Manager",
            ["operation"],
            buckets=SECONDS,
            registry=registry,
        )
        self._withheld = Counter(
            "berth_azure_requests_withheld_total",
            "Requests that were not made, by what held them back",
            ["subscription", "cause"],
            registry=registry,
        )
        self._waits = Counter(
            "berth_azure_wait_seconds_total",
            "Time that those who wanted to ask were told to wait",
            ["subscription", "cause"],
            registry=registry,
        )
        self._remaining = Gauge(
            "berth_azure_remaining_requests",
            "Requests that Azure still takes, as it said last",
            ["subscription", "counter"],
            registry=registry,
        )
        self._circuits = Gauge(
            "berth_azure_circuit_open",
            "1 while a subscription is not asked because it does not answer",
            ["subscription"],
            registry=registry,
        )

    def called(self, subscription: str, operation: str, code: str, seconds: float) -> None:
        """Count a call that ended."""
        self._requests.labels(self._label(subscription), operation, code).inc()
        self._latency.labels(operation).observe(seconds)

    def remaining(self, subscription: str, counter: str, count: int) -> None:
        """Show what Azure said of the counters that are known."""
        if counter in _COUNTERS:
            self._remaining.labels(self._label(subscription), counter).set(count)

    def withheld(self, subscription: str, cause: str, wait: float) -> None:
        """Count a call that was not made."""
        labels = self._label(subscription), cause
        self._withheld.labels(*labels).inc()
        self._waits.labels(*labels).inc(wait)

    def circuit(self, subscription: str, *, is_open: bool) -> None:
        """Show whether a subscription is asked at all."""
        self._circuits.labels(self._label(subscription)).set(is_open)

    def _label(self, subscription: str) -> str:
        name = subscription.lower()
        if len(self._subscriptions) < _MOST_SUBSCRIPTIONS:
            self._subscriptions.add(name)
        return name if name in self._subscriptions else _OTHERS


class SweepMetrics(SweepObserver):
    """Counts container groups that their ModelDeployments have left behind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seen = Gauge(
            "berth_orphaned_groups", "Container groups whose ModelDeployment is gone", registry=registry
        )
        self._deleted = Counter(
            "berth_orphaned_groups_deleted_total", "Those of them that were deleted", registry=registry
        )

    def orphans(self, count: int) -> None:
        """Show how many there are."""
        self._seen.set(count)

    def orphan_deleted(self) -> None:
        """Count one that is deleted."""
        self._deleted.inc()

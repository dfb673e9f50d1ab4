"""What is counted of messages, for Prometheus and for the module's twin."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(slots=True)
class Counts:
    """Plain numbers, for only the event loop writes them."""

    received: int = 0
    redelivered: int = 0
    acknowledged: int = 0
    answered: int = 0
    failed: int = 0
    reports: int = 0
    connections: int = 0
    connected: bool = False
    dropped: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, int]:
        """Return what the twin is told."""
        return {
            "received": self.received,
            "answered": self.answered,
            "failed": self.failed,
            "dropped": self.dropped.total(),
        }


class EdgeCollector(Collector):
    """Shows the counts to Prometheus."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Yield one series of each."""
        counts = self._counts
        for name, text, value in (
            ("received", "Messages that arrived at the input.", counts.received),
            ("redelivered", "Those among them that the hub had sent before.", counts.redelivered),
            ("acknowledged", "Messages whose outputs the hub has stored.", counts.acknowledged),
            ("answered", "Outputs with AzureMLResponse OK that the hub has stored.", counts.answered),
            ("failed", "Outputs with an error that the hub has stored.", counts.failed),
            ("connections", "Connections to the edge hub.", counts.connections),
            ("reports", "Changes of reported properties that were sent.", counts.reports),
        ):
            yield CounterMetricFamily(f"berth_scoring_edge_{name}", text, value=value)
        yield GaugeMetricFamily(
            "berth_scoring_edge_connected", "Whether there is a connection.", value=counts.connected
        )
        dropped = CounterMetricFamily(
            "berth_scoring_edge_dropped", "What was let go, by reason.", labels=["reason"]
        )
        for reason, count in counts.dropped.items():
            dropped.add_metric([reason], count)
        yield dropped

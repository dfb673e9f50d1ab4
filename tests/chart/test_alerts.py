"""The alerts speak of metrics that the operator has."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from berth.telemetry.metrics import Metrics

WORDS_OF_PROMQL = {"absent", "by", "histogram_quantile", "le", "max", "rate", "sum"}


@pytest.fixture(scope="module")
def rules(render: Callable[..., Any]) -> list[dict[str, Any]]:
    rule = render("monitoring.prometheusRule.enabled=true").one("PrometheusRule")
    (group,) = rule["spec"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """The names of the operator's time series, with the labels that each may have."""
    metrics = Metrics()
    metrics.watch_conditions(lambda: [("Stalled", "True")])
    metrics.models.reconciled("error", 1)
    metrics.azure.circuit("subscription", is_open=True)
    found: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_and_label_exists(rules: list[dict[str, Any]], samples: dict[str, set[str]]) -> None:
    for rule in rules:
        selectors = re.findall(r"(\w+)\{([^}]*)\}", rule["expr"])
        assert selectors
        for name, matchers in selectors:
            assert set(re.findall(r"(\w+)=", matchers)) <= samples[name]


def test_nothing_else_is_named(rules: list[dict[str, Any]], samples: dict[str, set[str]]) -> None:
    for rule in rules:
        bare = re.sub(r"\{[^}]*\}|\[\w+\]", "", rule["expr"])
        labels = set().union(*samples.values())
        assert set(re.findall(r"[a-z]\w+", bare)) <= samples.keys() | labels | WORDS_OF_PROMQL


def test_every_alert_says_what_it_means(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_a_template_of_prometheus_is_left_to_prometheus(rules: list[dict[str, Any]]) -> None:
    (stalled,) = [rule for rule in rules if rule["alert"] == "BerthModelStalled"]
    assert stalled["annotations"]["summary"].startswith("{{ $value }}")


def test_the_rule_carries_the_labels_that_select_it(render: Callable[..., Any]) -> None:
    prefix = "monitoring.prometheusRule"
    rule = render(f"{prefix}.enabled=true", f"{prefix}.labels.release=prom").one("PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prom"

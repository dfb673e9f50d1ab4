import asyncio
from importlib.metadata import version

import prometheus_client
import pytest
from prometheus_client.exposition import generate_latest
from virtual_time import in_virtual_time

from berth.api.conditions import Reason
from berth.core.errors import Terminal, Transient
from berth.core.keys import Key
from berth.core.queue import WorkQueue
from berth.core.results import Done, Result
from berth.core.workers import Workers
from berth.plan.resources import SERVICES
from berth.telemetry.metrics import Metrics

LABEL = {"name": "modeldeployment"}


def value(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.mark.parametrize(
    "name",
    [
        "workqueue_depth",
        "workqueue_adds_total",
        "workqueue_queue_duration_seconds_bucket",
        "workqueue_work_duration_seconds_bucket",
        "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds",
        "workqueue_retries_total",
        "controller_runtime_reconcile_errors_total",
        "controller_runtime_reconcile_time_seconds_bucket",
        "leader_election_master_status",
        "berth_event_loop_lag_seconds",
        "berth_build_info",
    ],
)
@in_virtual_time
async def test_dashboards_find_the_names_that_they_know(metrics: Metrics, name: str) -> None:
    metrics.models.watch_queue(WorkQueue[Key]())
    assert f"\n{name}{{" in "\n" + generate_latest(metrics.registry).decode().replace(f"{name} ", f"{name}{{")


@in_virtual_time
async def test_the_state_of_the_queue_is_read_at_each_scrape(metrics: Metrics) -> None:
    queue: WorkQueue[str] = WorkQueue(metrics.models)
    metrics.models.watch_queue(queue)
    queue.add("a")
    queue.add("b")
    assert value(metrics, "workqueue_depth", **LABEL) == 2
    assert value(metrics, "workqueue_adds_total", **LABEL) == 2
    await asyncio.sleep(3)
    await queue.get()
    await asyncio.sleep(2)
    assert value(metrics, "workqueue_depth", **LABEL) == 1
    assert value(metrics, "workqueue_unfinished_work_seconds", **LABEL) == pytest.approx(2)
    assert value(metrics, "workqueue_longest_running_processor_seconds", **LABEL) == pytest.approx(2)
    assert value(metrics, "workqueue_queue_duration_seconds_sum", **LABEL) == pytest.approx(3)


@in_virtual_time
async def test_passes_are_counted_by_their_result(metrics: Metrics) -> None:
    queue: WorkQueue[str] = WorkQueue(metrics.models)
    script: list[Result | Exception] = [Transient("down"), Terminal(Reason.REJECTED, "x"), Done()]

    async def reconcile(_: str) -> Result:
        step = script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def report(_: str, __: Exception) -> None:
        pass

    workers = Workers(queue, reconcile, report, size=1, observer=metrics.models)
    running = asyncio.create_task(workers.run())
    queue.add("a")
    await asyncio.sleep(10)
    queue.add("a")
    await asyncio.sleep(10)
    await workers.stop(grace=0)
    await running

    def passes(result: str) -> float | None:
        return value(
            metrics, "controller_runtime_reconcile_total", controller="modeldeployment", result=result
        )

    assert (passes("error"), passes("success")) == (2, 1)
    controller = {"controller": "modeldeployment"}
    assert value(metrics, "controller_runtime_reconcile_errors_total", **controller) == 2
    assert value(metrics, "controller_runtime_reconcile_time_seconds_count", **controller) == 3
    assert value(metrics, "workqueue_retries_total", **LABEL) == 1
    assert value(metrics, "workqueue_work_duration_seconds_count", **LABEL) == 3


def test_requests_are_counted_by_verb_kind_and_code(metrics: Metrics) -> None:
    metrics.requested("PATCH", SERVICES, "200", 0.01)
    metrics.requested("PATCH", SERVICES, "409", 0.01)
    metrics.requested("PATCH", SERVICES, "200", 0.01)
    labels = {"method": "PATCH", "resource": "services"}
    assert value(metrics, "rest_client_requests_total", code="200", **labels) == 2
    assert value(metrics, "rest_client_requests_total", code="409", **labels) == 1
    assert value(metrics, "rest_client_request_duration_seconds_count", method="PATCH") == 3


def test_gaps_and_lost_news_of_the_watches_are_counted(metrics: Metrics) -> None:
    metrics.restarted(SERVICES)
    metrics.dropped(SERVICES)
    metrics.dropped(SERVICES)
    metrics.refused(SERVICES)
    assert value(metrics, "berth_watch_refused_total", resource="services") == 1
    assert value(metrics, "berth_watch_restarts_total", resource="services") == 1
    assert value(metrics, "berth_watch_dropped_total", resource="services") == 2


def test_conditions_are_counted_by_type_and_status_and_never_by_object(metrics: Metrics) -> None:
    conditions = [("Ready", "True")] * 1000 + [("Ready", "False"), ("Stalled", "True")]
    metrics.watch_conditions(lambda: conditions)
    name = "berth_modeldeployment_conditions"
    assert value(metrics, name, type="Ready", status="True") == 1000
    assert value(metrics, name, type="Ready", status="False") == 1
    conditions.clear()
    assert value(metrics, name, type="Ready", status="True") is None


def test_the_version_that_runs_is_told(metrics: Metrics) -> None:
    assert value(metrics, "berth_build_info", version=version("berth")) == 1


@in_virtual_time
async def test_the_two_queues_are_told_apart(metrics: Metrics) -> None:
    models: WorkQueue[str] = WorkQueue(metrics.models)
    places: WorkQueue[str] = WorkQueue(metrics.places)
    metrics.models.watch_queue(models)
    metrics.places.watch_queue(places)
    places.add("dev")
    metrics.places.reconciled("error", 2)
    place = {"name": "computetarget"}
    assert value(metrics, "workqueue_depth", **LABEL) == 0
    assert value(metrics, "workqueue_depth", **place) == value(metrics, "workqueue_adds_total", **place) == 1
    failed = "controller_runtime_reconcile_errors_total"
    assert value(metrics, failed, controller="computetarget") == 1
    assert value(metrics, failed, controller="modeldeployment") == 0


def test_calls_to_azure_are_counted_by_subscription_operation_and_code(metrics: Metrics) -> None:
    metrics.azure.called("Sub-1", "get", "200", 0.2)
    metrics.azure.called("sub-1", "get", "200", 0.4)
    metrics.azure.called("sub-1", "get", "<error>", 30)
    of = {"subscription": "sub-1", "operation": "get"}
    assert value(metrics, "berth_azure_requests_total", code="200", **of) == 2
    assert value(metrics, "berth_azure_requests_total", code="<error>", **of) == 1
    assert value(metrics, "berth_azure_request_duration_seconds_sum", operation="get") == pytest.approx(30.6)


def test_what_holds_calls_to_azure_back_is_told(metrics: Metrics) -> None:
    metrics.azure.withheld("sub", "rate", 2.5)
    metrics.azure.withheld("sub", "rate", 0.5)
    metrics.azure.circuit("sub", is_open=True)
    metrics.azure.remaining("sub", "reads", 240)
    metrics.azure.remaining("sub", "something-new", 1)
    of = {"subscription": "sub", "cause": "rate"}
    assert value(metrics, "berth_azure_requests_withheld_total", **of) == 2
    assert value(metrics, "berth_azure_wait_seconds_total", **of) == 3
    assert value(metrics, "berth_azure_circuit_open", subscription="sub") == 1
    counters = {"subscription": "sub", "counter": "reads"}
    assert value(metrics, "berth_azure_remaining_requests", **counters) == 240
    assert b"something-new" not in generate_latest(metrics.registry)
    metrics.azure.circuit("sub", is_open=False)
    assert value(metrics, "berth_azure_circuit_open", subscription="sub") == 0


def test_many_subscriptions_make_no_more_series_than_a_few(metrics: Metrics) -> None:
    for number in range(1000):
        metrics.azure.called(f"sub-{number}", "get", "200", 0.1)
    series = [
        line
        for line in generate_latest(metrics.registry).decode().splitlines()
        if line.startswith("berth_azure_requests_total{")
    ]
    assert len(series) == 65
    of = {"operation": "get", "code": "200"}
    assert value(metrics, "berth_azure_requests_total", subscription="other", **of) == 1000 - 64


def test_orphans_are_shown_and_those_that_are_deleted_counted(metrics: Metrics) -> None:
    metrics.sweeps.orphans(3)
    metrics.sweeps.orphan_deleted()
    assert value(metrics, "berth_orphaned_groups") == 3
    assert value(metrics, "berth_orphaned_groups_deleted_total") == 1


def test_nothing_is_registered_globally(metrics: Metrics) -> None:
    metrics.leading.set(1)
    assert b"leader_election" not in generate_latest(prometheus_client.REGISTRY)
    assert value(Metrics(), "leader_election_master_status", **LABEL) == 0

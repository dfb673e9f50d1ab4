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
    metrics.watch_queue(WorkQueue[Key]())
    assert f"\n{name}{{" in "\n" + generate_latest(metrics.registry).decode().replace(f"{name} ", f"{name}{{")


@in_virtual_time
async def test_the_state_of_the_queue_is_read_at_each_scrape(metrics: Metrics) -> None:
    queue: WorkQueue[str] = WorkQueue(metrics)
    metrics.watch_queue(queue)
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
    queue: WorkQueue[str] = WorkQueue(metrics)
    script: list[Result | Exception] = [Transient("down"), Terminal(Reason.REJECTED, "x"), Done()]

    async def reconcile(_: str) -> Result:
        step = script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def report(_: str, __: Exception) -> None:
        pass

    workers = Workers(queue, reconcile, report, size=1, observer=metrics)
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


def test_nothing_is_registered_globally(metrics: Metrics) -> None:
    metrics.leading.set(1)
    assert b"leader_election" not in generate_latest(prometheus_client.REGISTRY)
    assert value(Metrics(), "leader_election_master_status", **LABEL) == 0

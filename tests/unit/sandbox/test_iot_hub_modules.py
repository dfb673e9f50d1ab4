"""The life of a module on an emulated device."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.iot_hub.modules import (
    HEALTHY_SECONDS,
    MOST_RESTARTS,
    NEVER,
    Life,
    ModuleBehaviour,
    RuntimeStatus,
)

BEGIN = 1000.0


def life(policy: str = "always", status: str = "running", **behaviour: float) -> Life:
    spec = {"restartPolicy": policy, "status": status}
    return Life(spec, ModuleBehaviour(**behaviour), BEGIN)  # type: ignore[arg-type]


def statuses(shown: Life, *moments: float) -> list[tuple[str, int]]:
    views = [shown.view(BEGIN + moment) for moment in moments]
    return [(str(view.status), view.restart_count) for view in views]


def test_a_module_that_does_not_end_runs_for_ever() -> None:
    view = life().view(BEGIN + 10**9)

    assert (view.status, view.restart_count, view.until) == (RuntimeStatus.RUNNING, 0, NEVER)
    assert (view.last_start, view.last_exit) == (BEGIN, None)


def test_a_crash_is_followed_by_longer_and_longer_pauses() -> None:
    crashing = life(run_seconds=5, exit_code=1)

    # Runs from 0 to 5, then 10 seconds of pause; from 15 to 20, then 20 seconds; from 40 to 45, then 40.
    assert statuses(crashing, 4, 5, 14, 15, 20, 39, 40, 45, 84, 85) == [
        ("running", 0),
        ("backoff", 0),
        ("backoff", 0),
        ("running", 1),
        ("backoff", 1),
        ("backoff", 1),
        ("running", 2),
        ("backoff", 2),
        ("backoff", 2),
        ("running", 3),
    ]


def test_the_agent_gives_up_after_twenty_restarts() -> None:
    view = life(run_seconds=5, exit_code=137).view(BEGIN + 10**6)

    assert (view.status, view.restart_count) == (RuntimeStatus.FAILED, MOST_RESTARTS)
    assert (view.exit_code, view.until) == (137, NEVER)


def test_restarts_are_forgotten_after_ten_good_minutes() -> None:
    steady = life(run_seconds=HEALTHY_SECONDS + 100, exit_code=1)
    again = HEALTHY_SECONDS + 110

    assert statuses(steady, again, again + HEALTHY_SECONDS) == [("running", 1), ("running", 0)]
    assert steady.view(BEGIN + 10**6).status is not RuntimeStatus.FAILED


@pytest.mark.parametrize(
    ("policy", "exit_code", "status"),
    [
        ("always", 0, "backoff"),
        ("always", 1, "backoff"),
        ("on-failure", 0, "stopped"),
        ("on-failure", 1, "backoff"),
        ("on-unhealthy", 1, "backoff"),
        ("never", 0, "stopped"),
        ("never", 1, "failed"),
    ],
)
def test_the_restart_policy_decides(policy: str, exit_code: int, status: str) -> None:
    view = life(policy, run_seconds=5, exit_code=exit_code).view(BEGIN + 6)

    assert (view.status, view.exit_code, view.last_exit) == (status, exit_code, BEGIN + 5)


def test_a_module_that_is_to_be_stopped_never_runs() -> None:
    assert life(status="stopped").view(BEGIN + 5).status is RuntimeStatus.STOPPED


@given(
    st.floats(0.1, 2000),
    st.integers(0, 255),
    st.sampled_from(["always", "never", "on-failure"]),
    st.floats(0, 20_000),
)
def test_a_view_stays_as_it_is_until_it_says(seconds: float, code: int, policy: str, later: float) -> None:
    shown = life(policy, run_seconds=seconds, exit_code=code)
    view = shown.view(BEGIN + later)

    assert view.until > BEGIN + later
    between = min(view.until, BEGIN + later + 10_000)
    middle = (BEGIN + later + between) / 2
    if middle < view.until:
        assert shown.view(middle) == view
    if view.until != NEVER:
        assert shown.view(view.until) != view
        assert shown.view(view.until).changes >= view.changes

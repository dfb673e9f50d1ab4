from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.backing import ContainerState, Event, InstanceView, Observation, State
from berth_sandbox.azure.group import (
    Deletion,
    Failure,
    Fate,
    Group,
    Operation,
    Stuck,
    instance_state,
    is_gone,
    is_terminated,
    is_transitioning,
    progressed,
    provisioning_state,
)
from berth_sandbox.azure.names import GroupId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = Observation()
FATES = st.one_of(
    st.none(),
    st.just(Stuck()),
    st.builds(Failure, st.just("Code"), st.just("text"), st.floats(0, 4000)),
    st.builds(Deletion, st.floats(0, 4000).map(lambda seconds: NOW + timedelta(seconds=seconds))),
)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def group(fate: Fate = None, restart_policy: str = "Always", init: tuple[str, ...] = ()) -> Group:
    properties = {
        "containers": [{"name": "a"}, {"name": "b"}],
        "initContainers": [{"name": name} for name in init],
        "restartPolicy": restart_policy,
    }
    operation = Operation("1", NOW, fate)
    return Group(GroupId("sub", "rg", "iris"), "eastus", {"properties": properties}, operation)


def view(state: State, exit_code: int | None = None, started: float | None = 10) -> InstanceView:
    return InstanceView(
        ContainerState(state, exit_code=exit_code),
        first_started=None if started is None else after(started),
        events=(Event("Pulling", "", NOW, NOW),),
    )


def seen(a: InstanceView, b: InstanceView, **others: InstanceView) -> Observation:
    return Observation({"a": a, "b": b, **others})


RUNNING = view(State.RUNNING)
WAITING = view(State.WAITING, started=None)
ENDED = view(State.TERMINATED, 0)
FAILED = view(State.TERMINATED, 1)


@pytest.mark.parametrize(
    ("a", "b", "policy", "state"),
    [
        (RUNNING, RUNNING, "Always", "Running"),
        (RUNNING, WAITING, "Always", "Pending"),
        (RUNNING, ENDED, "Never", "Running"),
        (RUNNING, FAILED, "Never", "Running"),
        (ENDED, ENDED, "Never", "Succeeded"),
        (ENDED, FAILED, "Never", "Failed"),
        (ENDED, ENDED, "OnFailure", "Succeeded"),
        (view(State.WAITING), RUNNING, "Always", "Running"),
    ],
    ids=[
        "all run",
        "one has not started",
        "one has ended",
        "one has failed",
        "all ended",
        "all ended, one badly",
        "all ended on failure only",
        "one is backing off",
    ],
)
def test_the_state_of_a_group_follows_from_its_containers(
    a: InstanceView, b: InstanceView, policy: str, state: str
) -> None:
    assert instance_state(group(restart_policy=policy), seen(a, b)) == state
    ends = is_terminated(group(restart_policy=policy), seen(a, b))
    assert ends == (state in {"Succeeded", "Failed"})


def test_an_init_container_that_failed_for_good_fails_the_group() -> None:
    asked = group(restart_policy="Never", init=("fetch",))

    assert instance_state(asked, Observation({"fetch": FAILED})) == "Failed"


def test_provisioning_goes_on_until_the_last_container_has_started() -> None:
    asked = group()
    assert provisioning_state(progressed(asked, NOTHING, after(1)), NOTHING) == "Pending"
    half = seen(RUNNING, WAITING)
    assert provisioning_state(progressed(asked, half, after(15)), half) == "Creating"
    whole = seen(RUNNING, view(State.RUNNING, started=14))

    done = progressed(asked, whole, after(100))

    assert provisioning_state(done, whole) == "Succeeded"
    assert done.operation.ended == after(14)


def test_provisioning_stays_what_it_was_when_containers_crash_later() -> None:
    done = progressed(group(), seen(RUNNING, RUNNING), after(20))

    assert provisioning_state(progressed(done, NOTHING, after(4000)), NOTHING) == "Succeeded"


def test_provisioning_times_out_after_half_an_hour() -> None:
    late = progressed(group(), seen(RUNNING, WAITING), after(1800))

    assert late.operation.failure
    assert late.operation.ended == after(1800)
    assert provisioning_state(late, NOTHING) == "Failed"


def test_what_is_stuck_does_not_end_though_containers_run() -> None:
    stuck = progressed(group(Stuck()), seen(RUNNING, RUNNING), after(1799))

    assert stuck.operation.ended is None


def test_a_group_is_there_until_its_deletion_ends() -> None:
    going = group(Deletion(after(60)))

    assert provisioning_state(going, seen(RUNNING, RUNNING)) == "Succeeded"
    assert is_transitioning(going, after(59))
    assert not is_gone(going, after(59))
    assert is_gone(going, after(60))


def test_a_group_settles_for_some_seconds_after_an_operation_began() -> None:
    done = progressed(group(), seen(view(State.RUNNING, started=1), view(State.RUNNING, started=1)), after(2))

    assert is_transitioning(done, after(9))
    assert not is_transitioning(done, after(10))


@given(FATES, st.floats(0, 5000), st.floats(0, 5000), st.booleans())
def test_an_operation_that_has_ended_stays_as_it_is(
    fate: Fate, first: float, second: float, running: bool
) -> None:
    observed = seen(RUNNING, RUNNING) if running else NOTHING
    early, late = sorted((first, second))
    once = progressed(group(fate), observed, after(early))
    twice = progressed(once, NOTHING, after(late))

    if once.operation.ended:
        assert twice == once
    assert progressed(twice, observed, after(late)) == progressed(
        progressed(twice, observed, after(late)), observed, after(late)
    )


@given(FATES, st.floats(1800, 5000))
def test_every_operation_ends(fate: Fate, seconds: float) -> None:
    ended = progressed(group(fate), NOTHING, after(seconds))

    bound_to_wait = isinstance(fate, Failure | Deletion) and ended.operation.ended is None
    assert ended.operation.ended or bound_to_wait


def test_a_stopped_group_says_so_whatever_its_containers_do() -> None:
    assert instance_state(replace(group(), stopped=True), seen(RUNNING, RUNNING)) == "Stopped"

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.backing import Container, InaccessibleImageError, Launch, State
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.simulation import Behaviour, Life, Simulation, reference

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = GroupId("sub", "rg", "iris")
SECONDS = st.floats(0, 20_000).map(lambda value: timedelta(seconds=value))
BEHAVIOURS = st.builds(
    Behaviour,
    pull_seconds=st.floats(0, 60),
    start_seconds=st.floats(0, 60),
    run_seconds=st.none() | st.floats(0, 600),
    exit_code=st.sampled_from([0, 1, 137]),
    log=st.just(("line",)),
    log_interval_seconds=st.none() | st.floats(5, 60),
    pull_error=st.none() | st.just("manifest unknown"),
)
LIVES = st.builds(
    Life,
    image=st.just("scoring:1"),
    behaviour=BEHAVIOURS,
    restart_policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    begin=st.just(BEGIN),
)


def life(restart_policy: str = "Always", **behaviour: object) -> Life:
    return Life("scoring:1", Behaviour(**behaviour), restart_policy, BEGIN)  # type: ignore[arg-type]


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


@given(LIVES, SECONDS, SECONDS)
def test_what_happened_is_never_undone(life: Life, first: timedelta, second: timedelta) -> None:
    early, late = sorted((BEGIN + first, BEGIN + second))
    before, now = life.view(early), life.view(late)

    assert before.restart_count <= now.restart_count
    assert before.first_started in {None, now.first_started}
    assert [event.name for event in before.events] == [
        event.name for event in now.events[: len(before.events)]
    ] or now.restart_count > before.restart_count


@given(LIVES, SECONDS)
def test_a_view_agrees_with_itself(life: Life, passed: timedelta) -> None:
    now = BEGIN + passed
    view = life.view(now)

    assert view.current_state
    is_over = view.current_state.state == State.TERMINATED
    assert (view.current_state.exit_code is not None) == is_over
    assert all(BEGIN <= event.first <= event.last <= now for event in view.events)
    assert view.restart_count == 0 or life.restarts
    assert not (is_over and life.restarts)
    assert all(line.time <= now for line in life.log(now))


@given(LIVES, st.floats(0.001, 1000))
def test_nothing_is_seen_before_the_beginning(life: Life, seconds: float) -> None:
    assert life.view(BEGIN - timedelta(seconds=seconds)).current_state is None


def test_pauses_between_restarts_double_up_to_five_minutes() -> None:
    runs = life(pull_seconds=0, start_seconds=0, run_seconds=0).runs(after(3000))

    starts = [(run.start - BEGIN).total_seconds() for run in runs]
    pauses = [late - early for early, late in pairwise(starts)]
    assert pauses[:6] == [10, 20, 40, 80, 160, 300]
    assert set(pauses[6:]) == {300}


@pytest.mark.parametrize(
    ("policy", "exit_code", "restarts"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 1, False),
    ],
)
def test_the_restart_policy_decides_who_starts_again(policy: str, exit_code: int, restarts: bool) -> None:
    view = life(policy, run_seconds=1, exit_code=exit_code).view(after(1000))

    assert (view.restart_count > 0) == restarts


def test_a_crash_is_the_previous_state_of_what_waits() -> None:
    view = life(pull_seconds=0, start_seconds=0, run_seconds=5, exit_code=137).view(after(6))

    assert view.current_state
    assert view.current_state.detail_status.startswith("CrashLoopBackOff")
    assert view.previous_state
    assert (view.previous_state.exit_code, view.previous_state.detail_status) == (137, "OOMKilled")
    assert [event.name for event in view.events] == ["Pulling", "Pulled", "Started", "BackOff"]


def test_a_log_starts_anew_with_each_run() -> None:
    crashing = life(
        pull_seconds=0, start_seconds=0, run_seconds=4, exit_code=1, log=("a",), log_interval_seconds=1
    )

    assert len(crashing.log(after(3))) == 4
    assert len(crashing.log(after(9))) == 5
    assert len(crashing.log(after(14))) == 1


@pytest.mark.parametrize(
    ("image", "plain"),
    [
        ("alpine:latest", "alpine"),
        ("registry.example:5000/team/scoring:1", "registry.example:5000/team/scoring"),
        ("scoring@sha256:0", "scoring"),
    ],
)
def test_an_image_is_told_by_its_digest(image: str, plain: str) -> None:
    assert reference(image).rpartition("@sha256:")[0] == plain


def launched(*init_containers: Container, restart_policy: str = "Always") -> Launch:
    return Launch(GROUP, restart_policy, (Container("scoring", "scoring:1"),), init_containers)


async def test_a_new_start_counts_on_and_has_another_address() -> None:
    simulation = Simulation()
    await simulation.start(launched(), BEGIN)
    first = await simulation.observe(GROUP, after(100))
    await simulation.start(launched(), after(100))
    second = await simulation.observe(GROUP, after(200))

    assert first.address != second.address
    assert [seen.containers["scoring"].restart_count for seen in (first, second)] == [0, 1]


async def test_a_failed_init_container_holds_the_others_back() -> None:
    simulation = Simulation({"fetch:1": Behaviour(run_seconds=1, exit_code=1)})
    await simulation.start(launched(Container("fetch", "fetch:1"), restart_policy="Never"), BEGIN)

    seen = await simulation.observe(GROUP, after(10_000))

    assert "scoring" not in seen.containers
    failed = seen.containers["fetch"].current_state
    assert failed
    assert failed.exit_code == 1


async def test_init_containers_go_one_by_one() -> None:
    simulation = Simulation()
    await simulation.start(launched(Container("first", "a:1"), Container("second", "b:1")), BEGIN)

    assert "second" not in (await simulation.observe(GROUP, after(10))).containers
    seen = (await simulation.observe(GROUP, after(100))).containers
    starts = [seen[name].first_started for name in ("first", "second", "scoring")]
    assert all(starts)
    assert starts == sorted(start for start in starts if start)


async def test_what_was_stopped_ended_when_it_was() -> None:
    simulation = Simulation()
    await simulation.start(launched(), BEGIN)
    await simulation.stop(GROUP, after(50))

    seen = await simulation.observe(GROUP, after(500))

    state = seen.containers["scoring"].current_state
    assert state
    assert (state.state, state.finish_time) == (State.TERMINATED, after(50))
    assert seen.address is None


async def test_an_image_changes_its_behaviour_for_later_starts_only() -> None:
    simulation = Simulation()
    await simulation.start(launched(), BEGIN)
    simulation.behaviours["scoring:1"] = Behaviour(accessible=False)

    assert (await simulation.observe(GROUP, after(100))).containers["scoring"].first_started
    with pytest.raises(InaccessibleImageError):
        await simulation.start(launched(), after(100))


async def test_of_what_was_removed_nothing_is_known() -> None:
    simulation = Simulation()
    await simulation.start(launched(), BEGIN)
    await simulation.remove(GROUP)

    assert (await simulation.observe(GROUP, after(100))).containers == {}
    assert await simulation.logs(GROUP, "scoring", after(100)) == []

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.api.conditions import ABNORMAL_TRUE, Condition, ConditionStatus, ConditionType, Reason, merge

BEFORE, NOW = "2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z"
TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


def condition(
    kind: str = ConditionType.READY,
    status: ConditionStatus = TRUE,
    reason: str = Reason.READY,
    message: str = "The current spec serves",
    since: str = BEFORE,
) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=since,
        observed_generation=1,
    )


conditions = st.lists(
    st.builds(
        condition, st.sampled_from([*ConditionType, "QuotaAvailable"]), st.sampled_from(ConditionStatus)
    ),
    unique_by=lambda each: each.type,
)


def test_the_transition_time_stays_while_the_status_does() -> None:
    (merged,) = merge([condition()], [condition(message="Still serving", since=NOW)], NOW)
    assert (merged.last_transition_time, merged.message) == (BEFORE, "Still serving")


def test_the_transition_time_moves_with_the_status() -> None:
    (merged,) = merge([condition()], [condition(status=FALSE, reason=Reason.CONTAINER_FAILED)], NOW)
    assert (merged.last_transition_time, merged.status) == (NOW, FALSE)


@pytest.mark.parametrize(
    ("kind", "status", "since"),
    [
        (ConditionType.RECONCILING, TRUE, NOW),
        (ConditionType.STALLED, TRUE, NOW),
        (ConditionType.READY, FALSE, NOW),
        (ConditionType.READY, TRUE, BEFORE),
    ],
)
def test_what_is_not_well_starts_anew_with_each_generation(
    kind: ConditionType, status: ConditionStatus, since: str
) -> None:
    next_one = condition(kind, status).model_copy(update={"observed_generation": 2})
    (merged,) = merge([condition(kind, status)], [next_one], NOW)
    assert merged.last_transition_time == since


def test_a_first_condition_begins_now() -> None:
    (merged,) = merge([], [condition()], NOW)
    assert merged.last_transition_time == NOW


def test_what_is_no_longer_said_is_gone() -> None:
    assert [c.type for c in merge([condition("QuotaAvailable")], [condition()], NOW)] == ["Ready"]


@given(conditions, conditions)
def test_reconciling_and_stalled_are_there_only_when_true(old: list[Condition], new: list[Condition]) -> None:
    merged = merge(old, new, NOW)
    assert all(c.status is TRUE for c in merged if c.type in ABNORMAL_TRUE)
    normal = {c.type for c in new if c.type not in ABNORMAL_TRUE}
    assert normal <= {c.type for c in merged} <= {c.type for c in new}


@given(conditions, conditions)
def test_merging_again_changes_nothing(old: list[Condition], new: list[Condition]) -> None:
    once = merge(old, new, NOW)
    assert merge(once, new, "2026-11-21T13:00:00Z") == once


@given(conditions.flatmap(lambda some: st.tuples(st.just(some), st.permutations(some))))
def test_the_order_of_telling_does_not_matter(told: tuple[list[Condition], list[Condition]]) -> None:
    one, other = told
    assert merge([], one, NOW) == merge([], other, NOW)


def test_ready_comes_first() -> None:
    merged = merge([], [condition("QuotaAvailable"), condition(ConditionType.STALLED), condition()], NOW)
    assert [c.type for c in merged] == ["Ready", "Stalled", "QuotaAvailable"]

"""Queries and conditions: what goes into one stays where it was put."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.core.errors import Terminal
from berth.plan import edge_query
from berth_sandbox.azure.iot_hub.query import parser
from berth_sandbox.azure.iot_hub.query.tokens import Kind, QueryError, tokens

DEVICE_IDS = st.text(st.sampled_from("abcXYZ0189-:.+%_#*?!(),=@$'"), min_size=1, max_size=40)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
NASTY = st.text(st.sampled_from("ab=()'\" \\ORANDtags.x1*-"), max_size=40)
OUTSIDE, INSIDE = (
    {"deviceId": "outside", "tags": {"site": "b"}},
    {"deviceId": "inside", "tags": {"site": "a"}},
)


def reads(condition: str) -> bool:
    try:
        parser.condition(condition)
    except QueryError:
        return False
    return True


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_a_text_means_the_value_that_it_was_made_from(value: str) -> None:
    first, last = tokens(edge_query.text(value))
    assert (first.kind, first.text, last.kind) == (Kind.STRING, value, Kind.END)


@given(DEVICE_IDS)
def test_one_device_is_chosen_by_its_id_and_no_other(device_id: str) -> None:
    condition = parser.condition(edge_query.device(device_id))
    assert condition.holds({"deviceId": device_id}) is True
    assert condition.holds({"deviceId": f"{device_id}x"}) is False


@given(NASTY)
def test_a_condition_between_parentheses_reaches_no_further(stage: str) -> None:
    """Whatever a stage says, it never chooses a device that the deployment is not for."""
    try:
        joined = edge_query.both("tags.site = 'a'", stage)
    except Terminal:
        return
    if reads(joined):
        assert parser.condition(joined).holds(OUTSIDE) is not True


@given(st.lists(NASTY, min_size=2, max_size=3))
def test_alternatives_stay_apart(stages: list[str]) -> None:
    try:
        joined = edge_query.both("tags.site = 'a'", edge_query.either(stages))
    except Terminal:
        return
    if reads(joined):
        assert parser.condition(joined).holds(OUTSIDE) is not True


@pytest.mark.parametrize(
    "condition",
    ["tags.a='b", "tags.a='O'Hara'", "(tags.a='b'", "tags.a='b')", "tags.a='b') OR (tags.c='d'", "'\\'"],
)
def test_what_is_not_closed_is_refused(condition: str) -> None:
    with pytest.raises(Terminal, match="malformed"):
        edge_query.check_condition(condition)


@pytest.mark.parametrize("condition", ["*", "tags.a='('", r"tags.a='\'('", "(tags.a='b') OR (tags.c=1)"])
def test_what_is_closed_is_taken(condition: str) -> None:
    assert edge_query.check_condition(condition) == condition


@given(st.sets(DEVICE_IDS, max_size=30), st.integers(1, 100))
def test_a_share_is_as_large_as_it_says(ids: set[str], percent: int) -> None:
    condition = parser.condition(edge_query.share(ids, percent))
    chosen = [each for each in ids if condition.holds({"deviceId": each}) is True]
    assert len(chosen) == -(-len(ids) * percent // 100)


@given(st.sets(DEVICE_IDS, min_size=1, max_size=30), st.integers(1, 100), st.integers(1, 100))
def test_a_larger_share_holds_the_smaller_one(ids: set[str], one: int, other: int) -> None:
    small, large = (
        {each for each in ids if parser.condition(edge_query.share(ids, percent)).holds({"deviceId": each})}
        for percent in sorted((one, other))
    )
    assert small <= large


@given(st.lists(DEVICE_IDS, min_size=1, max_size=20, unique=True))
def test_a_share_does_not_depend_on_the_order(ids: list[str]) -> None:
    assert edge_query.share(ids, 40) == edge_query.share(sorted(ids), 40)


def test_of_more_devices_than_are_read_no_share_is_chosen() -> None:
    everyone = [str(number) for number in range(edge_query.MOST_RANKED + 1)]
    assert edge_query.few_enough(everyone[1:]) == everyone[1:]
    with pytest.raises(Terminal, match="targetCondition on tags"):
        edge_query.few_enough(everyone)


def test_a_condition_that_no_hub_takes_is_refused_with_a_remedy() -> None:
    everyone = [f"device-{number:05}" for number in range(1000)]
    with pytest.raises(Terminal, match="targetCondition on tags"):
        edge_query.short_enough(edge_query.share(everyone, 50))


@given(NAMES, NAMES, st.from_regex("[0-9a-f]{12}", fullmatch=True))
def test_every_query_can_be_read(deployment: str, module: str, version: str) -> None:
    for query in (
        edge_query.targeted("tags.site = 'a'"),
        edge_query.targeted("*"),
        edge_query.applied(deployment),
        edge_query.applied_twins(deployment),
        edge_query.running(deployment, module, version),
        edge_query.failed(deployment, module, version),
        edge_query.failing_twins(deployment, module, version),
        edge_query.offline(deployment),
    ):
        assert parser.query(query)


@pytest.mark.parametrize("name", ["a]] OR 1=1", "a b", "a'b", ""])
def test_a_name_that_could_end_its_brackets_is_refused(name: str) -> None:
    with pytest.raises(Terminal):
        edge_query.bracketed(name)

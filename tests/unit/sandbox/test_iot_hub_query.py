"""The query language of the emulated hub."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.iot_hub.configuration import condition_error, target_condition
from berth_sandbox.azure.iot_hub.query.parser import condition, query
from berth_sandbox.azure.iot_hub.query.tokens import LONGEST, QueryError, quoted

DEVICE: dict[str, Any] = {
    "deviceId": "press-1",
    "tags": {
        "site": "plant-1",
        "line": 4,
        "weight": 2.5,
        "spare": False,
        "owner": None,
        "place": {"hall": "B", "my-row": 7},
        "names": ["a"],
    },
    "properties": {"reported": {"model": "k4", "$version": 3}, "desired": {"$version": 3}},
    "capabilities": {"iotEdge": True},
    "configurations": {"iris-1": {"status": "Applied"}},
}

TRUE = [
    "tags.site = 'plant-1'",
    'tags.site = "plant-1"',
    "TAGS_ARE_NOT = 1 OR tags.site = 'plant-1'",
    "tags.line = 4",
    "tags.line = 4.0",
    "tags.line = 0x4",
    "tags.line > 3 and tags.line < 5",
    "tags.line >= 4 AND tags.line <= 4",
    "tags.line != 5",
    "tags.line <> 5",
    "tags.weight = 2.5",
    "tags.line > -1",
    "tags.spare = false",
    "tags.owner = null",
    "tags.place.hall = 'B'",
    "tags.place.my-row = 7",
    "tags.site = 'plant-1' OR tags.line = 9 AND tags.line = 8",
    "(tags.site = 'plant-1' OR tags.line = 9) AND tags.line = 4",
    "NOT tags.line = 5",
    "NOT (tags.line = 5 OR tags.line = 6)",
    "not not tags.line = 4",
    "tags.site IN ['plant-1', 'plant-2']",
    "tags.site in ['plant-1']",
    "tags.site NIN ['plant-2']",
    "tags.site NOT IN ['plant-2']",
    "tags.line IN [1, 4]",
    "IS_DEFINED(tags.site)",
    "is_defined(tags.owner)",
    "NOT IS_DEFINED(tags.colour)",
    "IS_NULL(tags.owner)",
    "IS_NUMBER(tags.line) AND IS_STRING(tags.site) AND IS_BOOL(tags.spare)",
    "IS_ARRAY(tags.names) AND IS_OBJECT(tags.place) AND IS_PRIMITIVE(tags.site)",
    "STARTS_WITH(deviceId, 'press')",
    "ENDS_WITH(deviceId, '-1')",
    "CONTAINS(deviceId, 'ess')",
    "capabilities.iotEdge = true",
    "configurations.[[iris-1]].status = 'Applied'",
    "properties.desired.$version = properties.reported.$version",
    "tags.site = 'plant-1' OR tags.colour = 'red'",
    "NOT (tags.spare = true AND tags.colour = 'red')",
]
NOT_TRUE = [
    "tags.site = 'Plant-1'",
    "tags.site = 'plant-1 '",
    "tags.line = '4'",
    "tags.spare = 0",
    "tags.line = true",
    "tags.colour = 'red'",
    "tags.colour != 'red'",
    "NOT tags.colour = 'red'",
    "tags.colour IN ['red']",
    "tags.colour NIN ['red']",
    "tags.site.name = 'x'",
    "tags.site > 3",
    "tags.spare > false",
    "tags.line IN ['4']",
    "tags.line IN []",
    "tags.site",
    "NOT tags.site",
    "STARTS_WITH(tags.line, '4')",
    "tags.site = 'plant-1' AND tags.colour = 'red'",
]
BROKEN = [
    "",
    "tags.site = 'plant-1",
    "tags.site = plant-1'",
    "tags.site = ",
    "= 'plant-1'",
    "tags.site == 'plant-1'",
    "tags.site = 'a' tags.site = 'b'",
    "tags.site = 'a' AND",
    "AND tags.site = 'a'",
    "tags.site IN 'a'",
    "tags.site IN ['a'",
    "tags.site IN ['a',]",
    "tags..site = 'a'",
    "tags. = 'a'",
    "(tags.site = 'a'",
    "tags.site = 'a')",
    "tags.site = 'it's'",
    "tags.site = 'a''b'",
    "tags.site = 'a\\x'",
    "tags.site = 'a\\'",
    "tags.site = 'a'; DROP TABLE devices",
    "tags.site = 'a' -- more",
    "tags.site LIKE 'a%'",
    "tags.line = 4abc",
    "tags.line + 1 = 5",
    "UPPER(tags.site) = 'A'",
    "IS_DEFINED()",
    "IS_DEFINED(tags.a, tags.b)",
    "STARTS_WITH(tags.a)",
    "tags.größe = 1",
    "SELECT * FROM devices",
    "(" * 500 + "tags.a = 1" + ")" * 500,
    "NOT " * 500 + "tags.a = 1",
    f"tags.a = '{'x' * LONGEST}'",
]


@pytest.mark.parametrize("text", TRUE)
def test_conditions_that_hold(text: str) -> None:
    assert condition(text).holds(DEVICE)


@pytest.mark.parametrize("text", NOT_TRUE)
def test_conditions_that_do_not_hold(text: str) -> None:
    assert not condition(text).holds(DEVICE)


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(QueryError):
        condition(text)


@pytest.mark.parametrize("word", ["OR", "AND"])
def test_a_condition_can_name_hundreds_of_devices(word: str) -> None:
    names = [f"press-{number}" for number in range(600)]
    read = condition(f" {word} ".join(f"deviceId='{name}'" for name in names))

    assert read.holds({"deviceId": "press-599"}) is (word == "OR")
    assert not read.holds({"deviceId": "press-600"})


@given(st.text())
def test_a_quoted_text_means_that_text_and_nothing_else(text: str) -> None:
    read = condition(f"tags.name = {quoted(text)}")

    assert read.paths == {("tags", "name")}
    assert read.operators == {"="}
    assert read.holds({"tags": {"name": text}})
    assert not read.holds({"tags": {"name": f"{text}x"}})


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(QueryError):
        assert condition(text).holds(DEVICE) in {True, False}


WORDS = ["tags.site", "'plant-1'", "=", "AND", "OR", "NOT", "IN", "[", "]", "(", ")", ",", "4", "IS_DEFINED"]


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    with suppress(QueryError):
        assert condition(" ".join(words)).holds(DEVICE) in {True, False}


VALUES = [True, False, None]


@pytest.mark.parametrize("one", VALUES)
@pytest.mark.parametrize("other", VALUES)
def test_what_is_undefined_is_neither_true_nor_false(one: bool | None, other: bool | None) -> None:
    row = {name: value for name, value in (("a", one), ("b", other)) if value is not None}

    def worth(text: str) -> Any:
        value = condition(text).expression(row)
        return value if isinstance(value, bool) else None

    both = [one, other]
    assert worth("a = true AND b = true") is (False if False in both else (None if None in both else True))
    assert worth("a = true OR b = true") is (True if True in both else (None if None in both else False))
    assert worth("NOT a = true") is (None if one is None else not one)


class TestQueries:
    @pytest.mark.parametrize(
        ("text", "collection", "columns"),
        [
            ("SELECT * FROM devices", "devices", []),
            ("select deviceId from devices", "devices", ["deviceId"]),
            ("SELECT deviceId, tags.site AS site FROM devices", "devices", ["deviceId", "site"]),
            (
                "SELECT moduleId FROM devices.modules WHERE moduleId = '$edgeAgent'",
                "devices.modules",
                ["moduleId"],
            ),
            ("SELECT COUNT() AS n FROM devices", "devices", ["n"]),
        ],
    )
    def test_what_is_asked_for(self, text: str, collection: str, columns: list[str]) -> None:
        read = query(text)

        assert (read.collection, [column.name for column in read.columns]) == (collection, columns)

    def test_a_count_is_no_column(self) -> None:
        assert query("SELECT COUNT() FROM devices").counts
        assert not query("SELECT deviceId FROM devices").counts

    @pytest.mark.parametrize(
        "text",
        [
            "select *",
            "SELECT FROM devices",
            "SELECT * FROM",
            "SELECT * FROM jobs",
            "SELECT * FROM devices WHERE",
            "SELECT * FROM devices; SELECT * FROM devices",
            "SELECT *, deviceId FROM devices",
            "DELETE FROM devices",
            "SELECT COUNT( FROM devices",
        ],
    )
    def test_what_is_no_query(self, text: str) -> None:
        with pytest.raises(QueryError):
            query(text)


class TestTargetConditions:
    def test_nothing_means_nobody_and_a_star_everybody(self) -> None:
        assert not target_condition("").holds(DEVICE)
        assert not target_condition("  ").holds(DEVICE)
        assert target_condition("*").holds(DEVICE)

    @pytest.mark.parametrize(
        "text", ["*", "", "deviceId = 'a'", "tags.a = 1 AND properties.reported.b = 2", "IS_DEFINED(tags.a)"]
    )
    def test_what_a_condition_may_look_at(self, text: str) -> None:
        assert condition_error(text) is None

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("deviceId = press", "press"),
            ("properties.desired.a = 1", "properties.desired.a"),
            ("properties.reportedly = 1", "properties.reportedly"),
            ("tagsite = 1", "tagsite"),
            ("capabilities.iotEdge = true", "capabilities.iotEdge"),
        ],
    )
    def test_what_it_may_not_look_at_is_named(self, text: str, name: str) -> None:
        assert str(condition_error(text)).endswith(f"It contains: {name}")

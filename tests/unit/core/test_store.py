from dataclasses import dataclass

from berth.core.keys import Key
from berth.core.store import Store

KEY = Key("demo", "iris")


@dataclass(frozen=True)
class Value:
    resource_version: int
    uid: str = "first"


def store_of(**values: Value) -> Store[str, Value]:
    store: Store[str, Value] = Store()
    for key, value in values.items():
        store.put(key, value)
    return store


def test_what_was_put_can_be_got() -> None:
    store: Store[Key, Value] = Store()
    assert store.put(KEY, Value(1))
    assert store.get(KEY) == Value(1)
    assert (len(store), list(store)) == (1, [KEY])
    assert store.get(Key("demo", "other")) is None


def test_an_echo_that_is_older_than_the_answer_to_our_write_changes_nothing() -> None:
    store = store_of(a=Value(7))
    assert not store.put("a", Value(5))
    assert store.get("a") == Value(7)


def test_versions_are_compared_as_numbers() -> None:
    store = store_of(a=Value(9))
    assert store.put("a", Value(10))


def test_a_deleted_object_is_gone_and_told() -> None:
    store = store_of(a=Value(1))
    assert store.delete("a", "first", 4) == Value(1)
    assert store.get("a") is None
    assert store.delete("a", "first", 4) is None


def test_a_late_answer_does_not_bring_a_deleted_object_back() -> None:
    store = store_of(a=Value(1))
    store.delete("a", "first", 4)
    assert not store.put("a", Value(2))
    assert store.get("a") is None


def test_an_object_that_was_created_anew_under_the_same_name_takes_the_place() -> None:
    store = store_of(a=Value(1))
    store.delete("a", "first", 4)
    assert store.put("a", Value(5, uid="second"))
    assert store.get("a") == Value(5, uid="second")


def test_an_object_that_got_its_label_back_is_known_again() -> None:
    store = store_of(a=Value(1))
    store.delete("a", "first", 4)
    assert store.put("a", Value(5))
    assert store.get("a") == Value(5)


def test_an_object_that_was_read_after_it_lost_its_label_is_known() -> None:
    store = store_of(a=Value(1))
    store.delete("a", "first", 4)
    assert store.put("a", Value(4))


def test_the_late_news_of_a_lost_label_spares_the_object_that_has_it_back() -> None:
    store = store_of(a=Value(5))
    assert store.delete("a", "first", 4) is None
    assert store.get("a") == Value(5)


def test_the_late_news_of_the_deletion_spares_the_new_object() -> None:
    store = store_of(a=Value(1))
    store.put("a", Value(5, uid="second"))
    assert store.delete("a", "first", 4) is None
    assert store.get("a") == Value(5, uid="second")


def test_a_list_removes_what_vanished_while_nobody_watched() -> None:
    store = store_of(a=Value(1), b=Value(2, uid="b"))
    assert store.replace({"a": "first"}, 9) == {"b": Value(2, uid="b")}
    assert list(store) == ["a"]


def test_a_list_removes_the_predecessor_of_an_object_that_was_created_anew() -> None:
    store = store_of(a=Value(1))
    assert store.replace({"a": "second"}, 9) == {"a": Value(1)}


def test_a_list_spares_what_was_created_after_it() -> None:
    store = store_of(a=Value(10))
    assert store.replace({}, 9) == {}
    assert list(store) == ["a"]


def test_a_list_of_one_scope_spares_the_others() -> None:
    store = store_of(a1=Value(1), b1=Value(2, uid="b"))
    assert set(store.replace({}, 9, lambda key: key.startswith("a"))) == {"a1"}
    assert list(store) == ["b1"]


def test_deletions_are_not_remembered_without_bound() -> None:
    store: Store[str, Value] = Store()
    for number in range(10_000):
        store.put("a", Value(number, uid=str(number)))
        store.delete("a", str(number), number)
    assert len(store._left) < 5_000

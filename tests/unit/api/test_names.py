import re

from hypothesis import given
from hypothesis import strategies as st

from berth.api.names import MAX_LENGTH, child_name

dns_labels = st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@given(dns_labels, st.sampled_from(["keys", "scoring", ""]))
def test_a_child_of_a_valid_name_has_a_valid_name(owner: str, part: str) -> None:
    name = child_name(*filter(None, (owner, part)))
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)


@given(dns_labels, dns_labels)
def test_children_of_different_owners_never_share_a_name(one: str, other: str) -> None:
    assert (child_name(one, "keys") == child_name(other, "keys")) == (one == other)


def test_a_short_name_stays_readable() -> None:
    assert child_name("iris", "keys") == "iris-keys"


def test_a_name_of_the_greatest_length_is_not_cut() -> None:
    assert child_name("a" * MAX_LENGTH) == "a" * MAX_LENGTH


def test_a_name_that_was_cut_tells_its_beginning_and_is_the_same_each_time() -> None:
    assert child_name("a" * 60, "keys") == f"{'a' * 54}-183a21ab"


def test_the_cut_leaves_no_double_dash() -> None:
    assert "--" not in child_name(f"{'a' * 53}-{'b' * 9}", "keys")

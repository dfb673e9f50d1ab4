"""Which container groups nobody wants, and when they may be deleted."""

from typing import Any

import pytest
from container_groups import CLUSTER, PLACE, aci_spec, desired, place, shown
from deployments import subject
from hypothesis import given
from hypothesis import strategies as st

from berth.plan.group_names import Owner, tags_of
from berth.plan.group_retention import is_abandoned, is_retained, retained_tags
from berth.plan.orphans import Suspect, due, is_wanted, suspects, unwanted
from berth.plan.subject import Subject

HERE = place()
ELSEWHERE = place(resourceGroup="others")
SUBJECT = subject(aci_spec())
OWNER = Owner.of(SUBJECT, CLUSTER)
SUCCESSOR = Owner(CLUSTER, OWNER.namespace, OWNER.name, "a later uid")
READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 1}


def ready(fields: dict[str, Any]) -> Subject:
    told = READY | {"lastTransitionTime": "2026-11-01T12:00:30Z"}
    return subject(fields, status={"observedGeneration": 1, "conditions": [told]})


@pytest.mark.parametrize(
    ("serving", "serves_at", "answer"),
    [
        (None, None, False),
        (SUBJECT, HERE, True),
        (SUBJECT, place(resourceGroup=PLACE["resourceGroup"].upper()), True),
        (SUBJECT, None, True),
        (SUBJECT, ELSEWHERE, True),
        (ready(aci_spec()), HERE, True),
        (ready(aci_spec()), ELSEWHERE, False),
        (ready(aci_spec(deletionPolicy="Retain")), ELSEWHERE, True),
        (subject(aci_spec(), uid="a later uid"), HERE, False),
    ],
    ids=[
        "gone",
        "here",
        "in other letters",
        "who knows where",
        "not there yet",
        "ready here",
        "ready elsewhere",
        "retained",
        "made anew",
    ],
)
def test_a_group_is_wanted_while_its_model_deployment_is_served_there(
    serving: Subject | None, serves_at: Any, answer: bool
) -> None:
    assert is_wanted(OWNER, serving, serves_at, HERE) is answer


def groups(**fields: Any) -> dict[str, Any]:
    group = shown(desired(aci_spec(**fields)))
    return {group["name"]: group}


def test_only_groups_of_this_cluster_with_all_tags_can_be_unwanted() -> None:
    (group,) = groups().values()
    tags = tags_of(group)
    found = {
        "ours": group,
        "theirs": group | {"tags": tags | {"berth-cluster": "another"}},
        "untagged": group | {"tags": None},
        "half": group | {"tags": {name: tags[name] for name in ("berth-cluster", "berth-uid")}},
        "kept": group | {"tags": retained_tags(group)},
    }
    assert unwanted(found, CLUSTER, lambda _: False) == {"ours": OWNER}
    assert unwanted(found, CLUSTER, lambda _: True) == {}


@pytest.mark.parametrize(("fields", "stays"), [({}, False), ({"deletionPolicy": "Retain"}, True)])
def test_a_group_says_itself_whether_it_stays(fields: dict[str, Any], stays: bool) -> None:
    (group,) = groups(**fields).values()
    assert is_retained(group) is stays
    assert is_retained(group | {"tags": retained_tags(group)})


@pytest.mark.parametrize(("value", "is_so"), [("true", True), ("false", False), ("", False)])
def test_only_true_abandons(value: str, is_so: bool) -> None:
    assert is_abandoned(subject(annotations={"berth.dev/abandon": value})) is is_so


sightings = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abc"), st.sampled_from([OWNER, SUCCESSOR]), max_size=3),
        st.integers(1, 14),
    ),
    max_size=5,
).map(lambda parts: [found for found, minutes in parts for _ in range(minutes)])


@given(sightings)
def test_due_is_what_every_list_of_a_grace_period_showed(history: list[dict[str, Owner]]) -> None:
    grace, interval = 600.0, 60.0
    seen: dict[str, Suspect] = {}
    for minute, found in enumerate(history):
        at = minute * interval
        seen = suspects(found, seen, at)
        enough = int(grace // interval)
        recent = history[max(0, minute - enough) : minute + 1]
        lasting = {
            name
            for name, owner in found.items()
            if len(recent) > enough and all(each.get(name) == owner for each in recent)
        }
        assert set(due(seen, at, grace)) == lasting


def test_one_list_looked_at_again_and_again_is_one_sighting() -> None:
    seen = suspects({"a": OWNER}, {}, 100.0)
    for _ in range(100):
        seen = suspects({"a": OWNER}, seen, 100.0)
    assert due(seen, 100.0, 600.0) == []


def test_a_group_that_was_made_for_another_begins_anew() -> None:
    seen = suspects({"a": SUCCESSOR}, {"a": Suspect(OWNER, 0.0)}, 600.0)
    assert seen == {"a": Suspect(SUCCESSOR, 600.0)}

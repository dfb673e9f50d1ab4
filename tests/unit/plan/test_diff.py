import copy
from decimal import Decimal
from typing import Any

import pytest
from deployments import IMAGE, aks_specs, subject
from hypothesis import given
from hypothesis import strategies as st
from simulated_cluster import Stored, assemble, leaves

from berth.plan.children import Desired
from berth.plan.diff import covers, differences, quantity
from berth.plan.steps import wanted

CHANGED = "changed by hand"


@st.composite
def desired_objects(draw: st.DrawFn) -> Desired:
    return draw(st.sampled_from(wanted(subject(draw(aks_specs())), IMAGE, {})))


def stored(*applied: tuple[str, Any]) -> Any:
    """The object after these managers have applied their wishes."""
    there = Stored({})
    for manager, body in applied:
        there.apply(manager, body)
    return assemble(there.found)


@given(desired_objects())
def test_what_was_applied_is_covered(desired: Desired) -> None:
    assert covers(stored(("berth", desired.fields)), desired.fields)


@given(desired_objects(), st.data())
def test_any_field_that_someone_changed_is_seen(desired: Desired, data: st.DataObject) -> None:
    found = dict(leaves(desired.fields))
    path = data.draw(st.sampled_from(sorted(found)))
    edited = copy.deepcopy(assemble(found | {path: CHANGED}))
    assert not covers(edited, desired.fields)


@given(desired_objects(), st.data())
def test_any_field_that_someone_removed_is_seen_unless_it_was_empty(
    desired: Desired, data: st.DataObject
) -> None:
    found = dict(leaves(desired.fields))
    told = sorted(path for path, value in found.items() if value or value is False)
    path = data.draw(st.sampled_from(told))
    del found[path]
    assert not covers(assemble(found), desired.fields)


@given(desired_objects(), st.data())
def test_what_is_not_covered_is_named(desired: Desired, data: st.DataObject) -> None:
    found = dict(leaves(desired.fields))
    path = data.draw(st.sampled_from(sorted(found)))
    edited = copy.deepcopy(assemble(found | {path: CHANGED}))
    assert list(differences(desired.fields, desired.fields)) == []
    named = [name for name, _ in differences(edited, desired.fields)]
    assert named
    assert all(name.startswith(path[0]) for name in named)


def test_an_item_of_a_list_is_named_by_its_key() -> None:
    wanted = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "args": ["serve"]}]}}
    there = {"spec": {"containers": [{"name": "a", "image": "y"}, {"name": "b", "args": []}]}}
    assert list(differences(there, wanted)) == [
        ("spec.containers[a].image", "y"),
        ("spec.containers[b].args", []),
    ]


@given(desired_objects(), st.sampled_from(["berth", "other"]))
def test_applying_again_what_is_covered_changes_nothing(desired: Desired, last: str) -> None:
    once = stored(("other", {"spec": {"replicas": 7}}), ("berth", desired.fields))
    twice = stored(("other", {"spec": {"replicas": 7}}), ("berth", desired.fields), (last, desired.fields))
    assert covers(once, desired.fields)
    assert covers(twice, desired.fields)


FOREIGN = [
    pytest.param({"metadata": {"labels": {"team": "a"}}}, id="label"),
    pytest.param({"metadata": {"annotations": {"sidecar": "yes"}}}, id="annotation"),
    pytest.param({"spec": {"template": {"metadata": {"annotations": {"restartedAt": "now"}}}}}, id="restart"),
    pytest.param({"spec": {"template": {"spec": {"priorityClassName": "high"}}}}, id="new field"),
    pytest.param(
        {"spec": {"template": {"spec": {"containers": [{"name": "proxy", "image": "proxy:1"}]}}}},
        id="container",
    ),
    pytest.param(
        {"spec": {"template": {"spec": {"containers": [{"name": "scoring", "env": [{"name": "X"}]}]}}}},
        id="variable",
    ),
    pytest.param(
        {
            "spec": {
                "template": {
                    "spec": {
                        "containers": [
                            {"name": "scoring", "ports": [{"containerPort": 5001, "protocol": "UDP"}]}
                        ]
                    }
                }
            }
        },
        id="port of another protocol",
    ),
    pytest.param(
        {
            "spec": {
                "template": {
                    "spec": {
                        "topologySpreadConstraints": [
                            {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}
                        ]
                    }
                }
            }
        },
        id="spread over zones",
    ),
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_fields_of_others_are_theirs(foreign: dict[str, Any]) -> None:
    deployment = next(each for each in wanted(subject(), IMAGE, {}) if each.resource.kind == "Deployment")
    there = stored(("berth", deployment.fields), ("other", foreign))
    assert covers(there, deployment.fields)
    assert covers(there, foreign)


def test_one_more_label_in_a_selector_is_a_change() -> None:
    service = next(each for each in wanted(subject(), IMAGE, {}) if each.resource.kind == "Service")
    edited = copy.deepcopy(service.fields)
    edited["spec"]["selector"]["version"] = "2"
    assert not covers(edited, service.fields)


@pytest.mark.parametrize("empty", [None, 0, "", [], {}])
def test_the_server_may_leave_out_what_is_empty(empty: Any) -> None:
    assert covers({}, {"field": empty})


@pytest.mark.parametrize("name", ["automountServiceAccountToken", "allowPrivilegeEscalation"])
def test_a_false_that_someone_removed_is_seen(name: str) -> None:
    assert not covers({}, {name: False})


@pytest.mark.parametrize(
    ("observed", "desired"),
    [("1", "1000m"), ("1", 1), ("500M", "0.5G"), ("1Gi", "1073741824"), ("100", "1e2"), ("1", "0.001k")],
)
def test_quantities_are_compared_as_numbers(observed: str, desired: object) -> None:
    resources = {"limits": {"memory": desired}, "requests": {"nvidia.com/gpu": desired}}
    assert covers({"limits": {"memory": observed}, "requests": {"nvidia.com/gpu": observed}}, resources)
    assert not covers({"limits": {"memory": "3"}, "requests": {"nvidia.com/gpu": observed}}, resources)


def test_text_that_looks_like_a_quantity_is_compared_as_text() -> None:
    assert not covers({"value": "1"}, {"value": "1000m"})


@given(st.decimals("0.001", 1000, places=3))
def test_a_quantity_is_the_same_in_every_unit(number: Decimal) -> None:
    assert quantity(str(number)) == quantity(f"{number * 1000}m") == quantity(f"{number / 1000}k")


@pytest.mark.parametrize("text", ["", "m", "1Xi", "a lot", None])
def test_what_is_no_quantity_is_none(text: object) -> None:
    assert quantity(text) is None


def test_a_list_that_grew_is_a_change_where_it_is_one_value() -> None:
    assert not covers({"args": ["serve", "--debug"]}, {"args": ["serve"]})

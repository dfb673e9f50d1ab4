"""Passes over random specs on a simulated cluster: they end, and end in what the spec alone decides."""

import contextlib
import json
from typing import Any

import pytest
from deployments import NEWER_IMAGE, Spec, aks_specs, subject
from hypothesis import given, settings
from hypothesis import strategies as st
from reconciled import KEY, World

from berth.plan.children import APPLIED, PULL_POLICY, SCORING_IMAGE, SERVING
from berth.plan.labels import MANAGED_BY
from berth.plan.resources import DEPLOYMENTS
from berth.plan.steps import child_names

few = settings(max_examples=15, deadline=None)


async def served(fields: Spec) -> World:
    world = World(fields)
    await world.settle(ready=9)
    return world


def without(objects: dict[str, Any], *names: str) -> dict[str, Any]:
    """Leave out the fields of these names, such as the number of replicas that an autoscaler decides on."""
    return {
        kind: {path: value for path, value in found.items() if path[-1] not in names}
        for kind, found in objects.items()
    }


@few
@given(aks_specs())
async def test_after_the_first_passes_nothing_is_written(fields: Spec) -> None:
    world = await served(fields)
    writes = len(world.cluster.writes), len(world.statuses)
    await world.once()
    assert writes == (len(world.cluster.writes), len(world.statuses))


@few
@given(aks_specs())
async def test_a_restarted_or_upgraded_operator_writes_nothing(fields: Spec) -> None:
    world = await served(fields)
    writes = len(world.cluster.writes), len(world.statuses)
    world.restart(NEWER_IMAGE)
    await world.settle()
    assert writes == (len(world.cluster.writes), len(world.statuses))


@few
@given(aks_specs())
async def test_two_operators_make_the_same_of_a_spec(fields: Spec) -> None:
    assert (await served(fields)).children == (await served(fields)).children


@few
@given(aks_specs(), aks_specs())
async def test_the_way_back_ends_where_it_began(first: Spec, second: Spec) -> None:
    world = await served(first)
    began = world.children
    world.change(second)
    await world.settle(ready=9)
    world.change(first)
    await world.settle(ready=9)
    # An autoscaler leaves its number behind, and what hashes it with the rest.
    assert without(world.children, "replicas") == without(began, "replicas")


@few
@given(aks_specs(), aks_specs())
async def test_the_way_there_does_not_matter(first: Spec, second: Spec) -> None:
    world = await served(first)
    world.change(second)
    await world.settle(ready=9)
    assert without(world.children, "replicas") == without((await served(second)).children, "replicas")


@few
@given(aks_specs(), st.data())
async def test_any_field_edited_by_hand_is_repaired_and_told(fields: Spec, data: st.DataObject) -> None:
    world = await served(fields)
    applied = [name for name, stored in world.cluster.objects.items() if "berth" in stored.owned]
    stored = world.cluster.objects[data.draw(st.sampled_from(sorted(applied, key=str)))]
    before = dict(stored.found)
    path = data.draw(st.sampled_from(sorted(filter(_editable, stored.owned["berth"]))))
    stored.apply("kubectl", _nested(path, "by hand"))
    await world.settle()
    assert stored.found == before
    if path[-1] not in (APPLIED, PULL_POLICY, SCORING_IMAGE, SERVING):
        assert "DriftCorrected" in {event.reason for event in world.events}


def _editable(path: tuple[str, ...]) -> bool:
    """Leave out what tells an item of a list from others, who owns the object, and what the watch selects."""
    is_key = len(path) > 1 and path[-2].startswith("{") and path[-1] in json.loads(path[-2])
    return (
        not is_key
        and path[0] not in ("apiVersion", "kind")
        and not {"ownerReferences", MANAGED_BY} & set(path)
    )


def _nested(path: tuple[str, ...], value: object) -> Any:
    for name in reversed(path):
        value = (
            [json.loads(name) | value] if name.startswith("{") and isinstance(value, dict) else {name: value}
        )
    return value


@few
@given(aks_specs(), st.integers(0, 8))
async def test_an_operator_that_dies_after_any_write_is_made_up_for(fields: Spec, survived: int) -> None:
    world = World(fields)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(world.cluster), "apply", _dying(type(world.cluster).apply, world, survived))
        with contextlib.suppress(_Killed):
            await world.settle()
    world.restart()
    await world.settle()
    assert without(world.children) == without((await served(fields)).children)


class _Killed(BaseException):
    pass


def _dying(apply: Any, world: World, survived: int) -> Any:
    async def until_then(self: Any, *arguments: Any, **named: Any) -> Any:
        answer = await apply(self, *arguments, **named)
        if len(world.cluster.writes) > survived:
            raise _Killed
        return answer

    return until_then


@few
@given(aks_specs())
async def test_no_value_of_a_key_is_in_the_status_or_an_event(fields: Spec) -> None:
    world = await served(fields)
    secret = [stored for (kind, _), stored in world.cluster.objects.items() if kind.kind == "Secret"]
    values = [value for stored in secret for path, value in stored.found.items() if "data" in path]
    told = str(world.statuses) + str(world.events) + str(without(world.children))
    assert not any(value in told for value in values)


@few
@given(aks_specs())
async def test_everything_that_is_made_is_found_by_its_name(fields: Spec) -> None:
    world = await served(fields)
    names = {(resource, name) for resource, name in child_names(subject(fields)).items()}
    assert {(resource, key.name) for resource, key in world.cluster.objects} <= names
    assert (DEPLOYMENTS, KEY) in world.cluster.objects

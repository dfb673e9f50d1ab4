import re
from dataclasses import replace

import pytest
from container_groups import CLUSTER, aci_spec, desired, place, recipe, shown
from deployments import subject
from hypothesis import given
from hypothesis import strategies as st

from berth.api.conditions import Reason
from berth.core.errors import Terminal
from berth.plan.group_names import Owner, Slot, dns_label, given_label, group_name, refuse_stranger

OWNER = Owner.of(subject(), CLUSTER)
# What the service takes as the name of a group, and as a DNS label.
NAME = re.compile(r"(?!.*--)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

names = st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
owners = st.builds(Owner, st.uuids().map(str), names, names, st.uuids().map(str))


@given(owners, st.sampled_from(Slot))
def test_azure_takes_every_name(owner: Owner, slot: Slot) -> None:
    assert NAME.fullmatch(group_name(owner, "eastus", slot))
    assert NAME.fullmatch(dns_label(owner, place(), slot))
    assert re.match("[a-z]", dns_label(owner, place(), slot))


@given(owners, owners)
def test_no_two_owners_share_a_name(one: Owner, other: Owner) -> None:
    assert (group_name(one, "eastus") == group_name(other, "eastus")) is (one == other)


@given(owners)
def test_a_name_is_unique_in_all_regions_and_both_slots(owner: Owner) -> None:
    made = {group_name(owner, region, slot) for region in ("eastus", "westus") for slot in Slot}
    assert len(made) == 4
    assert len({dns_label(owner, place(), slot) for slot in Slot}) == 2


def test_a_name_tells_whose_it_is() -> None:
    assert recipe().name == "demo-iris-3249b592"


def test_hyphens_do_not_hide_a_difference() -> None:
    one, other = replace(OWNER, name="a--b"), replace(OWNER, name="a-b")
    assert group_name(one, "eastus") != group_name(other, "eastus")


def test_the_public_name_outlives_a_deployment_that_is_made_anew() -> None:
    again = replace(OWNER, uid="uid-2")
    assert dns_label(again, place()) == dns_label(OWNER, place())
    assert group_name(again, "eastus") != group_name(OWNER, "eastus")


def test_other_subscriptions_have_other_public_names() -> None:
    assert dns_label(OWNER, place(resourceGroup="other")) != dns_label(OWNER, place())
    assert dns_label(OWNER, place(resourceGroup="MODELS")) == dns_label(OWNER, place())


def test_a_given_label_belongs_to_one_slot() -> None:
    assert given_label("iris-live", Slot.BLUE) == "iris-live"
    assert NAME.fullmatch(given_label("i" * 63, Slot.GREEN))


@given(owners)
def test_tags_name_the_owner(owner: Owner) -> None:
    tags = owner.tags(3, "f" * 32)
    assert Owner.read({"tags": tags}) == owner
    assert len(tags) <= 50
    assert all(len(value) <= 256 for value in tags.values())


@pytest.mark.parametrize("tags", [None, {}, {"berth-cluster": CLUSTER}])
def test_a_group_without_tags_belongs_to_nobody_known(tags: dict[str, str] | None) -> None:
    group = {"name": "demo-iris", "tags": tags}
    assert Owner.read(group) is None
    with pytest.raises(
        Terminal, match="demo-iris exists and belongs to nobody Berth knows: delete it"
    ) as refused:
        refuse_stranger(OWNER, group)
    assert refused.value.reason is Reason.CONFLICT


@pytest.mark.parametrize("field", ["cluster", "namespace", "name", "uid"])
def test_a_group_of_another_owner_is_refused(field: str) -> None:
    other = replace(OWNER, **{field: "other"})
    with pytest.raises(Terminal, match="belongs to"):
        refuse_stranger(other, shown(desired()))


def test_a_group_of_ones_own_is_not() -> None:
    refuse_stranger(OWNER, shown(desired(aci_spec(auth={"mode": "Key"}))))

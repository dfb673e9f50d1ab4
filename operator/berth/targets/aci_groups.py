"""Reads all container groups of one ModelDeployment, of which there may be two for a while."""

from collections.abc import Mapping
from typing import Any

from berth.core.errors import Gone
from berth.plan.container_group import Recipe
from berth.plan.group_names import Owner, Slot, group_name, refuse_stranger
from berth.plan.group_slots import likely_names, refuse_the_past, slots, turn
from berth.plan.report import is_ready
from berth.targets.aci_listing import Listings
from berth.targets.azure import Site

Json = Mapping[str, Any]


async def read_groups(site: Site, recipe: Recipe, listings: Listings) -> dict[str, Json]:
    """Read the groups by name: a list may lack one that was made a moment ago, or have one that is gone.

    Raises Terminal where one belongs to someone else, and Conflict where one was made for a later spec.
    """
    names = likely_names(recipe)
    groups = await _read(site, names)
    if any(turn(group) for group in groups.values()):  # another may have come before or after it
        groups |= await _read(site, [name for name in slots(recipe) if name not in names])
    for name in slots(recipe).keys() & groups.keys():
        refuse_stranger(recipe.owner, groups[name])
    if not groups or is_ready(recipe.subject):
        listed = (await listings.recent(site)).of(recipe.owner)
        groups |= await _read(site, [name for name in listed if name not in groups])
    own = {name: group for name, group in groups.items() if Owner.read(group) == recipe.owner}
    refuse_the_past(recipe.subject, own)
    return own


async def left_groups(site: Site, owner: Owner, location: str, listings: Listings) -> list[Json]:
    """Return the groups that are still there: a list may lack one that was made a moment ago."""
    listing = await listings.fresh(site)
    if listed := [listing.groups[name] for name in listing.of(owner)]:
        return listed
    found = await _read(site, [group_name(owner, location, slot) for slot in Slot])
    return [group for group in found.values() if Owner.read(group) == owner]


async def _read(site: Site, names: list[str]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name in names:
        try:
            found[name] = (await site.groups.get(site.resource_group, name)).body
        except Gone:
            continue
    return found

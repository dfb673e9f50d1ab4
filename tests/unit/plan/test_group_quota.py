from typing import Any

import pytest
from azure_specs import DESCRIPTIONS, MISSING, examples
from hypothesis import given
from hypothesis import strategies as st

from berth.api.compute_target import Quota
from berth.api.conditions import ConditionStatus, Reason
from berth.plan.group_quota import Ahead, Room, Usage, quota_available, read_room
from berth_sandbox.azure.regions import QUOTAS, usages_document

USED = usages_document("s", "eastus", QUOTAS, dict.fromkeys(QUOTAS, 3))


def room(own: int = 0, quota: int | None = None, used: int = 0, limit: int = 100) -> Room:
    return Room("eastus", own, quota, Usage(used, limit))


def test_the_services_own_figures_are_read() -> None:
    found = read_room(USED, "eastus", Quota(), own=1)
    assert found == Room("eastus", 1, None, Usage(3, 100), Usage(3, 100))
    assert found.status().model_dump() == {
        "container_groups": {"own": 1, "used": 3, "limit": 100},
        "cores": {"used": 3, "limit": 100},
    }


@pytest.mark.skipif(not DESCRIPTIONS.exists(), reason=MISSING)
def test_the_official_answer_is_read() -> None:
    found = read_room(examples()["ContainerGroupUsage"].answers[200], "eastus", Quota(), own=0)
    assert found == Room("eastus", 0, None, Usage(1, 2000), None)


@pytest.mark.parametrize("usages", [{}, {"value": None}, {"value": []}])
def test_an_answer_without_figures_forbids_nothing(usages: dict[str, Any]) -> None:
    found = read_room(usages, "eastus", Quota(), own=0)
    assert found is None
    assert quota_available(found).status is ConditionStatus.TRUE


@pytest.mark.parametrize(
    ("own", "quota", "used", "limit", "free"),
    [
        (0, None, 0, 100, 100),
        (20, 20, 30, 100, 0),
        (5, 20, 30, 100, 15),
        (5, 20, 99, 100, 1),
        (7, 5, 9, 100, 0),
    ],
)
def test_the_narrower_of_the_two_counts(
    own: int, quota: int | None, used: int, limit: int, free: int
) -> None:
    there = room(own, quota, used, limit)
    assert [each for each in range(limit + 1) if there.admits(Ahead(each, each))] == list(range(free))


@given(st.integers(0, 50), st.none() | st.integers(0, 50), st.integers(0, 50), st.integers(0, 9))
def test_who_waits_first_is_served_first(own: int, quota: int | None, used: int, ahead: int) -> None:
    found = room(own, quota, used, limit=50)
    in_region = [each for each in range(60) if found.admits(Ahead(0, each))]
    in_resource_group = [each for each in range(60) if found.admits(Ahead(each, 0))]
    assert in_region in (list(range(50 - used)), [])
    assert in_resource_group in (list(range(60 if quota is None else max(0, quota - own))), [])
    told = quota_available(found, Ahead(0, ahead)).status is ConditionStatus.TRUE
    assert told is (ahead in in_region)


@pytest.mark.parametrize(
    ("full", "ahead", "message"),
    [
        (
            room(20, 20, 30),
            Ahead(0, 4),
            "20 of the 20 container groups that the ComputeTarget allows are used",
        ),
        (
            room(2, 20, 100),
            Ahead(5, 1),
            "100 of 100 container groups of the subscription are used in eastus; 1 wait before",
        ),
        (
            room(18, 20, 30),
            Ahead(2, 4),
            "18 of the 20 container groups that the ComputeTarget allows are used; 2 wait before",
        ),
    ],
)
def test_a_full_quota_is_told(full: Room, ahead: Ahead, message: str) -> None:
    found = quota_available(full, ahead)
    assert found.reason == Reason.QUOTA_EXCEEDED
    assert found.message.startswith(message)
    assert ("wait" in found.message) is ("wait" in message)


def test_room_is_told_without_counts_that_change() -> None:
    assert quota_available(room(used=1)) == quota_available(room(used=2))

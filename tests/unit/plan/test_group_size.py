from decimal import Decimal
from typing import Any

import pytest
from container_groups import aci_spec, place
from deployments import subject
from hypothesis import given
from hypothesis import strategies as st

from berth.plan.group_size import Size, group_size


def size(resources: Any = None, **defaults: Any) -> Size:
    where = place(defaults={"resources": defaults} if defaults else {})
    return group_size(subject(aci_spec(resources=resources)), where)


@pytest.mark.parametrize(
    ("requests", "limits", "expected"),
    [
        ({"cpu": "2", "memory": "4G"}, None, Size(2.0, 4.0)),
        ({"cpu": "100m", "memory": "500M"}, {"cpu": "100m"}, Size(1.0, 1.0)),
        ({"cpu": "1001m", "memory": "1001M"}, None, Size(1.01, 1.1)),
        ({"cpu": "1.5", "memory": "2Gi"}, None, Size(1.5, 2.2)),
        ({"cpu": "500m", "memory": "1G"}, {"cpu": "3", "memory": "8G"}, Size(3.0, 8.0)),
    ],
)
def test_sizes_are_rounded_up_to_what_azure_has(requests: Any, limits: Any, expected: Size) -> None:
    resources = {"requests": requests} | ({"limits": limits} if limits else {})
    assert size(resources) == expected


def test_the_target_decides_where_the_spec_does_not() -> None:
    assert size() == Size(1.0, 1.5)
    assert size(cpu="2500m", memory="7G") == Size(2.5, 7.0)
    assert size({"requests": {"cpu": "1"}}, cpu="2500m", memory="7G") == Size(1.0, 1.0)


@given(st.integers(1, 31_000), st.integers(1, 240_000))
def test_a_group_is_never_smaller_than_asked_and_never_a_step_too_large(cpu: int, memory: int) -> None:
    found = size({"requests": {"cpu": f"{cpu}m", "memory": f"{memory}M"}})
    for given_size, asked, step in ((found.cpu, cpu, "0.01"), (found.memory_in_gb, memory, "0.1")):
        exact, wanted = Decimal(str(given_size)), Decimal(asked) / 1000
        assert wanted <= exact
        assert exact - wanted < Decimal(step) or exact == 1
        assert exact % Decimal(step) == 0

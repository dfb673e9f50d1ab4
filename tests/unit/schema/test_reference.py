import pytest
from schema_walk import fields
from spec_walk import ROOT

from berth.api.capabilities import CAPABILITIES
from berth.schema.reference import capability_reference, field_reference

FIELDS = field_reference(ROOT).splitlines()
TABLE = capability_reference().splitlines()


@pytest.mark.parametrize("path", [path for path, _ in fields(ROOT) if path.startswith(("spec.", "status."))])
def test_every_field_has_a_line_below_the_heading_of_its_part(path: str) -> None:
    parent, _, name = path.rpartition(".")
    place = next(
        number
        for number, line in enumerate(FIELDS)
        if line == f"## {parent}" or (line.startswith("Also: ") and f"`{parent}`" in line)
    )
    end = next((n for n, line in enumerate(FIELDS) if n > place + 1 and line.startswith("## ")), None)
    assert any(line.startswith(f"| `{name}`") for line in FIELDS[place:end])


def test_a_line_tells_type_default_and_targets() -> None:
    assert (
        "| `targetUtilizationPercent` | integer, 1 to 100 | `70` | AKS |"
        " Utilization that the autoscaler aims at, in percent of the request. |"
    ) in FIELDS


def test_what_is_required_is_marked() -> None:
    assert any(line.startswith("| `target` (required) | `AKS` \\| `ACI`") for line in FIELDS)


def test_rules_are_told_where_they_hold() -> None:
    place = FIELDS.index("- minReplicas must not be greater than maxReplicas")
    heading = next(line for line in reversed(FIELDS[:place]) if line.startswith("## "))
    assert heading == "## spec.scaling"


def test_refusals_are_left_to_the_table() -> None:
    assert [line for line in FIELDS if any(row.message in line for row in CAPABILITIES if row.refusing)] == []


def test_the_table_has_a_row_for_each_capability() -> None:
    assert len([line for line in TABLE if line.startswith("| `")]) == len(CAPABILITIES)


def test_a_row_tells_each_target_and_what_to_do_elsewhere() -> None:
    assert "| `models` | yes | yes | yes | no | A device serves one model; give it by spec.model |" in TABLE

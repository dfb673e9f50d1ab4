import pytest
from schema_walk import fields

from berth.api.capabilities import CAPABILITIES
from berth.schema.crd import Kind, compute_target_kind, model_deployment_kind
from berth.schema.reference import capability_reference, field_reference, targets_that_honour

DEPLOYMENT = model_deployment_kind()
COMPUTE_TARGET = compute_target_kind()
FIELDS = field_reference(DEPLOYMENT, targets_that_honour).splitlines()
OF_THE_COMPUTE_TARGET = field_reference(COMPUTE_TARGET).splitlines()
TABLE = capability_reference().splitlines()


def below_headings(kind: Kind, lines: list[str]) -> list[tuple[str, list[str]]]:
    paths = [path for path, _ in fields(kind.schema) if path.startswith(("spec.", "status."))]
    return [(path, lines) for path in paths]


@pytest.mark.parametrize(
    ("path", "lines"),
    [*below_headings(DEPLOYMENT, FIELDS), *below_headings(COMPUTE_TARGET, OF_THE_COMPUTE_TARGET)],
)
def test_every_field_has_a_line_below_the_heading_of_its_part(path: str, lines: list[str]) -> None:
    parent, _, name = path.rpartition(".")
    place = next(
        number
        for number, line in enumerate(lines)
        if line == f"## {parent}" or (line.startswith("Also: ") and f"`{parent}`" in line)
    )
    end = next((n for n, line in enumerate(lines) if n > place + 1 and line.startswith("## ")), None)
    assert any(line.startswith(f"| `{name}`") for line in lines[place:end])


def test_a_kind_without_targets_tells_none() -> None:
    assert OF_THE_COMPUTE_TARGET[0] == "# ComputeTarget"
    assert [line for line in OF_THE_COMPUTE_TARGET if "| Targets |" in line] == []


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

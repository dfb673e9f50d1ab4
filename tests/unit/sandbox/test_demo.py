import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox import demo, folders, pool
from berth_sandbox.access import Access
from berth_sandbox.demo import EXAMPLES, Example, is_ready
from berth_sandbox.table import render

cells = st.text(string.ascii_letters + string.digits, min_size=1, max_size=12)


def deployment(*, ready: str, observed: int, generation: int = 2) -> dict[str, Any]:
    return {
        "metadata": {"name": "iris", "generation": generation},
        "status": {"observedGeneration": observed, "conditions": [{"type": "Ready", "status": ready}]},
    }


@pytest.mark.parametrize(
    ("given_deployment", "expected"),
    [
        (deployment(ready="True", observed=2), True),
        (deployment(ready="True", observed=1), False),
        (deployment(ready="False", observed=2), False),
        ({"metadata": {"name": "iris", "generation": 1}}, False),
    ],
    ids=["ready", "of an older generation", "not ready", "never seen"],
)
def test_ready_is_said_of_the_current_generation_only(
    given_deployment: dict[str, Any], expected: bool
) -> None:
    assert is_ready(given_deployment) is expected


@pytest.fixture
def applied() -> dict[str, str]:
    """The targets of the manifests that the demo applies, by name."""
    folder = folders.REPOSITORY / "examples"
    generated = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    manifests = [yaml.safe_load((folder / name).read_text()) for name in (*generated, *demo.MORE)]
    return {each["metadata"]["name"]: each["spec"]["target"] for each in manifests}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_each_row_of_the_demo_is_a_manifest_that_is_applied(
    example: Example, applied: dict[str, str]
) -> None:
    assert applied[example.name] == example.target


def test_the_demo_shows_all_targets(applied: dict[str, str]) -> None:
    shown = {example.target for example in EXAMPLES} | {applied[pool.NAME]}
    assert shown == {"AKS", "ACI", "IoTEdge", "FPGA"}
    assert len(applied) == len(EXAMPLES) + 1


def test_the_row_of_the_network_tells_what_ran_and_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"label": ["rose"], "output_alias": [0.1, 0.9], "berth-device": "cpu"}
    status = {"status": {"grpcEndpoint": "flowers-fpga.demo.svc:80"}}
    monkeypatch.setattr(Access, "kubectl", lambda *_, **__: json.dumps(status))
    monkeypatch.setattr(pool, "ask", lambda _, namespace, image: answer | {"asked": [namespace, image.name]})
    name, target, ready, seconds, endpoint, request, said = demo.flower_row(
        Access(Path(), (Path(), Path())), 7
    )
    assert (name, target, ready, seconds) == ("flowers-fpga", "FPGA", "True", "7.0")
    assert (endpoint, request) == ("flowers-fpga.demo.svc:80", "Predict images=rose.jpg")
    assert json.loads(said) == answer | {"asked": ["demo", "rose.jpg"]}


def test_the_hints_at_the_end_name_what_is_there() -> None:
    assert demo.EXAMPLES[-1].name in demo.NEXT
    assert pool.NAME in demo.NEXT
    assert f"-n {demo.NAMESPACE}" in demo.NEXT


@given(st.lists(st.tuples(cells, cells, cells), max_size=5))
def test_the_columns_of_a_table_stand_below_their_headings(rows: list[tuple[str, ...]]) -> None:
    columns = ("ONE", "TWO", "THREE")
    lines = render(columns, rows).splitlines()
    starts = [lines[0].index(column) for column in columns]
    assert len(lines) == len(rows) + 1
    for line, row in zip(lines[1:], rows, strict=True):
        assert [line[start:].split()[0] for start in starts] == list(row)

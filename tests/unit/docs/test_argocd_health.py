"""The health script that docs/argocd offers, run by the Lua version that Argo CD has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

ARGOCD = Path(__file__).resolve().parents[3] / "docs" / "argocd"
GENERATION = 3

Health = Callable[..., tuple[str, str]]


@pytest.fixture
def health() -> Health:
    """Status and message that Argo CD shows for an object."""
    script = (ARGOCD / "health.lua").read_text()

    def run(
        conditions: dict[str, str] | None = None,
        *,
        observed: int = GENERATION,
        spec: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> tuple[str, str]:
        lua = LuaRuntime()
        lua.globals().obj = lua.table_from(
            {
                "metadata": {"generation": GENERATION, **(metadata or {})},
                "spec": {"target": "AKS", **(spec or {})},
                "status": {"observedGeneration": observed, "conditions": listed(conditions or {})},
            },
            recursive=True,
        )
        found = lua.execute(script)
        return found.status, found.message

    return run


def listed(conditions: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"type": kind, "status": status, "reason": f"{kind}Reason", "message": f"the cause of {kind}"}
        for kind, status in conditions.items()
    ]


def test_an_object_that_nobody_has_seen_is_progressing(health: Health) -> None:
    assert health(observed=-1)[0] == "Progressing"


def test_an_object_without_status_is_progressing() -> None:
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from({"metadata": {"generation": 1}}, recursive=True)
    assert lua.execute((ARGOCD / "health.lua").read_text()).status == "Progressing"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"Ready": "True"}, "Healthy"),
        ({"Ready": "Unknown", "Reconciling": "True"}, "Progressing"),
        ({"Ready": "False", "Reconciling": "True"}, "Progressing"),
        ({"Ready": "True", "Reconciling": "True"}, "Progressing"),
        ({"Ready": "False", "Stalled": "True"}, "Degraded"),
        ({"Ready": "False"}, "Degraded"),
        ({"Ready": "Unknown"}, "Progressing"),
        ({}, "Progressing"),
        ({"ModelAvailable": "False", "Ready": "True"}, "Healthy"),
    ],
)
def test_conditions_of_the_current_generation_decide(
    health: Health, conditions: dict[str, str], expected: str
) -> None:
    assert health(conditions)[0] == expected


@pytest.mark.parametrize("kind", ["Ready", "Stalled"])
def test_conditions_of_an_old_generation_do_not_count(health: Health, kind: str) -> None:
    assert health({kind: "True"}, observed=GENERATION - 1)[0] == "Progressing"


@pytest.mark.parametrize(
    ("conditions", "deciding"),
    [
        ({"Ready": "True"}, "Ready"),
        ({"Ready": "False", "Reconciling": "True"}, "Reconciling"),
        ({"Ready": "False", "Stalled": "True"}, "Stalled"),
    ],
)
def test_the_message_is_that_of_the_deciding_condition(
    health: Health, conditions: dict[str, str], deciding: str
) -> None:
    assert health(conditions)[1] == f"{deciding}Reason: the cause of {deciding}"


def test_a_suspended_object_is_suspended_whatever_its_conditions_say(health: Health) -> None:
    assert health({"Ready": "True"}, spec={"suspend": True})[0] == "Suspended"
    assert health(observed=-1, spec={"suspend": True})[0] == "Suspended"
    assert health({"Ready": "True"}, spec={"suspend": False})[0] == "Healthy"


def test_an_object_on_its_way_out_is_progressing(health: Health) -> None:
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert health({"Ready": "True"}, metadata=leaving)[0] == "Progressing"
    assert health(spec={"suspend": True}, metadata=leaving)[1] == "Pending deletion"


def test_the_configmap_holds_the_same_script() -> None:
    data = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text())["data"]
    script = data["resource.customizations.health.berth.dev_ModelDeployment"]
    assert script == (ARGOCD / "health.lua").read_text()

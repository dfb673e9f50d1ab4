"""What the documents say exists."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from berth.api.conditions import Reason
from berth.core.queue import WorkQueue
from berth.telemetry.metrics import Metrics as OperatorMetrics
from berth_scoring.fpga.measures import Measures
from berth_scoring.metrics import Metrics as ScoringMetrics

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "charts/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
OF_THE_COMPUTE_TARGET = ROOT / "docs" / "reference" / "computetarget.md"
TOP_LEVEL = "model|models|code|resources|scaling|requests|probes|auth|validation|aks|aci|iotEdge|fpga"
FIELD = re.compile(rf"`(?:spec\.)?((?:{TOP_LEVEL})\.[a-zA-Z0-9.]+)[`:]")
ALL_IS_WELL = {
    Reason.READY,
    Reason.MODEL_FETCHED,
    Reason.MODEL_SERVED,
    Reason.ENDPOINT_READY,
    Reason.VALIDATION_PASSED,
    Reason.QUOTA_AVAILABLE,
    Reason.CREDENTIALS_ACCEPTED,
    Reason.REGION_AVAILABLE,
    Reason.HUB_AVAILABLE,
    Reason.DEVICES_AVAILABLE,
}


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    crd = yaml.safe_load((ROOT / "crds" / "modeldeployments.berth.dev.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: dict[str, Any] = schema["properties"]["spec"]
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d != OF_THE_COMPUTE_TARGET], ids=names)
def test_fields_exist(document: Path, spec: dict[str, Any]) -> None:
    assert [path for path in FIELD.findall(document.read_text()) if not exists(path, spec)] == []


def exists(path: str, schema: dict[str, Any]) -> bool:
    for name in path.split("."):
        if "additionalProperties" in schema:
            return True
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


def test_troubleshooting_knows_every_reason() -> None:
    table = (ROOT / "docs" / "status.md").read_text().partition("## Reasons")[2]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| `")]
    told = {name: meaning.strip() for names, meaning, _ in rows for name in re.findall(r"`(\w+)`", names)}
    remedies = {name for names, _, remedy in rows if remedy.strip() for name in re.findall(r"`(\w+)`", names)}
    assert told.keys() == {str(reason) for reason in Reason}
    assert all(told.values())
    assert told.keys() - remedies == {str(reason) for reason in ALL_IS_WELL}


def test_there_is_no_reason_that_nothing_writes() -> None:
    sources = (ROOT / "operator" / "berth").rglob("*.py")
    written = "".join(path.read_text() for path in sources if path.name != "conditions.py")
    assert [reason for reason in Reason if f"Reason.{reason.name}" not in written] == []


def test_the_metrics_of_the_scoring_server_are_told() -> None:
    metrics = ScoringMetrics()
    metrics.watch(lambda: 0, lambda: 0, lambda: 0)
    assert told_metrics("scoring.md", "berth_scoring_") == collected(metrics.registry, "berth_scoring_")


def test_the_metrics_of_a_pipeline_are_told() -> None:
    registry = CollectorRegistry()
    Measures(registry)
    assert told_metrics("fpga.md", "berth_scoring_") == collected(registry, "berth_scoring_")


async def test_the_metrics_of_the_operator_are_told() -> None:
    metrics = OperatorMetrics()
    metrics.models.watch_queue(WorkQueue())
    metrics.watch_conditions(list)
    assert told_metrics("install.md") == collected(metrics.registry)


@pytest.mark.parametrize(("template", "table"), [("berth.rules", 0), ("berth.clusterRules", 1)])
def test_the_rights_of_the_operator_are_told(template: str, table: int) -> None:
    helpers = (ROOT / "charts" / "berth" / "templates" / "_helpers.tpl").read_text()
    rules = yaml.safe_load(
        re.findall(rf'define "{template}" -}}}}\n(.*?){{{{- end }}}}', helpers, re.DOTALL)[0]
    )
    granted = {(resource, ", ".join(rule["verbs"])) for rule in rules for resource in rule["resources"]}
    tables = (ROOT / "docs" / "install.md").read_text().split("| Resource | Verbs |")[1:]
    lines = tables[table].partition("\n\n")[0].splitlines()
    rows = [line.split("|")[1:3] for line in lines if line.startswith("| `")]
    told = {
        (resource, verbs.strip())
        for resources, verbs in rows
        for resource in re.findall(r"`([a-z/]+)`", re.sub(r"\(.*?\)", "", resources))
    }
    assert told == granted


def told_metrics(document: str, prefix: str = "") -> set[str]:
    text = (ROOT / "docs" / document).read_text()
    table = text.partition("| Name | What |")[2].partition("\n\n")[0]
    return set(re.findall(rf"^\| `({prefix}[a-z_]+)", table, re.MULTILINE))


def collected(registry: CollectorRegistry, prefix: str = "") -> set[str]:
    suffixes = {"counter": "_total", "info": "_info"}
    families = [family for family in registry.collect() if family.name.startswith(prefix)]
    return {family.name + suffixes.get(family.type, "") for family in families}

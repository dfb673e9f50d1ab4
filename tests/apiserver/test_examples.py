"""A real API server accepts every file in examples/."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Kubectl = Callable[..., str]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
MANIFESTS = sorted(path.name for path in EXAMPLES.glob("*.yaml") if path.name != "kustomization.yaml")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FENCED = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
APPLY = ("apply", "--server-side", "--dry-run=server", "--validate=strict")

pytestmark = pytest.mark.usefixtures("api")


@pytest.mark.parametrize("name", MANIFESTS)
def test_an_example_is_accepted(kubectl: Kubectl, name: str) -> None:
    printed = kubectl(*APPLY, "-f", EXAMPLES / name)
    assert ".berth.dev/" in printed


def test_what_a_document_shows_is_accepted(kubectl: Kubectl) -> None:
    shown = [block for path in DOCUMENTS for block in FENCED.findall(path.read_text())]
    manifests = [block for block in shown if "kind: ModelDeployment" in block]
    assert len(manifests) >= 2
    for manifest in manifests:
        kubectl(*APPLY, "-f", "-", stdin=manifest)


def test_what_the_chart_shows_to_artifact_hub_is_accepted(kubectl: Kubectl) -> None:
    chart = yaml.safe_load((ROOT / "charts" / "berth" / "Chart.yaml").read_text())
    for example in yaml.safe_load(chart["annotations"]["artifacthub.io/crdsExamples"]):
        kubectl(*APPLY, "-f", "-", stdin=yaml.safe_dump(example))


def test_there_is_an_example_for_each_target() -> None:
    objects = [each for name in MANIFESTS for each in yaml.safe_load_all((EXAMPLES / name).read_text())]
    targets = {each["spec"]["target"] for each in objects if each["kind"] == "ModelDeployment"}
    assert targets == {"AKS", "ACI", "IoTEdge", "FPGA"}


def test_names_do_not_collide_where_all_are_applied() -> None:
    objects = [each for name in MANIFESTS for each in yaml.safe_load_all((EXAMPLES / name).read_text())]
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))


def test_the_readme_lists_every_example() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    assert [name for name in MANIFESTS if f"({name})" not in readme] == []


def test_the_kustomization_brings_the_models_that_the_manifests_name(
    kubectl: Kubectl, tmp_path: Path
) -> None:
    copy = shutil.copytree(EXAMPLES, tmp_path / "examples")
    subprocess.run([sys.executable, copy / "iris" / "train.py", copy / "iris" / "out"], check=True)
    printed = kubectl(*APPLY, "--output=yaml", "-k", copy)
    objects = yaml.safe_load(printed)["items"]
    keys = {
        each["metadata"]["name"]: {*each.get("data", {}), *each.get("binaryData", {})}
        for each in objects
        if each["kind"] == "ConfigMap"
    }
    sources = [
        source["uri"].removeprefix("configmap://").split("/")
        for each in objects
        if each["kind"] == "ModelDeployment"
        for source in (each["spec"]["model"], each["spec"].get("code"))
        if source
    ]
    assert len(sources) == 3
    for name, *key in sources:
        assert set(key) <= keys[name]

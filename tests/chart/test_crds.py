"""The chart brings the resource that the API models generate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Render = Callable[..., Any]
CRD = "modeldeployments.berth.dev"


def test_the_copies_in_the_chart_are_the_generated_files(chart: Path) -> None:
    generated = {path.name: path.read_text() for path in (chart.parents[1] / "crds").glob("*.yaml")}
    copies = {path.name: path.read_text() for path in (chart / "files" / "crds").glob("*.yaml")}
    assert generated
    assert copies == generated


def test_the_resource_is_rendered_as_it_is_but_kept_on_uninstall(render: Render, chart: Path) -> None:
    rendered = render().one("CustomResourceDefinition", CRD)
    assert rendered["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert rendered == yaml.safe_load((chart / "files" / "crds" / f"{CRD}.yaml").read_text())


def test_the_resource_goes_with_the_release_where_that_is_wanted(render: Render, chart: Path) -> None:
    rendered = render("crds.keep=false").one("CustomResourceDefinition", CRD)
    assert rendered == yaml.safe_load((chart / "files" / "crds" / f"{CRD}.yaml").read_text())


def test_the_resource_can_be_left_to_an_administrator(render: Render) -> None:
    assert render("crds.enabled=false").of("CustomResourceDefinition") == []


def test_the_chart_tells_of_every_resource(chart: Path) -> None:
    annotations = yaml.safe_load((chart / "Chart.yaml").read_text())["annotations"]
    told = {each["name"] for each in yaml.safe_load(annotations["artifacthub.io/crds"])}
    assert told == {path.stem for path in (chart / "files" / "crds").glob("*.yaml")}

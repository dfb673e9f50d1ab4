"""The most that a spec allows, and what Linux and Kubernetes take."""

import subprocess
from typing import Any

import orjson
import pytest
from deployments import IMAGE, Spec, aks_specs, spec, subject
from hypothesis import given
from hypothesis import strategies as st

from berth.api.conditions import Reason
from berth.core.errors import Terminal
from berth.plan.children import deployment
from berth_scoring.config import ScoringConfig

LONGEST_STRING = 128 * 1024
"""What Linux takes of `NAME=value` with the NUL after it."""


def models(count: int, uri: str) -> Spec:
    """Give a spec with so many models of the same URI."""
    found = [{"name": f"model-{number}", "uri": uri, "format": "onnx"} for number in range(count)]
    return spec(model=None, models=found)


def environments(fields: Spec) -> list[dict[str, str]]:
    """Give the plain variables of the two containers, as Kubernetes passes them on."""
    template = deployment(subject(fields), IMAGE, observed=None).body["spec"]["template"]["spec"]
    return [
        {each["name"]: each["value"] for each in container["env"] if "value" in each}
        for container in (*template.get("initContainers", ()), *template["containers"])
    ]


@pytest.mark.parametrize(
    "uri", ["https://example.org/" + "x" * 300, "https://example.org/" + "é" * 150, "pvc://models/iris"]
)
def test_a_thousand_models_reach_the_container(uri: str) -> None:
    for environment in environments(models(1000, uri)):
        told = ScoringConfig.from_environment(environment)
        assert [model.uri for model in told.models] == [uri] * 1000
        assert max(len(f"{name}={value}".encode()) for name, value in environment.items()) < LONGEST_STRING
        subprocess.run(["/bin/true"], env=environment, check=True)


@given(st.text(st.characters(codec="utf-8", exclude_characters=" ."), min_size=1, max_size=20))
def test_kubernetes_finds_nothing_to_replace_in_what_the_container_is_told(path: str) -> None:
    uri = f"https://example.org/$(HOME)/$${path}"
    for environment in environments(models(1, uri)):
        assert "$" not in environment["BERTH_SCORING_CONFIG"]
        assert ScoringConfig.from_environment(environment).models[0].uri == uri


@given(aks_specs())
def test_a_short_configuration_is_one_variable(fields: Spec) -> None:
    for environment in environments(fields):
        told = orjson.loads(environment["BERTH_SCORING_CONFIG"])
        assert told["name"] == "iris"
        assert "BERTH_SCORING_CONFIG_1" not in environment


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (models(1000, "https://example.org/" + "x" * 1000), "spec.models"),
        (spec(env=[{"name": f"V{number}", "value": "x" * 30_000} for number in range(40)]), "spec.env"),
    ],
)
def test_what_no_cluster_can_store_is_refused_by_the_name_of_the_field(fields: Spec, named: str) -> None:
    with pytest.raises(Terminal, match=f"{named} is too large") as refused:
        deployment(subject(fields), IMAGE, observed=None)
    assert refused.value.reason is Reason.TOO_LARGE
    assert refused.value.retry_after is None


def test_a_part_of_the_configuration_that_is_missing_is_told() -> None:
    environment: dict[str, Any] = environments(models(1000, "pvc://models/iris"))[0]
    del environment["BERTH_SCORING_CONFIG_2"]
    with pytest.raises(ValueError, match="BERTH_SCORING_CONFIG is not JSON"):
        ScoringConfig.from_environment(environment)

"""The expressions that docs/flux offers, evaluated by the CEL of a real API server."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_sandbox.errors import SandboxError

Kubectl = Callable[..., str]

FLUX = Path(__file__).resolve().parents[2] / "docs" / "flux" / "kustomization.yaml"
MANIFEST = """
apiVersion: berth.dev/v1alpha1
kind: ModelDeployment
metadata: {name: under-flux}
spec: {target: AKS, image: registry.example.org/server}
"""
ADMISSION = "admissionregistration.k8s.io/v1"


def verdict() -> str:
    """Flux asks in this order and takes the first that is true."""
    (checks,) = yaml.safe_load(FLUX.read_text())["spec"]["healthCheckExprs"]
    assert (checks["apiVersion"], checks["kind"]) == ("berth.dev/v1alpha1", "ModelDeployment")
    steps = [f"({checks[name]}) ? 'flux says {name}' : " for name in ("inProgress", "failed", "current")]
    expression = "".join(steps) + "'flux says nothing'"
    return expression.replace("status.", "object.status.").replace("metadata.", "object.metadata.")


@pytest.fixture(scope="module")
def judged(api: Any, kubectl: Kubectl) -> None:
    """Every status is refused, with the verdict as the message."""
    resources = {"apiGroups": ["berth.dev"], "apiVersions": ["*"], "operations": ["UPDATE"]}
    rules = [{**resources, "resources": ["modeldeployments/status"]}]
    named = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "flux"}}}
    policy = {
        "matchConstraints": {"resourceRules": rules, **named},
        "validations": [{"expression": "false", "messageExpression": verdict()}],
    }
    binding = {"policyName": "flux", "validationActions": ["Deny"]}
    kubectl("create", "namespace", "flux")
    for kind, spec in (("ValidatingAdmissionPolicy", policy), ("ValidatingAdmissionPolicyBinding", binding)):
        body = {"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": "flux"}, "spec": spec}
        kubectl("create", "-f", "-", stdin=json.dumps(body))
    kubectl("create", "--namespace=flux", "-f", "-", stdin=MANIFEST)
    deadline = time.monotonic() + 30
    while not refusal(kubectl, {"observedGeneration": -1}):
        assert time.monotonic() < deadline, "the policy is not in force"


def refusal(kubectl: Kubectl, status: dict[str, Any]) -> str:
    patch = json.dumps({"status": status})
    words = ("--namespace=flux", "--subresource=status", "--type=merge", f"--patch={patch}")
    try:
        kubectl("patch", "mdep/under-flux", *words)
    except SandboxError as error:
        return str(error)
    return ""


def condition(kind: str, status: str) -> dict[str, str]:
    moment = "2026-01-01T00:00:00Z"
    return {"type": kind, "status": status, "reason": "Why", "message": "", "lastTransitionTime": moment}


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize(
    ("observed", "conditions", "expected"),
    [
        (-1, None, "inProgress"),
        (0, {"Ready": "True"}, "inProgress"),
        (1, {"Ready": "False", "Reconciling": "True"}, "inProgress"),
        (1, {"Ready": "False", "Stalled": "True"}, "failed"),
        (1, {"Ready": "True"}, "current"),
        (1, {"Ready": "Unknown"}, "nothing"),
    ],
)
def test_flux_reads_the_status_as_it_is_meant(
    kubectl: Kubectl, observed: int, conditions: dict[str, str] | None, expected: str
) -> None:
    listed = conditions and [condition(kind, status) for kind, status in conditions.items()]
    status = {"observedGeneration": observed, "conditions": listed}
    assert f"flux says {expected}" in refusal(kubectl, status)

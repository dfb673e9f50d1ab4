"""What users and the operator do with a ModelDeployment: defaults, apply, scale, status, explain."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_requests import MODEL_DEPLOYMENTS, ApiServer, manifest
from manifests import BASES, DIGEST, put
from schema_walk import Schema, fields, leaves, violations

from berth.schema.crd import model_deployment_schema

Kubectl = Callable[..., str]

ROOT: Schema = model_deployment_schema()
STATUS: Schema = ROOT["properties"]["status"]
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"

OBSERVED = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-21T12:00:00Z",
            "reason": "Ready",
            "message": "The current spec serves",
        }
    ],
    "scoringUri": "http://iris.team-a.svc/score",
    "swaggerUri": "http://iris.team-a.svc/swagger.json",
    "grpcEndpoint": "iris.team-a.svc:80",
    "replicas": 2,
    "readyReplicas": 1,
    "selector": "berth.dev/deployment=iris",
    "model": {"name": "iris", "version": "3", "digest": f"sha256:{DIGEST}"},
    "auth": {"mode": "Key", "secretName": "iris-keys"},
    "deployDurationSeconds": 12.5,
    "lastHandledReconcileAt": "2026-11-21T12:00:00Z",
    "aks": {"exposeType": "ClusterIP", "serviceName": "iris"},
    "aci": {
        "resourceId": "/subscriptions/s/resourceGroups/models/providers/x/containerGroups/demo-iris-3249b592",
        "location": "eastus",
        "provisioningState": "Succeeded",
        "state": "Running",
        "ip": "20.0.0.1",
        "fqdn": "iris-demo-1a2b3c4d.eastus.azurecontainer.io",
        "restarts": 0,
    },
    "iotEdge": {
        "deploymentId": "berth-iris-1a2b3c4d",
        "targeted": 4,
        "applied": 4,
        "running": 2,
        "failed": 1,
        "offline": 1,
        "outOfDate": 0,
        "stage": "1 of 3",
        "stageHealthySince": "2026-11-21T12:00:00Z",
        "failingDevices": [
            {"deviceId": "press-2", "runtimeStatus": "backoff", "exitCode": 137, "description": "exited"}
        ],
    },
    "fpga": {
        "serviceName": "iris",
        "device": "cpu",
        "executionProvider": "CPUExecutionProvider",
        "devices": {
            "resourceName": "fpga.example.com/arria10",
            "total": 2,
            "allocated": 1,
            "free": 1,
            "pending": 0,
        },
        "held": 1,
        "nodes": ["fpga-0"],
    },
}


@pytest.fixture
def stored(api: ApiServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of a stored ModelDeployment for AKS."""
    name = f"stored-{abs(hash(request.node.name))}"
    status, answer = api.send("POST", MODEL_DEPLOYMENTS, manifest(BASES["AKS"], name))
    assert status == 201, answer
    yield f"{MODEL_DEPLOYMENTS}/{name}"
    api.send("DELETE", f"{MODEL_DEPLOYMENTS}/{name}")


def test_every_default_is_visible(api: ApiServer, stored: str) -> None:
    _, answer = api.send("GET", stored)
    assert answer["spec"] == {
        "target": "AKS",
        "model": {
            "name": "iris",
            "version": "1",
            "uri": "https://example.org/iris.onnx",
            "format": "onnx",
        },
        "resources": {"requests": {"cpu": "100m", "memory": "500M"}},
        "scaling": {"replicas": 1, "minReplicas": 1, "metric": "CPU", "targetUtilizationPercent": 70},
        "requests": {
            "timeoutMilliseconds": 60000,
            "maxConcurrentPerReplica": 1,
            "maxQueueWaitMilliseconds": 500,
        },
        "probes": {
            "startup": {"budgetSeconds": 310},
            "liveness": {
                "initialDelaySeconds": 0,
                "periodSeconds": 10,
                "timeoutSeconds": 2,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
            "readiness": {
                "initialDelaySeconds": 0,
                "periodSeconds": 5,
                "timeoutSeconds": 2,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
        },
        "suspend": False,
        "deletionPolicy": "Delete",
    }
    assert answer["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("part", ["aks", "probes", "resources", "validation"])
def test_defaults_inside_a_part_are_visible_when_it_is_begun(api: ApiServer, part: str) -> None:
    begun = {
        "aks": ({}, {"expose": {"type": "ClusterIP", "internal": False}, "progressDeadlineSeconds": 600}),
        "probes": ({"startup": {"budgetSeconds": 5}}, None),
        "resources": ({"requests": {"cpu": 1}}, {"requests": {"cpu": 1, "memory": "500M"}}),
        "validation": (
            {"request": {"body": "[]"}},
            {
                "request": {"body": "[]", "path": "/score", "contentType": "application/json"},
                "expect": {"statusCode": 200},
                "timeoutSeconds": 10,
            },
        ),
    }
    given, expected = begun[part]
    status, answer = api.try_create(BASES["AKS"] | {part: given})
    assert status == 201, answer
    assert answer["spec"][part] == (expected or answer["spec"][part])
    assert "liveness" in answer["spec"]["probes"]


def test_a_status_given_at_creation_does_not_count(api: ApiServer) -> None:
    body = manifest(BASES["AKS"], "eager") | {"status": OBSERVED}
    _, answer = api.send("POST", f"{MODEL_DEPLOYMENTS}?dryRun=All", body)
    assert answer["status"] == {"observedGeneration": -1}


def test_every_field_of_the_status_is_read_back_unchanged(api: ApiServer, stored: str) -> None:
    _, answer = api.send("PATCH", f"{stored}/status", {"status": OBSERVED}, MERGE)
    assert answer["status"] == OBSERVED
    assert answer["metadata"]["generation"] == 1


def test_every_field_of_the_status_is_in_the_walk() -> None:
    walked = {path for path, _ in leaves(STATUS) if _has(OBSERVED, path.replace("[]", ".0").split("."))}
    assert walked == {path for path, _ in leaves(STATUS)}


def _has(part: Any, way: list[str]) -> bool:
    if not way:
        return True
    step: Any = int(way[0]) if isinstance(part, list) else way[0]
    return (isinstance(part, list) or step in part) and _has(part[step], way[1:])


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param(path, value, expected, id=f"{path}-{bound}")
        for path, field in fields(STATUS)
        for bound, value, expected in violations(field)
    ],
)
def test_a_status_out_of_bounds_is_refused(
    api: ApiServer, stored: str, path: str, value: Any, expected: str
) -> None:
    observed = copy.deepcopy(OBSERVED)
    put(observed, path, value)
    status, answer = api.send("PATCH", f"{stored}/status?dryRun=All", {"status": observed}, MERGE)
    assert status == 422
    assert expected in answer["message"]


def test_applying_twice_writes_nothing(api: ApiServer) -> None:
    # The first write after the creation stores the default of the status, whoever makes it.
    path, body = f"{MODEL_DEPLOYMENTS}/twice", manifest(BASES["AKS"], "twice")
    api.send("PATCH", f"{path}?fieldManager=test", body, APPLY)
    _, observed = api.send("PATCH", f"{path}/status", {"status": OBSERVED}, MERGE)
    _, again = api.send("PATCH", f"{path}?fieldManager=test", body, APPLY)
    assert again == observed


def test_applying_twice_never_changes_the_generation(api: ApiServer) -> None:
    path, body = f"{MODEL_DEPLOYMENTS}/again?fieldManager=test", manifest(BASES["AKS"], "again")
    answers = [api.send("PATCH", path, body, APPLY)[1] for _ in range(3)]
    assert [answer["metadata"]["generation"] for answer in answers] == [1, 1, 1]
    assert answers[0]["spec"] == answers[1]["spec"]
    assert answers[1] == answers[2]


def test_scale_sets_the_replicas_and_reads_what_there_is(api: ApiServer, stored: str) -> None:
    api.send("PATCH", f"{stored}/status", {"status": OBSERVED}, MERGE)
    _, answer = api.send("PATCH", f"{stored}/scale", {"spec": {"replicas": 3}}, MERGE)
    assert answer["spec"] == {"replicas": 3}
    assert answer["status"] == {"replicas": 2, "selector": "berth.dev/deployment=iris"}
    _, answer = api.send("GET", stored)
    assert answer["spec"]["scaling"]["replicas"] == 3


def test_scale_is_refused_while_the_autoscaler_decides(api: ApiServer, stored: str) -> None:
    api.send("PATCH", stored, {"spec": {"scaling": {"maxReplicas": 5}}}, MERGE)
    status, answer = api.send("PATCH", f"{stored}/scale", {"spec": {"replicas": 3}}, MERGE)
    assert status == 422
    assert "replicas and maxReplicas exclude each other" in answer["message"]


SCALINGS: list[dict[str, Any]] = [
    {},
    {"scaling": {"replicas": 3}},
    {"scaling": {"minReplicas": 2, "maxReplicas": 5, "targetUtilizationPercent": 50}},
]


@pytest.mark.parametrize("options", [[], ["--server-side"]], ids=["client-side", "server-side"])
@pytest.mark.parametrize("before", SCALINGS, ids=["default", "fixed", "autoscaled"])
@pytest.mark.parametrize("after", SCALINGS, ids=["default", "fixed", "autoscaled"])
def test_kubectl_apply_changes_any_scaling_into_any_other(
    api: ApiServer, kubectl: Kubectl, options: list[str], before: dict[str, Any], after: dict[str, Any]
) -> None:
    for scaling in (before, after):
        document = json.dumps(manifest(BASES["AKS"] | scaling, "changing"))
        kubectl("apply", *options, "-f", "-", stdin=document)
    _, answer = api.send("GET", f"{MODEL_DEPLOYMENTS}/changing")
    api.send("DELETE", f"{MODEL_DEPLOYMENTS}/changing")
    defaults = {"replicas": 1, "minReplicas": 1, "metric": "CPU", "targetUtilizationPercent": 70}
    assert answer["spec"]["scaling"] == defaults | after.get("scaling", {})


def test_the_crd_itself_can_be_applied_client_side(api: ApiServer, kubectl: Kubectl) -> None:
    crd = Path(__file__).resolve().parents[2] / "crds/modeldeployments.berth.dev.yaml"
    printed = kubectl("apply", "--dry-run=server", "-f", crd)
    assert "modeldeployments.berth.dev" in printed
    assert len(json.dumps(yaml.safe_load(crd.read_text()))) < 256 * 1024


def test_the_table_tells_what_matters(api: ApiServer, kubectl: Kubectl, stored: str) -> None:
    api.send("PATCH", f"{stored}/status", {"status": OBSERVED}, MERGE)
    name = stored.rpartition("/")[2]
    head, row = kubectl("get", "mdep", name).splitlines()
    assert head.split() == ["NAME", "READY", "REASON", "TARGET", "MODEL", "REPLICAS", "AGE"]
    assert row.split()[:6] == [name, "True", "Ready", "AKS", "iris", "2"]
    wide = kubectl("get", "mdep", name, "-o", "wide").splitlines()
    assert wide[0].split()[-3:] == ["ENDPOINT", "DEVICE", "AGE"]
    assert wide[1].split()[-4:-1] == ["http://iris.team-a.svc/score", "iris.team-a.svc:80", "cpu"]


def test_explain_tells_of_every_field(api: ApiServer, kubectl: Kubectl) -> None:
    explained = kubectl("explain", "mdep", "--recursive")
    names = {path.rpartition(".")[2].removesuffix("[]") for path, _ in fields(ROOT)}
    assert [name for name in names if f" {name}\t<" not in explained] == []


def test_explain_describes_a_field(api: ApiServer, kubectl: Kubectl) -> None:
    printed = kubectl("explain", "mdep.spec.model.sha256")
    assert "Digest that the fetched content must have, in lower-case hex." in printed

"""What `plan/children.py` takes for the largest Deployment is stored, and so are its Pods."""

from typing import Any

import orjson
import pytest
from deployments import IMAGE, spec, subject

from berth.kube.client import Api
from berth.plan.children import deployment
from berth.plan.resources import DEPLOYMENTS, PODS, Resource

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
NEARLY = 960_000
SOURCES: dict[str, dict[str, Any]] = {
    "https": {"uri": "https://example.org/" + "x" * 345},
    "https with credentials": {
        "uri": "https://example.org/" + "x" * 225,
        "credentialsSecretRef": {"name": "blob"},
    },
    "pvc": {"uri": "pvc://models/" + "x" * 103},
    "configmap": {"uri": f"configmap://{'x' * 124}/model.onnx"},
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_the_largest_deployment_and_its_pods_are_stored(
    client: Api, namespace: str, source: dict[str, Any]
) -> None:
    found = [{"name": f"model-{number:03}", "format": "onnx", **source} for number in range(1000)]
    of = subject(spec(model=None, models=found), namespace=namespace)
    body = deployment(of, IMAGE, observed=None).body
    assert len(orjson.dumps(body)) > NEARLY
    await client.apply(DEPLOYMENTS, body)
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    await client.apply(SERVICE_ACCOUNTS, account | {"metadata": {"name": "default", "namespace": namespace}})
    template = body["spec"]["template"]
    named = template["metadata"] | {"name": "iris-1", "namespace": namespace}
    await client.create(PODS, {**template, "apiVersion": "v1", "kind": "Pod", "metadata": named})
    status = {
        f"{kind[:-1]}Statuses": [container_status(each) for each in template["spec"][kind]]
        for kind in ("initContainers", "containers")
    }
    told = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "iris-1", "namespace": namespace}}
    await client.apply_status(PODS, told | {"status": status})


def container_status(container: dict[str, Any]) -> dict[str, Any]:
    """Tell what a kubelet does of a container, with each of its mounts."""
    mounts = [each | {"recursiveReadOnly": "Disabled"} for each in container["volumeMounts"]]
    told = {"image": container["image"], "imageID": "sha256:1", "ready": True, "restartCount": 0}
    return {"name": container["name"], "volumeMounts": mounts, **told}

"""Requests to an API server over one kept connection."""

import json
from typing import Any

import urllib3

from berth_sandbox.cluster.control_plane import ControlPlane

MODEL_DEPLOYMENTS = "/apis/berth.dev/v1alpha1/namespaces/default/modeldeployments"
COMPUTE_TARGETS = "/apis/berth.dev/v1alpha1/computetargets"


class ApiServer:
    """One kept connection to an API server, renewed when the server closed it for idleness."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._url = control_plane.url
        self._pool = urllib3.PoolManager(ca_certs=str(control_plane.authority), timeout=60, retries=False)
        self._token = control_plane.token

    def send(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Send a request; give the status code and the answer."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        content = json.dumps(body) if body else None
        answer = self._pool.request(method, self._url + path, body=content, headers=headers)
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.status, answer.json() if is_json else answer.data.decode()

    def try_create(self, spec: dict[str, Any], name: str = "iris") -> tuple[int, Any]:
        """Create a ModelDeployment without keeping it, refusing unknown fields."""
        path = f"{MODEL_DEPLOYMENTS}?dryRun=All&fieldValidation=Strict"
        return self.send("POST", path, manifest(spec, name))

    def close(self) -> None:
        self._pool.clear()


def manifest(spec: dict[str, Any], name: str = "iris") -> dict[str, Any]:
    """Give a ModelDeployment."""
    kind = {"apiVersion": "berth.dev/v1alpha1", "kind": "ModelDeployment"}
    return kind | {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def compute_target(spec: dict[str, Any], name: str = "dev") -> dict[str, Any]:
    """Give a ComputeTarget."""
    kind = {"apiVersion": "berth.dev/v1alpha1", "kind": "ComputeTarget"}
    return kind | {"metadata": {"name": name}, "spec": spec}

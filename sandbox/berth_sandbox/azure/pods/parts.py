"""What every Pod of the emulator has: names, labels and Secrets that go with it."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from berth_sandbox.azure.backing import Registry
from berth_sandbox.azure.names import Document

START = "azure.berth.dev/start"
"""Label with what tells one start from others; all that belongs to it is deleted by it."""
GRACE_SECONDS = 5
REGISTRIES = "kubernetes.io/dockerconfigjson"


@dataclass(frozen=True)
class Parts:
    """A Pod and the Secrets that it reads, whose names begin with its own."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def pod(self, spec: Document) -> Document:
        """Return a Pod that has no business with the cluster."""
        own = {
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
        }
        return self._object("Pod", self.name) | {"spec": own | spec}

    def secret(self, part: str, files: Mapping[str, bytes], kind: str = "Opaque") -> Document:
        """Return a Secret with some files."""
        data = {key: base64.b64encode(value).decode() for key, value in files.items()}
        return self._object("Secret", f"{self.name}-{part}") | {"type": kind, "data": data}

    def _object(self, kind: str, name: str) -> Document:
        metadata = {"name": name, "labels": dict(self.labels), "annotations": dict(self.annotations)}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def encoded(values: Mapping[str, str]) -> dict[str, bytes]:
    """Return texts as a Secret holds them."""
    return {name: value.encode() for name, value in values.items()}


def passwords(registries: Iterable[Registry]) -> bytes:
    """Return the passwords for the kubelet; no identity of Azure's is known to it."""
    known = {
        registry.server: {"username": registry.username, "password": registry.password}
        for registry in registries
        if registry.password
    }
    return json.dumps({"auths": known}).encode() if known else b""

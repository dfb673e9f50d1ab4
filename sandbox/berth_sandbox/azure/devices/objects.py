"""From what an agent is told of a module to the Pod that runs it and the Secrets that the Pod reads."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from berth_sandbox.azure.backing import Registry
from berth_sandbox.azure.devices.options import Bind, Options
from berth_sandbox.azure.names import Document
from berth_sandbox.azure.pods.parts import REGISTRIES, START, Parts, encoded, passwords

DEVICE = "azure.berth.dev/device"
MODULE = "azure.berth.dev/module"
CONTAINER = "module"
FOLDER = PurePosixPath("/var/lib/azure-devices")
"""Where the node keeps the volumes of devices."""
TRUST = PurePosixPath("/run/azure-devices")
RESTART = {"always": "Always", "on-unhealthy": "Always", "on-failure": "OnFailure", "never": "Never"}
OPEN = "import os, sys; [os.chmod(path, 0o1777) for path in sys.argv[1:]]"
REQUESTS = {"cpu": "50m", "memory": "64Mi"}
"""What the scheduler is asked for: a device is a machine of its own, and the node is small."""


@dataclass(frozen=True)
class Surroundings:
    """What there is around every module of the emulator."""

    helper: str
    """An image with Python, to prepare volumes."""
    authority: str = ""
    """Certificates in PEM that modules trust in place of their image's."""
    hosts: tuple[tuple[str, str], ...] = ()
    """Addresses and the names that they go by, in no DNS."""


@dataclass(frozen=True)
class ModuleObjects:
    """One start of a module on a device; `environment` is what the agent adds to the module's own."""

    device: str
    module: str
    spec: Mapping[str, Any]
    environment: Mapping[str, str]
    registries: tuple[Registry, ...]
    surroundings: Surroundings
    start: str

    @property
    def name(self) -> str:
        """Return the name of the Pod."""
        stem = re.sub("[^a-z0-9]+", "-", f"{self.device}-{self.module}".lower())[:50].strip("-")
        return f"{stem}-{self.start}"

    def secrets(self) -> Iterator[Document]:
        """Give the Secrets: they must be there before the Pod."""
        yield self._parts.secret("env", encoded(self._variables()))
        if self.surroundings.authority:
            yield self._parts.secret("trust", encoded({"ca.pem": self.surroundings.authority}))
        if registries := passwords(self.registries):
            yield self._parts.secret("registries", {".dockerconfigjson": registries}, REGISTRIES)

    def pod(self) -> Document:
        """Return the Pod; raises OptionsError."""
        options = Options.of(self.spec["settings"])
        volumes = dict(self._volumes(options))
        pulling = [{"name": f"{self.name}-registries"}] if passwords(self.registries) else []
        named = [bind for bind in options.binds if not bind.source.startswith("/")]
        return self._parts.pod(
            {
                "restartPolicy": RESTART[self.spec.get("restartPolicy", "always")],
                "hostname": self.module[:63].lower().replace("_", "-"),
                "hostAliases": [{"ip": ip, "hostnames": [name]} for ip, name in self.surroundings.hosts],
                "initContainers": [self._opening(named)] if named else [],
                "containers": [self._container(options)],
                "volumes": [{"name": name, **source} for name, source in volumes.items()],
                "imagePullSecrets": pulling,
            }
        )

    @property
    def _parts(self) -> Parts:
        labels = {DEVICE: self.device, MODULE: self.module, START: self.start}
        return Parts(self.name, labels, {})

    def _variables(self) -> dict[str, str]:
        own = {name: str(entry.get("value", "")) for name, entry in (self.spec.get("env") or {}).items()}
        trusted = {"SSL_CERT_FILE": f"{TRUST}/ca.pem"} if self.surroundings.authority else {}
        return {**Options.of(self.spec["settings"]).environment, **trusted, **own, **self.environment}

    def _container(self, options: Options) -> Document:
        mounts = [
            {"name": _name(bind.source), "mountPath": bind.path, "readOnly": bind.read_only}
            for bind in options.binds
        ]
        mounts += [{"name": _name(path), "mountPath": path} for path in options.tmpfs]
        if self.surroundings.authority:
            mounts.append({"name": "trust", "mountPath": str(TRUST), "readOnly": True})
        limits = {"limits": {"memory": str(options.memory)}} if options.memory else {}
        return {
            "name": CONTAINER,
            "image": self.spec["settings"]["image"],
            "imagePullPolicy": "Never" if self.spec.get("imagePullPolicy") == "never" else "IfNotPresent",
            "command": list(options.entrypoint),
            "args": list(options.command),
            "envFrom": [{"secretRef": {"name": f"{self.name}-env"}}],
            "ports": [{"containerPort": port} for port in options.ports],
            "volumeMounts": mounts,
            "resources": {"requests": {} if options.memory else REQUESTS, **limits},
            "securityContext": dict(options.security),
        }

    def _volumes(self, options: Options) -> Iterator[tuple[str, Document]]:
        for bind in options.binds:
            path = str(FOLDER / self.device / _kept_in(bind))
            yield _name(bind.source), {"hostPath": {"path": path, "type": "DirectoryOrCreate"}}
        for path in options.tmpfs:
            yield _name(path), {"emptyDir": {"medium": "Memory"}}
        if self.surroundings.authority:
            yield "trust", {"secret": {"secretName": f"{self.name}-trust"}}

    def _opening(self, binds: list[Bind]) -> Document:
        """Let everyone write into the volumes: Docker would give them the owner of the image's folder."""
        places = {_name(bind.source): f"/volumes/{_name(bind.source)}" for bind in binds}
        return {
            "name": "volumes",
            "image": self.surroundings.helper,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", OPEN, *places.values()],
            "volumeMounts": [{"name": name, "mountPath": path} for name, path in places.items()],
            "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
        }


def _kept_in(bind: Bind) -> str:
    """Return where a device keeps what is bound: a folder of its own in place of the node's."""
    return f"files{bind.source}" if bind.source.startswith("/") else f"volumes/{bind.source}"


def _name(source: str) -> str:
    """Return a name for a volume of a Pod, which may be no path."""
    return f"volume-{hashlib.sha256(source.encode()).hexdigest()[:8]}"

"""From what a container group describes to the Pod that runs it and the Secrets that the Pod reads."""

from collections.abc import Iterator
from dataclasses import dataclass

from berth_sandbox.azure.backing import Container, Launch, Volume
from berth_sandbox.azure.names import Document
from berth_sandbox.azure.pods.parts import REGISTRIES, START, Parts, encoded, passwords

GROUP = "azure.berth.dev/container-group"
ID = "azure.berth.dev/id"
SHARE = 10
"""A Pod asks the scheduler for this fraction of a group's CPU and memory: the node is small, and idles."""
NUMBERS = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold")


@dataclass(frozen=True)
class Objects:
    """One start of a group; `start` tells it from others of the same group."""

    launch: Launch
    start: str

    @property
    def name(self) -> str:
        """Return the name of the Pod, with which all names begin."""
        return f"{self.launch.group.name.lower()}-{self.start}"

    def secrets(self) -> Iterator[Document]:
        """Give the Secrets: they must be there before the Pod."""
        for container in (*self.launch.init_containers, *self.launch.containers):
            if container.environment:
                yield self._parts.secret(f"env-{container.name}", encoded(container.environment))
        for volume in self.launch.volumes:
            if volume.files is not None:
                yield self._parts.secret(f"volume-{volume.name}", volume.files)
        if registries := passwords(self.launch.registries):
            yield self._parts.secret("registries", {".dockerconfigjson": registries}, REGISTRIES)

    def pod(self) -> Document:
        """Return the Pod."""
        pulling = [{"name": f"{self.name}-registries"}] if passwords(self.launch.registries) else []
        return self._parts.pod(
            {
                "restartPolicy": self.launch.restart_policy,
                "initContainers": [self._container(each) for each in self.launch.init_containers],
                "containers": [self._container(each) for each in self.launch.containers],
                "volumes": [self._volume(each) for each in self.launch.volumes],
                "imagePullSecrets": pulling,
            }
        )

    @property
    def _parts(self) -> Parts:
        labels = {GROUP: self.launch.group.name, START: self.start}
        return Parts(self.name, labels, {ID: str(self.launch.group)})

    def _container(self, container: Container) -> Document:
        described: Document = {
            "name": container.name,
            "image": container.image,
            "imagePullPolicy": "IfNotPresent",
            "command": list(container.command),
            "ports": [{"containerPort": port} for port in container.ports],
            "volumeMounts": [
                {"name": mount.volume, "mountPath": mount.path, "readOnly": mount.read_only}
                for mount in container.mounts
            ],
            "resources": _resources(container),
            "securityContext": _security_context(container.security_context or {}),
        }
        if container.environment:
            described["envFrom"] = [{"secretRef": {"name": f"{self.name}-env-{container.name}"}}]
        probes = {"livenessProbe": container.liveness_probe, "readinessProbe": container.readiness_probe}
        return described | {name: _probe(probe) for name, probe in probes.items() if probe}

    def _volume(self, volume: Volume) -> Document:
        if volume.files is not None:
            return {"name": volume.name, "secret": {"secretName": f"{self.name}-volume-{volume.name}"}}
        if "emptyDir" in (volume.source or {}):
            return {"name": volume.name, "emptyDir": {}}
        raise ValueError(f"Volume {volume.name} is of a kind that no Pod here can have: {volume.source}")


def _resources(container: Container) -> Document:
    """Limit the memory as Azure does; CPU has no limit, since nobody pays for it."""
    if not container.memory_in_gb:
        return {}
    megabytes = container.memory_in_gb * 1000
    return {
        "requests": {
            "cpu": f"{container.cpu * 1000 / SHARE:.0f}m",
            "memory": f"{megabytes / SHARE:.0f}M",
        },
        "limits": {"memory": f"{megabytes:.0f}M"},
    }


def _security_context(asked: Document) -> Document:
    """Keep what means the same in both; a seccomp profile is a file in Azure, and a name in Kubernetes."""
    return {name: value for name, value in asked.items() if name != "seccompProfile"}


def _probe(asked: Document) -> Document:
    numbers = {name: asked[name] for name in NUMBERS if asked.get(name)}
    if "exec" in asked:
        return {**numbers, "exec": {"command": asked["exec"]["command"]}}
    get = asked["httpGet"]
    return {**numbers, "httpGet": {**get, "scheme": get.get("scheme", "http").upper()}}

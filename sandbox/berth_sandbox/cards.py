"""Emulated FPGAs of a cluster's nodes, which a device plugin announces to the kubelet."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from berth_sandbox import folders, images
from berth_sandbox.access import Access
from berth_sandbox.errors import SandboxError
from berth_sandbox.progress import step
from berth_sandbox.runner import last_lines

MANIFEST = folders.REPOSITORY / "sandbox" / "fpga.yaml"
NAMESPACE = "fpga"
FOLDER = "/run/fpga"
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Cards:
    """Devices of one kind; their names are no other kind's."""

    kind: str = "arria10"
    devices: tuple[str, ...] = ("acl0", "acl1")

    @property
    def resource(self) -> str:
        """Return the extended resource."""
        return f"fpga.example.com/{self.kind}"

    def plug_in(self, access: Access) -> None:
        """Run the device plugin; `wait` waits for what comes of it."""
        with step(f"plugging in {len(self.devices)} emulated FPGAs"):
            listed = {"apiVersion": "v1", "kind": "List", "items": list(self._objects())}
            access.kubectl("apply", "--filename=-", stdin=json.dumps(listed))

    def unplug(self, access: Access) -> None:
        """End the device plugin; the node goes on naming the resource, of which it has none then."""
        access.kubectl("delete", f"daemonset/{self.kind}", f"--namespace={NAMESPACE}")

    def wait(self, access: Access) -> None:
        """Wait for the node to offer all devices: the kubelet tells every ten seconds what there is."""
        end = time.monotonic() + PATIENCE_SECONDS
        with step(f"waiting for the node to offer {self.resource}"):
            while (found := self.offered(access)) != len(self.devices):
                if time.monotonic() > end:
                    told = self._last_words(access)
                    raise SandboxError(f"{found} devices {self.resource} are offered:\n{told}")
                time.sleep(0.3)

    def offered(self, access: Access) -> int:
        """Count the devices that the nodes offer."""
        nodes = json.loads(access.kubectl("get", "nodes", "--output=json"))["items"]
        return sum(int(each["status"]["allocatable"].get(self.resource, 0)) for each in nodes)

    def fail(self, access: Access, device: str) -> None:
        """Let a device die."""
        self._run(access, "rm", f"{FOLDER}/{device}/device")

    def mend(self, access: Access, device: str) -> None:
        """Let a device live again."""
        self._run(access, "touch", f"{FOLDER}/{device}/device")

    def log(self, access: Access) -> str:
        """Return what the plugin says of itself."""
        return access.kubectl("logs", f"--namespace={NAMESPACE}", f"daemonset/{self.kind}")

    def _last_words(self, access: Access) -> str:
        try:
            return last_lines(self.log(access))
        except SandboxError as error:  # it has not begun
            return str(error)

    def _run(self, access: Access, *command: str) -> None:
        access.kubectl("exec", f"--namespace={NAMESPACE}", f"daemonset/{self.kind}", "--", *command)

    def _objects(self) -> Iterator[dict[str, Any]]:
        """Give the manifest for these devices, with this checkout's image."""
        namespace, plugin = yaml.safe_load_all(MANIFEST.read_text())
        labels = {"app.kubernetes.io/name": self.kind}
        plugin["metadata"]["name"] = self.kind
        plugin["spec"]["selector"]["matchLabels"] = labels
        plugin["spec"]["template"]["metadata"]["labels"] = labels
        (container,) = plugin["spec"]["template"]["spec"]["containers"]
        container["image"] = images.SANDBOX.reference
        own = {"--resource": self.resource, "--devices": ",".join(self.devices)}
        given = dict(argument.split("=", 1) for argument in container["args"])
        container["args"] = [f"{name}={value}" for name, value in (given | own).items()]
        yield from (namespace, plugin)


CARDS = Cards()

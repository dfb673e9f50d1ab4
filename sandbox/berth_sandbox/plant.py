"""An emulated IoT hub with three devices, and what the demo does with them."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from berth_sandbox import folders
from berth_sandbox.access import Access
from berth_sandbox.errors import SandboxError
from berth_sandbox.forward import forwarded

PLACE = folders.REPOSITORY / "examples" / "iot-hub.yaml"
HUB = "plants"
HOST = "plants.azure.svc"
KEY = base64.b64encode(b"of an emulated hub, for whoever is in the cluster").decode()
POLICY = "iothubowner"
NAMESPACE = "azure-devices"
AZURE_NAMESPACE = "azure"
DEVICES = ("line-1", "line-2", "line-3")
CUT_OFF = DEVICES[-1]
TAGS = {"site": "plant-1"}
MODULE = "iris-edge"
PORT = 5001
TIMING = {"interval": 30, "query_lag": 5}
"""Seconds between two counts of the hub, and how late its queries see twins; in the cloud 300 and 30."""
HUB_PORT, WORKLOAD_PORT = 8883, 15580
FIRST_HUB_PORT, FIRST_WORKLOAD_PORT = 18883, 15581
PATIENCE_SECONDS = 30
EMULATOR = f"/api/v1/namespaces/{AZURE_NAMESPACE}/services/http:azure:http/proxy/_emulator"
DEVICES_OF_HUB = f"{EMULATOR}/hubs/{HUB}/devices"

Object = dict[str, Any]


def configuration() -> Object:
    """Return the hub as the emulator is told of it."""
    return {
        "hosts": [HOST],
        "policies": {POLICY: KEY},
        "timing": TIMING,
        "devices": dict.fromkeys(DEVICES, TAGS),
        "gateways": {
            device: {"name": _gateway(device), "hub_port": hub, "workload_port": workload}
            for device, hub, workload in _ports()
        },
        "configurations": {"base": _base_deployment()},
    }


def connection_string() -> str:
    """Return how Berth reaches the hub."""
    return f"HostName={HOST};SharedAccessKeyName={POLICY};SharedAccessKey={KEY}"


def gateways() -> Iterator[Object]:
    """Give a Service for each device, by which its modules reach its edge hub and its workload API."""
    for device, hub, workload in _ports():
        ports = [
            {"name": "hub", "port": HUB_PORT, "targetPort": hub},
            {"name": "workload", "port": WORKLOAD_PORT, "targetPort": workload},
        ]
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": device, "namespace": AZURE_NAMESPACE},
            "spec": {"selector": {"app.kubernetes.io/name": "azure"}, "ports": ports},
        }


def cut_off(access: Access, device: str = CUT_OFF) -> None:
    """Let a device lose its hub."""
    _tell(access, "replace", "", {"devices": [device], "online": False})


def connect(access: Access, device: str = CUT_OFF) -> None:
    """Let a device find its hub again."""
    _tell(access, "replace", "", {"devices": [device], "online": True})


@contextmanager
def forwarded_module(access: Access, device: str = CUT_OFF) -> Iterator[str]:
    """Forward a free port of this machine to the module of a device and yield the URL."""
    with forwarded(access, NAMESPACE, pod_of(access, device), PORT) as url:
        yield url


def pod_of(access: Access, device: str) -> str:
    """Return the Pod behind the module of a device, as `pod/NAME`."""
    chosen = f"azure.berth.dev/device={device},azure.berth.dev/module={MODULE}"
    pods = access.kubectl(
        "get", "pods", f"--namespace={NAMESPACE}", f"--selector={chosen}", "--output=name"
    ).split()
    if not pods:
        raise SandboxError(f"No Pod runs {MODULE} on {device}. Run this again in a minute.")
    return pods[0]


def send(access: Access, body: Mapping[str, Any], device: str = CUT_OFF) -> Object:
    """Let the camera of a device send a message and return what the model's output gives for it."""
    before = len(_results(access, device))
    _tell(access, "create", f"/{device}/messages", {"module": "camera", "output": "features", "body": body})
    end = time.monotonic() + PATIENCE_SECONDS
    while len(results := _results(access, device)) <= before:
        if time.monotonic() > end:
            raise SandboxError(f"{MODULE} on {device} has not answered a message in {PATIENCE_SECONDS} s")
        time.sleep(0.2)
    return results[-1]


def _results(access: Access, device: str) -> list[Object]:
    found = json.loads(access.kubectl("get", "--raw", f"{DEVICES_OF_HUB}/{device}/messages"))["value"]
    return [message for message in found if (message["module"], message["output"]) == (MODULE, "amlOutput")]


def _tell(access: Access, verb: str, path: str, document: Object) -> None:
    access.kubectl(verb, "--raw", f"{DEVICES_OF_HUB}{path}", "--filename=-", stdin=json.dumps(document))


def _gateway(device: str) -> str:
    return f"{device}.{AZURE_NAMESPACE}.svc"


def _ports() -> Iterator[tuple[str, int, int]]:
    for number, device in enumerate(DEVICES):
        yield device, FIRST_HUB_PORT + number, FIRST_WORKLOAD_PORT + number


def _base_deployment() -> Object:
    """Return what the platform team gives every device: the runtime."""
    system = {
        name: {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "settings": {"image": f"mcr.microsoft.com/azureiotedge-{image}:1.6", "createOptions": "{}"},
        }
        for name, image in (("edgeAgent", "agent"), ("edgeHub", "hub"))
    }
    for forbidden in ("status", "restartPolicy"):
        del system["edgeAgent"][forbidden]
    agent = {
        "schemaVersion": "1.1",
        "runtime": {"type": "docker", "settings": {"minDockerVersion": "v1.25"}},
        "systemModules": system,
        "modules": {},
    }
    hub = {"schemaVersion": "1.1", "routes": {}, "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}}
    return {
        "id": "base",
        "schemaVersion": "2.0",
        "content": {
            "modulesContent": {
                "$edgeAgent": {"properties.desired": agent},
                "$edgeHub": {"properties.desired": hub},
            }
        },
        "targetCondition": "*",
        "priority": 0,
    }

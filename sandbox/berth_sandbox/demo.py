"""From nothing to a scored request: what `make demo` does and shows."""

import json
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from berth_sandbox import chart, emulator, folders, images, models, plant, pool
from berth_sandbox.access import Access, Provider
from berth_sandbox.cards import CARDS
from berth_sandbox.errors import SandboxError
from berth_sandbox.forward import forwarded, post
from berth_sandbox.progress import step
from berth_sandbox.table import render

NAMESPACE = "demo"
ALLOWED = {"team": "a"}  # by the ComputeTarget of examples/
READY_SECONDS = 300
MORE = ("aci.yaml", "iot-edge.yaml", "fpga.yaml")  # what needs a place that not everyone has
FLOWER = "rose"
COLUMNS = ("NAME", "TARGET", "READY", "SECONDS", "ENDPOINT", "REQUEST", "ANSWER")
NOTE = (
    "Azure and the devices are emulated in the cluster: no DNS knows the names, "
    "so the Pods behind the container group and the module were asked.\n"
    f"{plant.CUT_OFF} was cut off from its hub first, and goes on: by HTTP, and from amlInput to amlOutput.\n"
    "The FPGAs are emulated, too: a device plugin announces them, and the network runs on the CPU. "
    "It is a ResNet-50 in size and shape, with random weights; the classifier behind it has learnt."
)
NEXT = """
Go on with

    export KUBECONFIG=$PWD/.sandbox/kubeconfig PATH=$PWD/.sandbox/bin:$PATH
    kubectl get mdep -A
    kubectl patch mdep -n demo iris-onnx --type merge -p '{"spec": {"scaling": {"replicas": 2}}}'
    kubectl describe mdep -n demo iris-aci
    kubectl get mdep -n demo iris-edge -o yaml
    kubectl get mdep -n demo flowers-fpga -o jsonpath='{.status.fpga}'
    kubectl get ctgt
    kubectl explain mdep.spec

`make demo-down` removes every trace."""


@dataclass(frozen=True)
class Example:
    """One manifest of `examples/` and the request that shows what it does."""

    name: str
    target: str
    path: str
    body: Mapping[str, Any]
    needs_key: bool = False


EXAMPLES = (
    Example("iris-score-py", "AKS", "/score", {"data": [[5.1, 3.5, 1.4, 0.2]]}, needs_key=True),
    Example("iris-onnx", "AKS", "/v1/models/iris:predict", {"instances": [[6.3, 3.3, 6.0, 2.5]]}),
    Example("iris-aci", "ACI", "/score", {"data": [[5.1, 3.5, 1.4, 0.2]]}, needs_key=True),
    Example("iris-edge", "IoTEdge", "/score", {"data": [[6.3, 3.3, 6.0, 2.5]]}),
)


def show(provider: Provider, cluster: str) -> Access:
    """Bring up the cluster, install Berth, serve the examples, ask each of them and print the answers."""
    started = time.monotonic()
    access = provider.up(cluster)
    provider.load(cluster, images.OWN)
    CARDS.plug_in(access)
    chart.install(access)
    emulator.install(access, train())
    pool.install(access)
    CARDS.wait(access)
    plant.connect(access)  # the last demo has left a device cut off
    applied = apply(access)
    seconds = wait_until_ready(access, applied)
    plant.cut_off(access)
    rows = [row(access, example, seconds[example.name]) for example in EXAMPLES]
    rows += [message_row(access, EXAMPLES[-1]), flower_row(access, seconds[pool.NAME])]
    print(f"\n{render(COLUMNS, rows)}\n\n{NOTE}\n\nAll of it took {time.monotonic() - started:.0f} s.")
    return access


def train() -> bytes:
    """Return the model of the iris examples in ONNX, trained now if it is not there."""
    return (models.IRIS.trained() / "model.onnx").read_bytes()


def apply(access: Access) -> float:
    """Apply the examples and return the moment, on the monotonic clock."""
    with step("applying examples/"):
        metadata = {"name": NAMESPACE, "labels": ALLOWED}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        access.kubectl("apply", "--filename=-", stdin=json.dumps(namespace))
        folder, where = folders.REPOSITORY / "examples", f"--namespace={NAMESPACE}"
        applied = time.monotonic()
        for each in (folder, pool.CLASSIFIER):
            access.kubectl("apply", where, "--kustomize", each)
        for name in MORE:
            access.kubectl("apply", where, "--filename", folder / name)
    return applied


def wait_until_ready(access: Access, applied: float) -> dict[str, float]:
    """Return the seconds from apply to Ready of each example, by name."""
    seconds: dict[str, float] = {}
    wanted = {example.name for example in EXAMPLES} | {pool.NAME}
    with step("waiting for the models to be ready"):
        while not wanted <= seconds.keys():
            objects = _deployments(access)
            passed = time.monotonic() - applied
            if passed > READY_SECONDS:
                raise SandboxError(f"Not ready after {READY_SECONDS} s:\n{_reasons(objects)}")
            for name in {_name(each) for each in objects if is_ready(each)} - seconds.keys():
                seconds[name] = passed
            time.sleep(0.2)
    return seconds


def is_ready(deployment: Mapping[str, Any]) -> bool:
    """Tell whether the wanted generation of a ModelDeployment serves."""
    status = deployment.get("status", {})
    current = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return current and _ready_condition(deployment).get("status") == "True"


def row(access: Access, example: Example, seconds: float) -> Sequence[str]:
    """Ask one example and return its line of the table."""
    headers = {"Authorization": f"Bearer {_key(access, example)}"} if example.needs_key else {}
    deployment = _deployment(access, example.name)
    with reached(access, deployment) as url:
        answer = post(url + example.path, example.body, headers)
    endpoint = urljoin(_endpoint(deployment), example.path)
    return (
        *(example.name, example.target, "True", f"{seconds:.1f}", endpoint),
        *(json.dumps(example.body), answer.strip()),
    )


def message_row(access: Access, example: Example) -> Sequence[str]:
    """Send a message through the cut-off device and return the line of the table."""
    result = plant.send(access, example.body)
    if (said := result["properties"].get("AzureMLResponse")) != "OK":
        raise SandboxError(f"{example.name} answered a message with {said}: {result['body']}")
    where = f"{plant.CUT_OFF}: amlInput to amlOutput"
    return (example.name, example.target, "True", "", where, json.dumps(example.body), result["body"])


def flower_row(access: Access, seconds: float) -> Sequence[str]:
    """Show a flower to the network on a device and return the line of the table."""
    endpoint = _deployment(access, pool.NAME)["status"]["grpcEndpoint"]
    answer = json.dumps(pool.ask(access, NAMESPACE, pool.flower(FLOWER)))
    return (pool.NAME, "FPGA", "True", f"{seconds:.1f}", endpoint, f"Predict images={FLOWER}.jpg", answer)


def _endpoint(deployment: Mapping[str, Any]) -> str:
    if deployment["spec"]["target"] == "IoTEdge":
        return f"http://{plant.CUT_OFF}:{plant.PORT}/"
    uri: str = deployment["status"]["scoringUri"]
    return uri


def reached(access: Access, deployment: Mapping[str, Any]) -> AbstractContextManager[str]:
    """Make a ModelDeployment's endpoint reachable for the block, which gets its URL."""
    match deployment["spec"]["target"]:
        case "ACI":
            return emulator.forwarded_group(access, deployment)
        case "IoTEdge":
            return plant.forwarded_module(access)
    return forwarded(access, NAMESPACE, f"service/{_name(deployment)}")


def _key(access: Access, example: Example) -> str:
    secret = access.kubectl(
        *("get", f"secret/{example.name}-keys", f"--namespace={NAMESPACE}"),
        "--output=jsonpath={.data.primaryKey}",
    )
    return b64decode(secret).decode()


def _deployment(access: Access, name: str) -> dict[str, Any]:
    found = access.kubectl("get", f"mdep/{name}", f"--namespace={NAMESPACE}", "--output=json")
    deployment: dict[str, Any] = json.loads(found)
    return deployment


def _deployments(access: Access) -> list[dict[str, Any]]:
    listed = access.kubectl("get", "mdep", f"--namespace={NAMESPACE}", "--output=json")
    items: list[dict[str, Any]] = json.loads(listed)["items"]
    return items


def _reasons(objects: Sequence[Mapping[str, Any]]) -> str:
    waiting = [each for each in objects if not is_ready(each)]
    return "\n".join(
        f"    {_name(each)}: {_ready_condition(each).get('message', 'nothing is known yet')}"
        for each in waiting
    )


def _ready_condition(deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = deployment.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Ready"), {})


def _name(deployment: Mapping[str, Any]) -> str:
    name: str = deployment["metadata"]["name"]
    return name

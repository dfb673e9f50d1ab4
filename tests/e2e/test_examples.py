import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from berth_sandbox import demo, images, kind, plant, pool
from berth_sandbox.access import Access
from berth_sandbox.cards import CARDS
from berth_sandbox.demo import EXAMPLES, NAMESPACE, Example, is_ready
from berth_sandbox.errors import SandboxError
from berth_sandbox.forward import post

ONNX = next(example for example in EXAMPLES if example.name == "iris-onnx")
SCRIPT = next(example for example in EXAMPLES if example.name == "iris-score-py")
GROUP = next(example for example in EXAMPLES if example.name == "iris-aci")
NETWORK = Example(pool.NAME, "FPGA", "", {})
HOSTS: dict[str, Callable[[Example], str]] = {
    "AKS": lambda example: f"http://{example.name}.{NAMESPACE}.svc",
    "ACI": lambda example: rf"http://{example.name}-[-a-z0-9]+\.eastus\.azurecontainer\.io",
    "IoTEdge": lambda _: f"http://{plant.CUT_OFF}",
}
CLASSES = ["setosa", "versicolor", "virginica"]
FLOWERS = ["daisy", "rose", "sunflower"]
PATIENCE_SECONDS = 120


CALL = """
import collections, json, sys, time, urllib.request
url, body = sys.argv[1:]
codes, end = collections.Counter(), time.monotonic() + 20
while time.monotonic() < end:
    try:
        request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
        codes[urllib.request.urlopen(request, timeout=5).status] += 1
    except Exception as error:
        codes[str(error)] += 1
    time.sleep(0.02)
print(json.dumps(codes))
"""
Caller = Callable[[Example], Callable[[], dict[str, int]]]


@pytest.fixture
def caller(examples: Access) -> Iterator[Caller]:
    """Start a Pod that asks an example by its name for a while; the result waits for the codes."""
    where = f"--namespace={NAMESPACE}"

    def start(example: Example) -> Callable[[], dict[str, int]]:
        url = f"http://{example.name}.{NAMESPACE}.svc{example.path}"
        command = ("--command", "--", "python3", "-c", CALL, url, json.dumps(example.body))
        image = f"--image={images.SCORING.reference}"
        examples.kubectl("run", "caller", where, image, "--restart=Never", *command)
        examples.kubectl("wait", "--for=condition=Ready", "pod/caller", where, "--timeout=60s")
        return answered

    def answered() -> dict[str, int]:
        done = "--for=jsonpath={.status.phase}=Succeeded"
        examples.kubectl("wait", done, "pod/caller", where, "--timeout=60s")
        codes: dict[str, int] = json.loads(examples.kubectl("logs", "caller", where))
        return codes

    yield start
    examples.kubectl("delete", "pod", "caller", where, "--ignore-not-found", "--grace-period=1")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_answers_with_a_class(examples: Access, example: Example) -> None:
    *_, endpoint, _, answer = demo.row(examples, example, 0)
    assert re.fullmatch(f"{HOSTS[example.target](example)}(:[0-9]+)?{example.path}", endpoint)
    assert any(name in answer for name in CLASSES)


@pytest.mark.parametrize("flower", FLOWERS)
def test_the_network_on_a_device_tells_flowers_apart(examples: Access, flower: str) -> None:
    answer = pool.ask(examples, NAMESPACE, pool.flower(flower))
    assert answer["label"] == [flower]
    assert answer["berth-device"] == "cpu"


def test_the_row_of_the_network_names_its_grpc_endpoint(examples: Access) -> None:
    name, target, *_, endpoint, request, answer = demo.flower_row(examples, 0)
    assert (name, target, endpoint) == (pool.NAME, "FPGA", f"flowers-fpga.{NAMESPACE}.svc:80")
    assert demo.FLOWER in request
    assert demo.FLOWER in answer


def test_the_status_says_that_the_network_runs_on_the_cpu(examples: Access) -> None:
    eventually(lambda: get(examples, NETWORK)["status"]["fpga"].get("device") == "cpu")


def test_the_status_counts_the_devices_and_its_own(examples: Access) -> None:
    status = get(examples, NETWORK)["status"]
    assert status["fpga"]["held"] == 1
    assert status["fpga"]["devices"]["resourceName"] == CARDS.resource
    assert status["fpga"]["devices"]["total"] == len(CARDS.devices)
    place = json.loads(examples.kubectl("get", "ctgt/devices", "--output=json"))["status"]["fpga"]
    assert {"name": f"{NAMESPACE}/{pool.NAME}", "devices": 1} in place["holders"]


def test_the_same_model_answers_the_same_everywhere(examples: Access) -> None:
    answers = {demo.row(examples, example, 0)[-1] for example in (SCRIPT, GROUP)}
    assert answers == {'["setosa"]'}


@pytest.mark.parametrize("example", [SCRIPT, GROUP], ids=["AKS", "ACI"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer no-key-of-it"}], ids=["none", "wrong"])
def test_without_its_key_a_model_refuses(
    examples: Access, example: Example, headers: Mapping[str, str]
) -> None:
    with (
        demo.reached(examples, get(examples, example)) as url,
        pytest.raises(SandboxError, match="answered 401"),
    ):
        post(url + example.path, example.body, headers)


def test_more_replicas_come_and_go(examples: Access) -> None:
    for replicas in (2, 1):
        patch(examples, ONNX, {"spec": {"scaling": {"replicas": replicas}}})
        eventually(lambda replicas=replicas: get(examples, ONNX)["status"].get("readyReplicas") == replicas)


@pytest.mark.skipif(kind.usable(), reason="kind comes without a metrics-server")
def test_an_autoscaler_sees_the_load(examples: Access) -> None:
    patch(examples, ONNX, {"spec": {"scaling": {"replicas": None, "maxReplicas": 2}}})
    autoscaler = f"horizontalpodautoscaler/{ONNX.name}"
    seen = "--output=jsonpath={.status.currentMetrics[0].resource.current.averageUtilization}"
    eventually(lambda: bool(examples.kubectl("get", autoscaler, f"--namespace={NAMESPACE}", seen).strip()))
    patch(examples, ONNX, {"spec": {"scaling": {"replicas": 1, "maxReplicas": None}}})
    left = ("get", "horizontalpodautoscalers", f"--namespace={NAMESPACE}", "--output=name")
    eventually(lambda: ONNX.name not in examples.kubectl(*left))


def test_a_new_version_rolls_out_without_a_refused_request(examples: Access, caller: Caller) -> None:
    before = pods(examples, ONNX)
    answered = caller(ONNX)
    patch(examples, ONNX, {"spec": {"env": [{"name": "ROLL", "value": "1"}]}})
    eventually(lambda: is_ready(get(examples, ONNX)) and not before & pods(examples, ONNX))
    codes = answered()
    assert codes.keys() == {"200"}
    assert codes["200"] > 100


def test_what_is_changed_by_hand_is_repaired(examples: Access) -> None:
    examples.kubectl("delete", f"deployment/{ONNX.name}", f"--namespace={NAMESPACE}")
    eventually(lambda: is_ready(get(examples, ONNX)) and bool(pods(examples, ONNX)))
    examples.kubectl(
        "rollout", "status", f"deployment/{ONNX.name}", f"--namespace={NAMESPACE}", "--timeout=60s"
    )


def test_a_missing_model_is_named_in_the_status(examples: Access) -> None:
    broken = Example("iris-missing", "AKS", "/", {})
    model = {"name": "iris", "version": "1", "uri": "configmap://no-such-map/model.onnx", "format": "onnx"}
    manifest = {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": broken.name},
        "spec": {"target": "AKS", "model": model},
    }
    examples.kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", stdin=json.dumps(manifest))
    eventually(lambda: "no-such-map" in json.dumps(get(examples, broken).get("status", {})))
    assert not is_ready(get(examples, broken))


def test_deleting_a_model_deletes_all_that_it_had(examples: Access) -> None:
    examples.kubectl("delete", f"mdep/{SCRIPT.name}", f"--namespace={NAMESPACE}", "--timeout=60s")
    kinds = "deployments,services,secrets,horizontalpodautoscalers"
    eventually(
        lambda: SCRIPT.name not in examples.kubectl("get", kinds, f"--namespace={NAMESPACE}", "--output=name")
    )


def get(access: Access, example: Example) -> dict[str, Any]:
    output = access.kubectl("get", f"mdep/{example.name}", f"--namespace={NAMESPACE}", "--output=json")
    found: dict[str, Any] = json.loads(output)
    return found


def patch(access: Access, example: Example, change: Mapping[str, Any]) -> None:
    access.kubectl(
        *("patch", f"mdep/{example.name}", f"--namespace={NAMESPACE}"),
        *("--type=merge", f"--patch={json.dumps(change)}"),
    )


def pods(access: Access, example: Example) -> set[str]:
    """The names of the Pods that are not on their way out."""
    output = access.kubectl(
        *("get", "pods", f"--namespace={NAMESPACE}", "--output=json"),
        f"--selector=berth.dev/deployment={example.name}",
    )
    items = json.loads(output)["items"]
    return {each["metadata"]["name"] for each in items if "deletionTimestamp" not in each["metadata"]}


def eventually(holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.3)

"""A deep network on the devices of a real node: a full pool, rollouts on it, and what befalls devices."""

import base64
import json
import shlex
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest
from fpga_pipelines import GrpcClient, classifier_graph, featurizer_graph, jpeg, strings
from pod_history import overlaps, watched

from berth_sandbox import kind
from berth_sandbox.access import Access
from berth_sandbox.cards import Cards
from berth_sandbox.cluster import cluster as clusters
from berth_sandbox.errors import SandboxError
from berth_sandbox.forward import forwarded
from berth_sandbox.runner import Runner

NAMESPACE = "devices-e2e"
NAME = "colours"
WHERE = f"--namespace={NAMESPACE}"
HOLDER = f"{NAMESPACE}/{NAME}"
POOL = Cards("stratix10", ("mn0", "mn1"))
GREEN = (0, 255, 0)
PATIENCE_SECONDS = 90
TOLD_SECONDS = 30

Object = dict[str, Any]


@pytest.fixture(scope="module")
def access(berth: Access) -> Iterator[Access]:
    """The cluster, with a pool of two devices and a network that holds both."""
    POOL.plug_in(berth)
    apply(berth, *objects())
    POOL.wait(berth)
    yield berth
    berth.kubectl("delete", f"mdep/{NAME}", WHERE, "--timeout=60s")
    berth.kubectl("delete", f"ctgt/{NAMESPACE}", "--timeout=60s")
    berth.kubectl("delete", f"namespace/{NAMESPACE}", "--wait=false")
    POOL.unplug(berth)


@pytest.fixture
def serving(access: Access) -> Access:
    """The cluster, once both replicas serve."""
    eventually(lambda: is_ready(access) and len(pods(access)) == 2, lambda: status(access))
    return access


def test_the_node_offers_the_devices_and_two_replicas_answer_on_them(serving: Access) -> None:
    assert POOL.offered(serving) == 2
    assert sorted(device_of(serving, pod) for pod in pods(serving)) == list(POOL.devices)
    with predicting(serving, f"service/{NAME}") as client:
        assert np.argmax(client.scores(strings(jpeg(GREEN)))) == 1
    held = {"devices": counts(total=2, allocated=2, free=0, pending=0), "held": 2, "nodes": [node(serving)]}
    eventually(lambda: held.items() <= status(serving)["fpga"].items(), lambda: status(serving))
    eventually(lambda: pool_status(serving).get("holders") == [{"name": HOLDER, "devices": 2}])


def test_a_rollout_on_a_full_pool_gives_each_replica_a_device_of_its_own(serving: Access) -> None:
    before = pods(serving)
    devices = {pod: device_of(serving, pod) for pod in before}
    with watched(serving, NAMESPACE) as history:
        patch(serving, {"env": [{"name": "ROLL", "value": "1"}]})
        eventually(lambda: is_ready(serving) and not before & pods(serving), lambda: status(serving))
        devices |= {pod: device_of(serving, pod) for pod in pods(serving)}
        eventually(lambda: all(history.runs()[pod][-1][1] for pod in before))
        assert history.fewest_ready() == 1
        assert len(devices) == 4
        assert overlaps(history.runs(), devices) == []


def test_a_replica_too_many_is_told_and_the_others_serve_on(serving: Access) -> None:
    before = pods(serving)
    patch(serving, {"scaling": {"replicas": 3}})
    told = eventually(lambda: missing(serving), lambda: status(serving), TOLD_SECONDS)
    assert told["reason"] == "DevicesInUse"
    words = (
        f"3 devices {POOL.resource} are wanted, 2 are held: of 2 in all 2 are allocated ({HOLDER} 2), 0 free"
    )
    assert words in told["message"]
    waiting = counts(total=2, allocated=2, free=0, pending=1)
    eventually(lambda: status(serving)["fpga"]["devices"] == waiting, lambda: status(serving))
    eventually(lambda: pool_status(serving)["devices"] == waiting, lambda: pool_status(serving))
    with predicting(serving, f"service/{NAME}") as client:
        client.scores(strings(jpeg(GREEN)))
    patch(serving, {"scaling": {"replicas": 2}})
    eventually(lambda: is_ready(serving) and pods(serving) == before, lambda: status(serving))


def test_a_cordoned_node_is_told_and_its_devices_are_given_again_after_it(serving: Access) -> None:
    there, before = node(serving), pods(serving)
    chosen = f"--pod-selector=berth.dev/deployment={NAME}"
    try:
        # The budget lets one replica go; the other one serves on.
        with pytest.raises(SandboxError, match="drain"):
            serving.kubectl("drain", there, chosen, "--delete-emptydir-data", "--timeout=7s")
        assert len(before & pods(serving)) == 1
        told = eventually(lambda: missing(serving), lambda: status(serving), TOLD_SECONDS)
        assert f"not ready, cordoned or tainted: {there}" in told["message"]
    finally:
        serving.kubectl("uncordon", there)
    eventually(lambda: is_ready(serving), lambda: status(serving))
    assert sorted(device_of(serving, pod) for pod in pods(serving)) == list(POOL.devices)


def test_a_kubelet_that_starts_again_finds_the_devices_and_ends_nothing(serving: Access) -> None:
    before, known = restarts(serving), registrations(serving)
    restart_kubelet(serving)
    eventually(lambda: registrations(serving) > known, lambda: POOL.log(serving))
    POOL.wait(serving)
    with predicting(serving, f"service/{NAME}") as client:
        client.scores(strings(jpeg(GREEN)))
    assert restarts(serving) == before
    replaced = min(before)
    serving.kubectl("delete", f"pod/{replaced}", WHERE)
    eventually(lambda: is_ready(serving) and replaced not in pods(serving), lambda: status(serving))
    assert sorted(device_of(serving, pod) for pod in pods(serving)) == list(POOL.devices)


def test_a_device_that_dies_under_load_is_told_and_serves_again_once_mended(serving: Access) -> None:
    broken, other = sorted(pods(serving))
    with load(serving, broken) as answers, failing(serving, device_of(serving, broken), after=answers):
        eventually(lambda: restarts(serving)[broken] > 0, lambda: status(serving))
        told = eventually(
            lambda: unready(serving, "DeviceUnavailable"), lambda: status(serving), TOLD_SECONDS
        )
        assert "no device at /dev/fpga/*/device" in told["message"]
        with predicting(serving, f"service/{NAME}") as client:
            client.scores(strings(jpeg(GREEN)))
    assert set(answers[:50]) == {"OK"} != set(answers)
    eventually(lambda: is_ready(serving), lambda: status(serving))
    assert pods(serving) == {broken, other}
    assert restarts(serving)[other] == 0
    with predicting(serving, f"pod/{broken}", 8500) as client:
        client.scores(strings(jpeg(GREEN)))


def test_a_replica_whose_device_stays_dead_moves_to_the_other_one(serving: Access) -> None:
    patch(serving, {"scaling": {"replicas": 1}})
    eventually(lambda: is_ready(serving) and len(pods(serving)) == 1, lambda: status(serving))
    (stuck,) = pods(serving)
    dead = device_of(serving, stuck)
    (other,) = set(POOL.devices) - {dead}
    POOL.fail(serving, dead)
    try:
        eventually(lambda: unready(serving, "DeviceUnavailable"), lambda: status(serving))
        eventually(lambda: is_ready(serving), lambda: status(serving))
        (moved,) = pods(serving)
        assert moved != stuck
        assert device_of(serving, moved) == other
        (told,) = (each for each in events(serving) if each["reason"] == "PodReplaced")
        assert f"Pod {stuck} on node {node(serving)}" in told["note"]
        with predicting(serving, f"service/{NAME}") as client:
            client.scores(strings(jpeg(GREEN)))
    finally:
        POOL.mend(serving, dead)


@contextmanager
def failing(access: Access, device: str, after: list[str]) -> Iterator[None]:
    """Let a device die once calls were answered, and mend it at the end of the block."""
    eventually(lambda: len(after) > 50)
    POOL.fail(access, device)
    try:
        yield
    finally:
        POOL.mend(access, device)


@contextmanager
def predicting(access: Access, target: str, port: int = 80) -> Iterator[GrpcClient]:
    """Reach the gRPC port of a Service or Pod."""
    with forwarded(access, NAMESPACE, target, port) as url:
        yield GrpcClient(urlsplit(url).port or 0)


@contextmanager
def load(access: Access, pod: str) -> Iterator[list[str]]:
    """Ask one replica without a pause, and collect what it answers with."""
    answers: list[str] = []
    stopping, image = Event(), strings(jpeg(GREEN))

    def ask(client: GrpcClient) -> None:
        while not stopping.is_set():
            try:
                client.scores(image)
                answers.append("OK")
            except grpc.RpcError as error:
                answers.append(str(error))
                stopping.wait(0.1)

    with predicting(access, f"pod/{pod}", 8500) as client, ThreadPoolExecutor(1) as executor:
        asking = executor.submit(ask, client)
        try:
            yield answers
        finally:
            stopping.set()
        asking.result()


def restart_kubelet(access: Access) -> None:
    """End the node's kubelet and start it as it was."""
    if kind.usable():
        Runner().run("docker", "exec", node(access), "systemctl", "restart", "kubelet")
        return
    running = clusters.find(node(access).removeprefix("berth-"))
    assert running
    inside, log = running.machine.runner, running.folder / "logs" / "kubelet.log"
    pid = inside.run("pgrep", "-x", "kubelet").strip()
    command = inside.run("cat", f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
    inside.run("kill", pid)
    eventually(lambda: not inside.succeeds("kill", "-0", pid))
    inside.run("sh", "-c", f"setsid {shlex.join(command)} >> {log} 2>&1 < /dev/null &")


def objects() -> Iterator[Object]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    graphs = {"weights.onnx": featurizer_graph(), "classifier.onnx": classifier_graph()}
    files = {name: base64.b64encode(graph).decode() for name, graph in graphs.items()}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "binaryData": files}
    pool = {"resourceName": POOL.resource, "deviceFiles": ["/dev/fpga/*/device"]}
    allowed = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    yield berth_object("ComputeTarget", NAMESPACE, kind="FPGA", allowedNamespaces=allowed, fpga=pool)
    probe = {"periodSeconds": 1, "failureThreshold": 2}
    yield berth_object(
        "ModelDeployment",
        NAME,
        target="FPGA",
        computeTargetRef={"name": NAMESPACE},
        model={
            "name": "colours",
            "version": "1",
            "uri": f"configmap://{NAME}/classifier.onnx",
            "format": "onnx",
        },
        fpga={"featurizer": "ResNet50", "weights": {"uri": f"configmap://{NAME}/weights.onnx"}},
        scaling={"replicas": 2},
        auth={"mode": "None"},
        probes={"liveness": probe, "readiness": probe},
    )


def berth_object(of: str, name: str, **spec: Any) -> Object:
    return {"apiVersion": "berth.dev/v1alpha1", "kind": of, "metadata": {"name": name}, "spec": spec}


def apply(access: Access, *wanted: Object) -> None:
    for each in wanted:
        if each["kind"] not in {"Namespace", "ComputeTarget"}:
            each["metadata"]["namespace"] = NAMESPACE
        access.kubectl("apply", "--filename=-", stdin=json.dumps(each))


def patch(access: Access, spec: Object) -> None:
    change = json.dumps({"spec": spec})
    access.kubectl("patch", f"mdep/{NAME}", WHERE, "--type=merge", f"--patch={change}")


def get(access: Access, *what: str) -> Object:
    found: Object = json.loads(access.kubectl("get", *what, WHERE, "--output=json"))
    return found


def status(access: Access) -> Object:
    found: Object = get(access, f"mdep/{NAME}").get("status", {})
    return found


def pool_status(access: Access) -> Object:
    found: Object = get(access, f"ctgt/{NAMESPACE}").get("status", {}).get("fpga", {})
    return found


def is_ready(access: Access) -> bool:
    there = get(access, f"mdep/{NAME}")
    said = there.get("status", {})
    current = said.get("observedGeneration") == there["metadata"]["generation"]
    return current and _condition(said, "Ready").get("status") == "True"


def unready(access: Access, reason: str) -> Object | None:
    """Return the condition Ready while it does not hold for this reason."""
    ready = _condition(status(access), "Ready")
    return ready if (ready.get("status"), ready.get("reason")) == ("False", reason) else None


def missing(access: Access) -> Object | None:
    """Return the condition DevicesAvailable while it does not hold."""
    available = _condition(status(access), "DevicesAvailable")
    return available if available.get("status") == "False" else None


def _condition(said: Object, kind: str) -> Object:
    return next((each for each in said.get("conditions", ()) if each["type"] == kind), {})


def counts(**numbers: int) -> Object:
    return {"resourceName": POOL.resource, **numbers}


def events(access: Access) -> list[Object]:
    found: list[Object] = get(access, "events.events.k8s.io")["items"]
    return found


def pods(access: Access) -> set[str]:
    """The names of the Pods that are not on their way out."""
    items = get(access, "pods")["items"]
    return {each["metadata"]["name"] for each in items if "deletionTimestamp" not in each["metadata"]}


def restarts(access: Access) -> dict[str, int]:
    """How often the container of each Pod was started again."""
    items = get(access, "pods")["items"]
    return {
        each["metadata"]["name"]: each["status"]["containerStatuses"][0]["restartCount"] for each in items
    }


def registrations(access: Access) -> int:
    """How often the plugin was found by a kubelet."""
    try:
        return POOL.log(access).count("The kubelet knows")
    except SandboxError:  # logs come from the kubelet
        return 0


def device_of(access: Access, pod: str) -> str:
    return access.kubectl("exec", pod, WHERE, "--container=scoring", "--", "printenv", "FPGA_DEVICES").strip()


def node(access: Access) -> str:
    (name,) = access.kubectl("get", "nodes", "--output=jsonpath={.items[*].metadata.name}").split()
    return name


def eventually(
    holds: Callable[[], Any], seen: Callable[[], object] = str, seconds: float = PATIENCE_SECONDS
) -> Any:
    """Ask until the answer is true, and return it."""
    end = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < end, seen()
        time.sleep(0.3)
    return answer

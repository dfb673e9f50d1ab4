"""Devices whose modules really run, with a hub and without one."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from berth_sandbox import emulator, plant
from berth_sandbox.access import Access
from berth_sandbox.demo import NAMESPACE
from berth_sandbox.forward import post

ASKED = {"data": [[6.3, 3.3, 6.0, 2.5]]}
ANSWER = '["virginica"]'
WHERE = f"--namespace={plant.NAMESPACE}"
PATIENCE_SECONDS = 120


@pytest.fixture
def cut_off(examples: Access) -> Iterator[Access]:
    """The examples, with one of the devices cut off from its hub."""
    plant.cut_off(examples)
    yield examples
    plant.connect(examples)


@pytest.fixture
def no_website(examples: Access) -> Iterator[None]:
    """The model is not to be had any more."""
    _serve(examples, "/nowhere")
    yield
    _serve(examples, f"/srv/{emulator.WEBSITE}")


def test_every_device_runs_the_module_and_the_hub_knows_it(examples: Access) -> None:
    deployment = _deployment(examples)
    counts = deployment["status"]["iotEdge"]
    assert (counts["targeted"], counts["applied"], counts["running"]) == (3, 3, 3)
    pods = {plant.pod_of(examples, device) for device in plant.DEVICES}
    assert len(pods) == 3


def test_a_device_without_its_hub_answers_by_http_and_by_message(cut_off: Access) -> None:
    with plant.forwarded_module(cut_off) as url:
        assert post(f"{url}/score", ASKED, {}) == ANSWER
    result = plant.send(cut_off, ASKED)
    assert (result["body"], result["properties"]["AzureMLResponse"]) == (ANSWER, "OK")


def test_a_module_starts_again_from_what_its_device_keeps(cut_off: Access, no_website: None) -> None:
    before = plant.pod_of(cut_off, plant.CUT_OFF)
    cut_off.kubectl("delete", before, WHERE, "--wait=true")
    _wait_for_another(cut_off, before)
    assert plant.send(cut_off, ASKED)["body"] == ANSWER


def _wait_for_another(access: Access, before: str) -> None:
    chosen = f"--selector=azure.berth.dev/device={plant.CUT_OFF}"
    end = time.monotonic() + PATIENCE_SECONDS
    while (pods := access.kubectl("get", "pods", WHERE, chosen, "--output=name").split()) in ([], [before]):
        assert time.monotonic() < end
        time.sleep(0.5)
    access.kubectl("wait", "--for=condition=Ready", *pods, WHERE, f"--timeout={PATIENCE_SECONDS}s")


def _deployment(access: Access) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        access.kubectl("get", "mdep/iris-edge", f"--namespace={NAMESPACE}", "--output=json")
    )
    return found


def _serve(access: Access, folder: str) -> None:
    document = json.dumps({"websites": {emulator.WEBSITE: folder}})
    path = f"{plant.EMULATOR}/configuration"
    access.kubectl("replace", "--raw", path, "--filename=-", stdin=document)

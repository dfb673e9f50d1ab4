"""Container groups that really run: what goes wrong in them is told, and nothing of them is left."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from berth_sandbox.access import Access
from berth_sandbox.demo import NAMESPACE
from berth_sandbox.emulator import GROUPS_NAMESPACE

GROUPS = "/api/v1/namespaces/azure/services/http:azure:http/proxy/_emulator/groups"
RUN = "def run(data):\n    return []\n"
RAISES = f"{RUN}def init():\n    raise RuntimeError('no licence for this model')\n"
ENDS = f"{RUN}import os\ndef init():\n    print('out of licences', flush=True)\n    os._exit(7)\n"
SCRIPTS = {"raises": RAISES, "ends": ENDS}
MISSING = "localhost/no-such-image:1"
TOLD_SECONDS = 60
GONE_SECONDS = 30

Object = dict[str, Any]


@pytest.fixture(scope="module")
def broken(examples: Access) -> Iterator[float]:
    """Models that cannot serve, all at once; the moment at which they were applied."""
    objects = [_scripts(), *(_deployment(name, **_script(name)) for name in SCRIPTS)]
    objects.append(_deployment("unpullable", image=MISSING))
    applied = time.monotonic()
    _apply(examples, *objects)
    yield applied
    names = [f"mdep/{name}" for name in (*SCRIPTS, "unpullable")]
    examples.kubectl("delete", *names, f"--namespace={NAMESPACE}", "--ignore-not-found", "--timeout=60s")


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("raises", "ScriptInitFailed", "RuntimeError: no licence for this model"),
        ("ends", "ContainerFailed", "ended with exit code 7; its last words: out of licences"),
        ("unpullable", "ImagePullFailed", f'Failed to pull image "{MISSING}"'),
    ],
)
def test_why_a_group_does_not_serve_is_told_within_a_minute(
    examples: Access, broken: float, name: str, reason: str, words: str
) -> None:
    # A container that has just begun again has no last words yet.
    while words not in (ready := _ready(examples, name)).get("message", ""):
        assert time.monotonic() - broken < TOLD_SECONDS, ready
        time.sleep(0.5)
    assert (ready["status"], ready["reason"]) == ("False", reason)


def test_what_is_deleted_leaves_nothing_in_azure_and_no_pod(examples: Access, broken: float) -> None:
    assert len(_groups(examples)) == 4
    names = [f"mdep/{name}" for name in (*SCRIPTS, "unpullable", "iris-aci")]
    examples.kubectl("delete", *names, f"--namespace={NAMESPACE}", "--timeout=60s")
    assert _groups(examples) == []
    end = time.monotonic() + GONE_SECONDS
    while left := examples.kubectl("get", "pods,secrets", f"--namespace={GROUPS_NAMESPACE}", "--output=name"):
        assert time.monotonic() < end, left
        time.sleep(0.5)


def _groups(access: Access) -> list[str]:
    value: list[str] = json.loads(access.kubectl("get", f"--raw={GROUPS}"))["value"]
    return value


def _ready(access: Access, name: str) -> Object:
    printed = access.kubectl("get", f"mdep/{name}", f"--namespace={NAMESPACE}", "--output=json")
    conditions = json.loads(printed).get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == "Ready"), {})


def _scripts() -> Object:
    files = {f"{name}.py": text for name, text in SCRIPTS.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken"}, "data": files}


def _script(name: str) -> Object:
    model = {"name": "iris", "version": "1", "uri": "configmap://iris-model/model.joblib"}
    return {"model": model, "code": {"uri": "configmap://broken", "scoringScript": f"{name}.py"}}


def _deployment(name: str, **fields: Any) -> Object:
    where = {"target": "ACI", "computeTargetRef": {"name": "dev-subscription"}}
    kind = {"apiVersion": "berth.dev/v1alpha1", "kind": "ModelDeployment"}
    return {**kind, "metadata": {"name": name}, "spec": {**where, **fields}}


def _apply(access: Access, *objects: Object) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    access.kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", stdin=json.dumps(listed))

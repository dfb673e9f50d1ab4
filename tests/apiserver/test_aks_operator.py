"""The operator's process against a real API server: what a user does, and what becomes of it."""

import asyncio
import base64
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_requests import ApiServer
from deployments import MODEL, spec
from operator_process import (
    IMAGE,
    Kubelet,
    Process,
    User,
    condition,
    is_ready,
    is_stalled,
    operator,
)

from berth.plan.labels import MANAGED_BY
from berth.plan.resources import (
    AUTOSCALERS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    LEASES,
    SECRETS,
    SERVICES,
    Resource,
)
from berth_sandbox.cluster.control_plane import ControlPlane

OPEN = {"auth": {"mode": "None"}}
SETTLED_SECONDS = 1.0


@pytest.fixture
async def berth(
    control_plane: ControlPlane, namespace: str, tmp_path: Path, api: ApiServer
) -> AsyncIterator[Process]:
    async with operator(control_plane.kubeconfig, namespace, tmp_path / "berth-0.log") as process:
        yield process


@pytest.fixture
async def served(user: User, kubelet: Kubelet, berth: Process) -> User:
    """A user whose ModelDeployment iris is Ready."""
    await user.apply()
    await user.until_ready()
    return user


async def test_apply_leads_to_ready(served: User) -> None:
    ready = await served.until_ready()
    assert ready["status"]["scoringUri"] == f"http://iris.{served.namespace}.svc/score"
    for resource in (DEPLOYMENTS, SERVICES):
        child = await served.get(resource)
        assert child is not None
        assert child["metadata"]["ownerReferences"][0]["uid"] == ready["metadata"]["uid"]
    await asyncio.sleep(SETTLED_SECONDS)
    assert [reason for reason, _ in await served.events()] == ["Ready"]


async def test_a_model_in_azure_storage_is_served_by_pods_that_may_read_it(
    user: User, kubelet: Kubelet, berth: Process
) -> None:
    model = MODEL | {"uri": "abfss://models@account.dfs.core.windows.net/iris"}
    code = {
        "uri": "wasbs://code@account.blob.core.windows.net/iris",
        "credentialsSecretRef": {"name": "blob"},
    }
    await user.apply(spec(model=model, code=code, aks={"serviceAccountName": "reader"}))
    await user.until_ready()

    deployed = await user.get(DEPLOYMENTS)
    assert deployed is not None
    template = deployed["spec"]["template"]
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert template["spec"]["serviceAccountName"] == "reader"
    volumes = {each["name"]: each for each in template["spec"]["volumes"]}
    assert volumes["credentials-code"]["secret"]["secretName"] == "blob"


EDITS: dict[str, tuple[Resource, dict[str, Any]]] = {
    "replicas": (DEPLOYMENTS, {"spec": {"replicas": 5}}),
    "image": (
        DEPLOYMENTS,
        {"spec": {"template": {"spec": {"containers": [{"name": "scoring", "image": "other"}]}}}},
    ),
    "strategy": (DEPLOYMENTS, {"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 1}}}}),
    "label": (DEPLOYMENTS, {"metadata": {"labels": {"app.kubernetes.io/name": "other"}}}),
    "selector": (SERVICES, {"spec": {"selector": {"berth.dev/deployment": "iris", "version": "2"}}}),
    "port": (SERVICES, {"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 9}]}}),
}


@pytest.mark.parametrize(("resource", "fields"), EDITS.values(), ids=EDITS)
async def test_an_edit_of_what_berth_owns_is_repaired_and_told(
    served: User, resource: Resource, fields: dict[str, Any]
) -> None:
    before = await served.get(resource)
    assert before is not None
    await served.edit(resource, fields)
    await served.until(
        lambda there: (
            there["spec"] == before["spec"] and there["metadata"]["labels"] == before["metadata"]["labels"]
        ),
        resource,
    )
    await served.until_ready()
    await asyncio.sleep(SETTLED_SECONDS)
    note = f"{resource.kind} iris was changed by someone else and has been repaired"
    assert ("DriftCorrected", note) in await served.events()


FOREIGN: dict[str, dict[str, Any]] = {
    "label": {"metadata": {"labels": {"team": "a"}}},
    "sidecar": {"spec": {"template": {"spec": {"containers": [{"name": "proxy", "image": "proxy:1"}]}}}},
    "variable": {
        "spec": {
            "template": {
                "spec": {"containers": [{"name": "scoring", "env": [{"name": "EXTRA", "value": "1"}]}]}
            }
        }
    },
    "restart": {"spec": {"template": {"metadata": {"annotations": {"restartedAt": "now"}}}}},
    "spread": {
        "spec": {
            "template": {
                "spec": {
                    "topologySpreadConstraints": [
                        {
                            "topologyKey": "topology.kubernetes.io/zone",
                            "whenUnsatisfiable": "ScheduleAnyway",
                            "maxSkew": 1,
                        }
                    ]
                }
            }
        }
    },
}


@pytest.mark.parametrize("fields", FOREIGN.values(), ids=FOREIGN)
async def test_fields_of_others_stay_and_cost_no_write(served: User, fields: dict[str, Any]) -> None:
    edited = await served.edit(DEPLOYMENTS, fields)
    await asyncio.sleep(SETTLED_SECONDS)
    there = await served.get(DEPLOYMENTS)
    assert there is not None
    assert there["spec"] == edited["spec"]
    assert there["metadata"]["labels"] == edited["metadata"]["labels"]
    assert there["metadata"]["generation"] == edited["metadata"]["generation"]
    assert is_ready(await served.until_ready())


LABELLED = ((DEPLOYMENTS, "iris"), (SERVICES, "iris"), (SECRETS, "iris-keys"))


@pytest.mark.parametrize("value", [None, "Helm"], ids=["removed", "overwritten"])
async def test_objects_that_lost_the_label_are_found_again(served: User, value: str | None) -> None:
    for resource, name in LABELLED:
        patch = {"metadata": {"labels": {MANAGED_BY: value}}}
        await served.client.merge_patch(resource, served.key(name), patch)
    for resource, name in LABELLED:
        await served.until(
            lambda there: there["metadata"]["labels"].get(MANAGED_BY) == "berth", resource, name
        )
    await served.apply(spec(scaling={"replicas": 3}))
    await served.until(lambda there: there["spec"]["replicas"] == 3, DEPLOYMENTS)
    await served.until_ready()
    settled = await served.get()
    await asyncio.sleep(6 * SETTLED_SECONDS)
    assert await served.get() == settled


async def test_what_is_switched_off_is_removed(served: User) -> None:
    await served.apply(spec(scaling={"minReplicas": 2, "maxReplicas": 4}))
    for resource in (AUTOSCALERS, DISRUPTION_BUDGETS):
        await served.until(bool, resource)
    await served.apply(spec(**OPEN))
    for resource in (AUTOSCALERS, DISRUPTION_BUDGETS):
        await served.until_gone(resource)
    await served.until_gone(SECRETS, "iris-keys")
    await served.until_ready()


async def test_an_autoscaler_takes_over_without_a_dip(served: User) -> None:
    await served.apply(spec(scaling={"replicas": 4}))
    await served.until(lambda there: there["spec"]["replicas"] == 4, DEPLOYMENTS)
    await served.until_ready()
    await served.apply(spec(scaling={"maxReplicas": 6}))
    await served.until(bool, AUTOSCALERS)
    await served.until_ready()
    released = await served.get(DEPLOYMENTS)
    assert released is not None
    assert released["spec"]["replicas"] == 4
    await served.edit(DEPLOYMENTS, {"spec": {"replicas": 6}})
    await asyncio.sleep(SETTLED_SECONDS)
    scaled = await served.get(DEPLOYMENTS)
    assert scaled is not None
    assert scaled["spec"]["replicas"] == 6


async def test_keys_are_generated_refilled_and_kept(served: User, berth: Process) -> None:
    name = "iris-keys"
    secret = await served.until(lambda there: len(there["data"]) == 2, SECRETS, name)
    first, second = (base64.b64decode(secret["data"][key]) for key in ("primaryKey", "secondaryKey"))
    assert first != second
    assert min(len(first), len(second)) >= 32
    own = base64.b64encode(b"my own key").decode()
    patch = {"data": {"primaryKey": None, "secondaryKey": own}}
    await served.client.merge_patch(SECRETS, served.key(name), patch)
    filled = await served.until(lambda there: len(there["data"]) == 2, SECRETS, name)
    assert filled["data"]["secondaryKey"] == own
    assert base64.b64decode(filled["data"]["primaryKey"]) != first
    told = str((await served.until_ready())["status"]) + str(await served.events()) + berth.log.read_text()
    secrets = [*secret["data"].values(), *filled["data"].values(), first.decode(), second.decode()]
    assert not [value for value in secrets if value in told]


async def test_a_change_of_metadata_touches_nothing(served: User) -> None:
    before = await served.get(DEPLOYMENTS)
    await served.apply(labels={"team": "a"}, annotations={"owner": "me"})
    await asyncio.sleep(SETTLED_SECONDS)
    assert await served.get(DEPLOYMENTS) == before


async def test_an_upgrade_of_the_operator_touches_nothing(
    served: User, berth: Process, control_plane: ControlPlane, tmp_path: Path
) -> None:
    assert await berth.stop() == 0
    objects = [await served.get(), await served.get(DEPLOYMENTS), await served.get(SERVICES)]
    newer = {"scoring_image": "registry.test/berth-scoring:2"}
    async with operator(control_plane.kubeconfig, served.namespace, tmp_path / "berth-1.log", **newer):
        await served.until(lambda lease: lease["spec"]["holderIdentity"] == "berth-1", LEASES, "berth-leader")
        await asyncio.sleep(SETTLED_SECONDS)
        assert objects == [await served.get(), await served.get(DEPLOYMENTS), await served.get(SERVICES)]
        await served.apply(spec(model=MODEL | {"version": "4"}))
        rolled = await served.until(lambda there: there["metadata"]["generation"] == 2, DEPLOYMENTS)
    images = {each["image"] for each in rolled["spec"]["template"]["spec"]["containers"]}
    assert images == {"registry.test/berth-scoring:2"} != {IMAGE}


async def test_suspended_means_hands_off(served: User) -> None:
    before = await served.get(DEPLOYMENTS)
    await served.apply(spec(suspend=True, scaling={"replicas": 3}))
    await served.until(lambda there: bool(condition(there, "Suspended")))
    assert await served.get(DEPLOYMENTS) == before
    await served.apply(spec(scaling={"replicas": 3}))
    await served.until_ready()
    assert condition(await served.until_ready(), "Suspended") == {}


STRANGERS: dict[str, tuple[Resource, dict[str, Any]]] = {
    "Service": (SERVICES, {"spec": {"selector": {"app": "other"}, "ports": [{"port": 80}]}}),
    "Deployment": (
        DEPLOYMENTS,
        {
            "spec": {
                "selector": {"matchLabels": {"app": "other"}},
                "template": {
                    "metadata": {"labels": {"app": "other"}},
                    "spec": {"containers": [{"name": "other", "image": "other"}]},
                },
            }
        },
    ),
}


@pytest.mark.parametrize(("resource", "fields"), STRANGERS.values(), ids=STRANGERS)
async def test_a_stranger_of_the_same_name_is_refused_and_untouched(
    user: User, kubelet: Kubelet, berth: Process, resource: Resource, fields: dict[str, Any]
) -> None:
    there = await user.edit(resource, fields)
    await user.apply(spec(**OPEN))
    stalled = await user.until(is_stalled)
    assert condition(stalled, "Stalled")["reason"] == "Conflict"
    assert f"{resource.kind} iris exists" in condition(stalled, "Ready")["message"]
    after = await user.get(resource)
    assert after is not None
    assert (after["spec"], after["metadata"].get("labels")) == (
        there["spec"],
        there["metadata"].get("labels"),
    )
    assert "ownerReferences" not in after["metadata"]


async def test_a_recreated_one_replaces_what_the_old_one_left(served: User) -> None:
    old = await served.until_ready()
    await served.delete()
    new = await served.apply()
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    # No controller collects garbage here, so that the old children would stay for ever.
    await served.until_ready()
    for resource, name in ((DEPLOYMENTS, "iris"), (SERVICES, "iris"), (SECRETS, "iris-keys")):
        child = await served.get(resource, name)
        assert child is not None
        assert [owner["uid"] for owner in child["metadata"]["ownerReferences"]] == [new["metadata"]["uid"]]


async def test_a_rollout_that_cannot_end_is_told(user: User, kubelet: Kubelet, berth: Process) -> None:
    refused = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota: a",
    }
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
    times = {"lastTransitionTime": "2026-11-01T12:00:00Z", "lastUpdateTime": "2026-11-01T12:00:00Z"}
    kubelet.counts["iris"] = {"conditions": [refused | times, late | times]}
    await user.apply(spec(**OPEN))
    stalled = await user.until(is_stalled)
    assert condition(stalled, "Stalled")["reason"] == "QuotaExceeded"
    assert condition(stalled, "Ready")["message"] == "exceeded quota: a"


async def test_the_end_is_graceful(served: User, berth: Process) -> None:
    assert await berth.stop(signal.SIGTERM) == 0
    lease = await served.get(LEASES, "berth-leader")
    assert lease is not None
    assert lease["spec"].get("holderIdentity", "") == ""


async def test_the_other_replica_takes_over(
    served: User, berth: Process, control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with operator(control_plane.kubeconfig, served.namespace, tmp_path / "berth-1.log"):
        await asyncio.sleep(2 * SETTLED_SECONDS)
        lease = await served.get(LEASES, "berth-leader")
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == "berth-0"
        await berth.stop()
        await served.until(lambda lease: lease["spec"]["holderIdentity"] == "berth-1", LEASES, "berth-leader")
        await served.apply(spec(scaling={"replicas": 2}))
        await served.until(lambda there: there["spec"]["replicas"] == 2, DEPLOYMENTS)
        await served.until_ready()


async def test_the_end_waits_for_no_answer_to_a_golden_request(
    user: User, kubelet: Kubelet, berth: Process
) -> None:
    """Kopf waits 5 s for what was begun after it."""
    golden = {"request": {"body": "{}"}, "expect": {"body": "[0]"}}
    await user.apply(spec(**OPEN, validation=golden))
    await user.until(lambda there: condition(there, "Ready").get("reason") == "Validating")
    began = time.monotonic()
    assert await berth.stop() == 0
    assert time.monotonic() - began < 4

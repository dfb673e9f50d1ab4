import asyncio
from datetime import timedelta
from typing import Any

import pytest
from deployments import MODEL, NEWER_IMAGE, spec
from kubelet_pods import crash_loop, pod, terminated
from reconciled import KEY, World

from berth.api.conditions import Reason
from berth.core.errors import Conflict, Terminal, Transient
from berth.core.keys import Key
from berth.core.results import Done, RequeueAfter
from berth.plan.children import SERVING
from berth.plan.labels import MANAGED_BY
from berth.plan.resources import (
    AUTOSCALERS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)

OPEN = {"auth": {"mode": "None"}}
VALIDATED = {"validation": {"request": {"body": "{}"}}}


def replicas(world: World) -> Any:
    return world.cluster.objects[DEPLOYMENTS, KEY].found.get(("spec", "replicas"))


def add_pod(world: World, seen: dict[str, Any]) -> None:
    """Let the kubelet have made a Pod of the present template."""
    template = world.cluster.objects[DEPLOYMENTS, KEY].raw["spec"]["template"]
    seen["metadata"] |= {"namespace": "demo", "labels": template["metadata"]["labels"]}
    seen["metadata"]["annotations"] = {SERVING: template["metadata"]["annotations"][SERVING]}
    world.cluster.put(PODS, seen)


def controller_saw(world: World, **counts: Any) -> None:
    """Let the controller have written the status of the Deployment."""
    world.cluster.report(DEPLOYMENTS, KEY, **counts)


async def test_a_deployment_with_an_autoscaler_takes_four_writes_to_ready() -> None:
    world = World(spec(**OPEN, scaling={"maxReplicas": 3}))
    await world.settle(ready=1)
    assert world.cluster.writes == ["apply Deployment", "apply Service", "apply HorizontalPodAutoscaler"]
    assert len(world.statuses) == 1
    assert world.condition("Ready")["status"] == "True"
    assert [event.reason for event in world.events] == ["Ready"]


async def test_the_first_status_waits_for_what_was_just_made() -> None:
    world = World(spec())
    assert isinstance(await world.once(), RequeueAfter)
    assert world.statuses == []
    await world.once()
    assert world.condition("Reconciling")["reason"] == "RollingOut"


async def test_the_status_tells_how_to_reach_the_model() -> None:
    world = World(spec())
    await world.settle(ready=1)
    assert world.status["scoringUri"] == "http://iris.demo.svc/score"
    assert world.status["auth"] == {"mode": "Key", "secretName": "iris-keys"}
    assert world.status["selector"] == "berth.dev/deployment=iris"
    assert world.status["deployDurationSeconds"] == 5.0


async def test_what_is_no_longer_wanted_is_removed() -> None:
    world = World(spec(scaling={"minReplicas": 2, "maxReplicas": 3}))
    await world.settle()
    present = {resource for resource, _ in world.cluster.objects}
    assert present == {DEPLOYMENTS, SERVICES, AUTOSCALERS, DISRUPTION_BUDGETS, SECRETS}
    world.change(spec(**OPEN))
    await world.settle(ready=1)
    assert {resource for resource, _ in world.cluster.objects} == {DEPLOYMENTS, SERVICES}


async def test_keys_stay_until_no_pod_needs_them() -> None:
    world = World(spec())
    await world.settle(ready=1)
    world.change(spec(**OPEN))
    await world.settle()
    assert (SECRETS, KEYS) in world.cluster.objects
    controller_saw(world, replicas=2, updatedReplicas=1, availableReplicas=1)
    await world.settle()
    assert (SECRETS, KEYS) in world.cluster.objects
    await world.settle(ready=1)
    assert (SECRETS, KEYS) not in world.cluster.objects


async def test_an_autoscaled_deployment_starts_with_the_least_of_its_replicas() -> None:
    world = World(spec(scaling={"minReplicas": 3, "maxReplicas": 5}))
    await world.settle()
    assert replicas(world) == 3
    assert ("spec", "replicas") not in world.cluster.objects[DEPLOYMENTS, KEY].owned["berth"]


@pytest.mark.parametrize(("fixed", "taken_over"), [(1, 2), (4, 4), (9, 6)])
async def test_an_autoscaler_takes_over_without_a_dip(fixed: int, taken_over: int) -> None:
    world = World(spec(scaling={"replicas": fixed}))
    await world.settle()
    world.change(spec(scaling={"minReplicas": 2, "maxReplicas": 6}))
    await world.settle()
    assert replicas(world) == taken_over
    assert ("spec", "replicas") not in world.cluster.objects[DEPLOYMENTS, KEY].owned["berth"]


POD = ("spec", "template", "spec")
IMAGE_OF_SCORING = (*POD, "containers", '{"name": "scoring"}', "image")
MIRROR = {IMAGE_OF_SCORING: "mirror.test/berth-scoring:1", (*POD, "nodeSelector"): {"pool": "models"}}


async def test_what_a_mutating_policy_insists_on_is_let_be_and_told() -> None:
    world = World(spec(aks={"nodeSelector": {"pool": "gpu"}}))
    world.cluster.policies[DEPLOYMENTS] = MIRROR
    await world.settle(ready=1)
    assert world.condition("Ready")["status"] == "True"
    told = world.condition("Ready")["message"]
    assert "Deployment spec.template.spec.containers[scoring].image" in told
    assert "Deployment spec.template.spec.nodeSelector" in told
    writes = len(world.cluster.writes)
    await world.once()
    assert len(world.cluster.writes) == writes


@pytest.mark.parametrize("path", [IMAGE_OF_SCORING, ("spec", "progressDeadlineSeconds")])
async def test_under_a_mutating_policy_drift_is_repaired_too(path: tuple[str, ...]) -> None:
    world = World(spec())
    world.cluster.policies[DEPLOYMENTS] = MIRROR
    await world.settle(ready=1)
    found = world.cluster.objects[DEPLOYMENTS, KEY].found
    before = dict(found)
    found[path] = "by hand"
    await world.settle(ready=1)
    assert found == before


async def test_a_mutating_policy_does_not_keep_a_new_spec_away() -> None:
    world = World(spec())
    world.cluster.policies[DEPLOYMENTS] = MIRROR
    await world.settle(ready=1)
    world.change(spec(scaling={"replicas": 3}))
    await world.settle(ready=3)
    assert replicas(world) == 3
    assert world.condition("Ready")["status"] == "True"
    world.cluster.policies.clear()
    world.change(spec(scaling={"replicas": 4}))
    await world.settle(ready=4)
    assert "policy" not in world.condition("Ready")["message"]


async def test_what_the_autoscaler_decides_stays() -> None:
    world = World(spec(scaling={"maxReplicas": 6}))
    await world.settle()
    world.cluster.objects[DEPLOYMENTS, KEY].apply("hpa", {"spec": {"replicas": 5}})
    await world.settle()
    assert replicas(world) == 5


KEYS = Key("demo", "iris-keys")


@pytest.mark.parametrize("resource", [SERVICES, AUTOSCALERS])
async def test_an_object_that_lost_berths_label_gets_it_back(resource: Resource) -> None:
    world = World(spec(scaling={"maxReplicas": 6}))
    await world.settle(ready=1)
    before = world.children
    del world.cluster.objects[resource, KEY].found["metadata", "labels", MANAGED_BY]
    await world.settle(ready=1)
    assert world.children == before


async def test_a_deployment_that_lost_berths_label_keeps_its_replicas() -> None:
    world = World(spec(scaling={"minReplicas": 2, "maxReplicas": 6}))
    await world.settle(ready=2)
    scaled = {"metadata": {"name": KEY.name, "namespace": KEY.namespace}, "spec": {"replicas": 5}}
    await world.cluster.apply(DEPLOYMENTS, scaled, manager="hpa")
    await world.settle(ready=5)
    before = world.children
    del world.cluster.objects[DEPLOYMENTS, KEY].found["metadata", "labels", MANAGED_BY]
    with pytest.raises(Conflict):
        await world.once()
    await world.settle(ready=5)
    assert world.children == before
    assert replicas(world) == 5


async def test_a_key_that_was_deleted_is_made_again_and_the_other_stays() -> None:
    world = World(spec())
    await world.settle()
    found = world.cluster.objects[SECRETS, KEYS].found
    first, second = found.pop(("data", "primaryKey")), found[("data", "secondaryKey")]
    await world.settle()
    assert found[("data", "secondaryKey")] == second
    assert found[("data", "primaryKey")] not in (first, second, "")


async def test_keys_of_the_users_own_are_kept() -> None:
    world = World(spec())
    await world.settle()
    world.cluster.objects[SECRETS, KEYS].found[("data", "primaryKey")] = "bXkga2V5"
    world.change(spec(scaling={"replicas": 2}))
    await world.settle()
    assert world.cluster.objects[SECRETS, KEYS].found[("data", "primaryKey")] == "bXkga2V5"


@pytest.mark.parametrize("resource", [DEPLOYMENTS, SERVICES])
async def test_an_object_of_somebody_else_is_refused_and_left_alone(resource: Any) -> None:
    world = World(spec())
    stranger = {"metadata": {"name": "iris", "namespace": "demo"}, "spec": {"selector": {"app": "other"}}}
    world.cluster.put(resource, stranger)
    before = dict(world.cluster.objects[resource, KEY].found)
    with pytest.raises(Terminal) as refused:
        await world.once()
    await world.fail(refused.value)
    assert refused.value.retry_after == 60
    assert world.condition("Stalled")["reason"] == "Conflict"
    assert f"{resource.kind} iris exists and belongs to nobody" in world.condition("Ready")["message"]
    assert world.cluster.objects[resource, KEY].found == before


async def test_an_object_of_another_products_model_deployment_is_refused_and_left_alone() -> None:
    world = World(spec())
    owner = {"apiVersion": "seldon.example/v1", "kind": "ModelDeployment", "name": "iris", "uid": "its"}
    metadata = {"name": "iris", "namespace": "demo", "ownerReferences": [owner | {"controller": True}]}
    metadata["labels"] = {MANAGED_BY: "berth"}
    world.cluster.put(DEPLOYMENTS, {"metadata": metadata, "spec": {"replicas": 1}})
    with pytest.raises(Terminal, match=r"ModelDeployment iris of seldon\.example/v1"):
        await world.once()
    assert "delete Deployment" not in world.cluster.writes


async def test_a_new_deployment_of_an_old_name_is_not_ready_by_the_old_ones_pods() -> None:
    old = World(spec())
    await old.settle(ready=1)
    new = World(spec(), old.cluster, uid="uid-2")
    await new.once()
    assert new.condition("Ready").get("status") != "True"
    await new.settle()
    owners = {
        owner["uid"]
        for stored in new.cluster.objects.values()
        for owner in stored.raw["metadata"]["ownerReferences"]
    }
    assert owners == {"uid-2"}


async def test_an_upgrade_leaves_deployments_alone_until_their_spec_changes() -> None:
    world = World(spec())
    await world.settle()
    before = world.children
    world.restart(NEWER_IMAGE)
    await world.settle()
    assert world.children == before
    world.change(spec(model=MODEL | {"version": "4"}))
    await world.settle()
    assert NEWER_IMAGE.name in world.children["Deployment"].values()


async def test_suspended_means_hands_off() -> None:
    world = World(spec())
    await world.settle(ready=1)
    writes = len(world.cluster.writes)
    world.change(spec(suspend=True, scaling={"replicas": 4}))
    assert await world.once() == Done()
    assert len(world.cluster.writes) == writes
    assert world.condition("Suspended")["status"] == "True"
    assert world.condition("Ready")["status"] == "Unknown"
    assert world.status["observedGeneration"] == 2
    world.change(spec(scaling={"replicas": 4}))
    await world.settle(ready=4)
    assert world.condition("Suspended") == {}
    assert world.condition("Ready")["status"] == "True"


async def test_suspended_where_nothing_waits_says_what_is_so() -> None:
    world = World(spec())
    await world.settle(ready=1)
    world.change(spec(suspend=True))
    await world.once()
    assert world.condition("Ready") | {"status": "True", "observedGeneration": 2} == world.condition("Ready")
    assert world.status["observedGeneration"] == 2
    controller_saw(world, replicas=1, updatedReplicas=1)
    await world.once()
    assert world.condition("Ready")["status"] == "Unknown"
    assert world.condition("Reconciling") == {}


async def test_what_was_suspended_from_the_start_is_not_made() -> None:
    world = World(spec(suspend=True))
    await world.once()
    assert world.cluster.writes == []
    assert world.condition("Ready")["reason"] == "Suspended"
    assert world.status["observedGeneration"] == 1


async def test_what_stays_refused_is_told_once() -> None:
    world = World(spec())
    for _ in range(3):
        world.now += timedelta(minutes=1)
        await world.fail(Terminal(Reason.QUOTA_EXCEEDED, "exceeded quota: team", retry_after=60))
    assert [status["conditions"][0]["reason"] for status in world.statuses] == ["QuotaExceeded"]
    assert [event.reason for event in world.events] == ["QuotaExceeded"]
    await world.settle(ready=1)
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Stalled") == {}


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({"model": MODEL}, {"name": "iris", "version": "3"}),
        ({"model": None, "models": [MODEL]}, {"name": "iris", "version": "3"}),
        (
            {"model": None, "models": [MODEL, MODEL | {"name": "b"}, MODEL | {"name": "c"}]},
            {"name": "iris and 2 more"},
        ),
        ({"model": None, "image": "team/scorer:1"}, None),
    ],
)
async def test_the_status_names_the_model(fields: dict[str, Any], model: dict[str, str] | None) -> None:
    world = World(spec(**fields))
    await world.settle(ready=1)
    assert world.status.get("model") == model


async def test_the_cause_of_a_failing_pod_is_told() -> None:
    world = World(spec())
    await world.once()
    controller_saw(world, replicas=1, updatedReplicas=1)
    add_pod(world, pod(fetch=crash_loop(1, "ModelFetchFailed: 404")))
    await world.settle()
    assert world.condition("Ready") | {"reason": "ModelFetchFailed", "message": "404"} == world.condition(
        "Ready"
    )
    assert world.condition("ModelAvailable")["status"] == "False"
    assert world.condition("Reconciling")["status"] == "True"


async def test_a_model_that_was_fetched_and_then_cannot_be_loaded_is_not_available() -> None:
    world = World(spec())
    await world.once()
    controller_saw(world, replicas=1, updatedReplicas=1)
    report = '{"models": [{"name": "iris", "digest": "sha256:ab"}]}'
    add_pod(world, pod(fetch=terminated(0, report)))
    await world.settle()
    assert world.condition("ModelAvailable")["reason"] == "ModelFetched"
    add_pod(
        world, pod(crash_loop(3, "ModelLoadFailed: not ONNX"), name="iris-2", created="2026-11-01T12:00:06Z")
    )
    await world.settle()
    assert (
        world.condition("ModelAvailable")["reason"] == world.condition("Ready")["reason"] == "ModelLoadFailed"
    )
    await world.settle(ready=1)
    assert world.condition("ModelAvailable")["reason"] == "ModelServed"


async def test_a_model_that_was_fetched_is_not_said_to_be_served() -> None:
    world = World(spec())
    await world.once()
    controller_saw(world, replicas=1, updatedReplicas=1)
    add_pod(world, pod(fetch=terminated(0, '{"models": []}')))
    await world.settle()
    await world.settle()
    assert world.condition("ModelAvailable")["reason"] == "ModelFetched"


async def test_a_pod_of_the_previous_spec_is_no_cause() -> None:
    world = World(spec())
    await world.once()
    controller_saw(world, replicas=1, updatedReplicas=1)
    add_pod(world, pod(fetch=terminated(1, "ModelDigestMismatch: a is not b")))
    await world.settle()
    assert world.condition("Stalled")["reason"] == "ModelDigestMismatch"
    world.change(spec(model=MODEL | {"version": "4"}))
    await world.once()
    controller_saw(world, replicas=1, updatedReplicas=1)
    await world.settle()
    assert world.condition("Stalled") == {}
    assert world.condition("Ready")["reason"] == "RollingOut"


async def test_a_golden_request_stands_before_ready_for_each_generation() -> None:
    world = World(spec(**OPEN, **VALIDATED))
    await world.once()
    service = world.cluster.objects[SERVICES, KEY]
    service.found[("spec", "clusterIP")] = "10.96.0.7"
    await world.settle(ready=1)
    assert world.condition("Ready")["reason"] == "Validating"
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.asked == [KEY]
    await world.settle(ready=1)
    assert world.condition("Validated")["status"] == "True"
    assert world.condition("Ready")["status"] == "True"
    world.change(spec(**OPEN, **VALIDATED, model=MODEL | {"version": "4"}))
    await world.fail(Transient("The API server did not answer"))
    await world.settle(ready=1)
    assert world.condition("Ready")["reason"] == "Validating"


async def test_a_failure_does_not_carry_conditions_to_a_generation_they_are_not_of() -> None:
    world = World(spec())
    await world.settle(ready=1)
    world.change(spec(model=MODEL | {"version": "4"}))
    await world.fail(Transient("The API server did not answer"))
    assert world.condition("Ready")["observedGeneration"] == 2
    assert world.condition("ModelAvailable")["observedGeneration"] == 1


async def test_a_failure_of_the_operator_itself_hides_its_details() -> None:
    world = World(spec())
    await world.fail(RuntimeError("password=hush"))
    assert world.condition("Ready")["reason"] == "InternalError"
    assert "hush" not in str(world.statuses)


async def test_the_duration_is_that_of_the_first_time() -> None:
    world = World(spec())
    await world.settle(ready=1)
    took = world.status["deployDurationSeconds"]
    controller_saw(world, replicas=1, updatedReplicas=1)
    await world.settle()
    assert world.condition("Ready")["status"] == "False"
    world.now = world.now.replace(hour=20)
    await world.settle(ready=1)
    assert world.condition("Ready")["status"] == "True"
    assert world.status["deployDurationSeconds"] == took


async def test_the_duration_is_that_of_the_generation_even_if_it_stalled() -> None:
    world = World(spec())
    await world.settle()
    world.now += timedelta(minutes=50)
    world.change(spec(model=MODEL | {"version": "4"}))
    await world.settle()
    world.now += timedelta(seconds=5)
    await world.fail(Terminal(Reason.QUOTA_EXCEEDED, "exceeded quota: team"))
    world.now += timedelta(seconds=5)
    await world.settle(ready=1)
    assert world.condition("Ready")["status"] == "True"
    assert world.status["deployDurationSeconds"] == 10.0


async def test_a_new_generation_has_the_whole_deadline_to_get_an_address() -> None:
    def public(version: str) -> dict[str, Any]:
        return spec(model=MODEL | {"version": version}, aks={"expose": {"type": "LoadBalancer"}})

    world = World(public("3"))
    await world.settle()
    world.now += timedelta(minutes=50)
    world.change(public("4"))
    await world.settle(ready=1)
    assert world.condition("Reconciling")["reason"] == "WaitingForAddress"
    world.now += timedelta(minutes=11)
    await world.settle(ready=1)
    assert world.condition("Stalled")["reason"] == "WaitingForAddress"


async def test_a_deleted_one_is_left_to_the_garbage_collector() -> None:
    world = World(spec())
    world._raw["metadata"]["deletionTimestamp"] = "2026-11-01T13:00:00Z"
    assert await world.once() == Done()
    assert world.cluster.writes == []


class Overtaken(World):
    """The user applies another spec just before the operator writes a status."""

    async def apply_status(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        if not self.statuses:
            self.change(spec(model=MODEL | {"version": "4"}))
        return await super().apply_status(resource, body)


async def test_a_spec_that_comes_while_the_status_is_written_is_left_to_the_watch() -> None:
    world = Overtaken(spec())
    await world.once()
    await world.once()
    assert world.status["observedGeneration"] == 1
    known = world.subjects.get(KEY)
    assert known is not None
    assert known.parse()["metadata"]["generation"] == 1
    await world.settle(ready=1)
    assert world.status["observedGeneration"] == 2


@pytest.mark.parametrize("fields", [spec(target="Moon"), {}])
async def test_a_spec_that_this_version_cannot_read_is_told_once(fields: dict[str, Any]) -> None:
    world = World(spec())
    await world.settle(ready=1)
    told = len(world.statuses)
    world.change(fields)
    for _ in range(2):
        with pytest.raises(Terminal) as unreadable:
            await world.once()
        await world.fail(unreadable.value)
        world.now += timedelta(minutes=1)
    assert len(world.statuses) == told + 1
    assert world.condition("Ready")["status"] == "False"
    assert world.condition("Stalled")["reason"] == "Unreadable"
    assert "cannot read spec" in world.condition("Stalled")["message"]
    assert world.status["observedGeneration"] == 2
    world.change(spec())
    await world.settle(ready=1)
    assert world.condition("Ready")["status"] == "True"


async def test_the_longest_words_of_a_server_are_shortened() -> None:
    world = World(spec())
    await world.fail(Terminal(Reason.REJECTED, "no " * 20_000))
    assert len(world.condition("Stalled")["message"]) == 32_768

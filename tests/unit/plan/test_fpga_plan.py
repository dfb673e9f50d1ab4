from datetime import UTC, datetime
from typing import Any

import pytest
from deployments import IMAGE, MODEL
from device_pods import RESOURCE, claimants, node, nodes, pod
from fpga_deployments import fpga_spec, fpga_subject, pool

from berth.api.conditions import ConditionStatus, Reason
from berth.plan import children
from berth.plan.causes import Cause
from berth.plan.cluster import Observation
from berth.plan.devices import Room, Uncounted, count
from berth.plan.fpga_placement import FpgaSubject
from berth.plan.fpga_plan import (
    FpgaObservation,
    Runtime,
    Scaling,
    known_runtime,
    lack,
    lacking,
    plan,
    pool_status,
    scaling_of,
    surge,
)
from berth.plan.resources import DEPLOYMENTS
from berth.plan.steps import Create

NOW = datetime(2026, 11, 1, 12, 1, tzinfo=UTC)
STATUS = {"observedGeneration": 1}
MINE = {"deployment": "iris"}
UNCOUNTED = Uncounted("nodes is forbidden")


def room(found: Any, *asking: Any) -> Room:
    return count(nodes(*found), claimants(*asking), RESOURCE, {}, ())


def wanting(replicas: int, **fields: Any) -> FpgaSubject:
    return fpga_subject(fpga_spec(scaling={"replicas": replicas}), status=STATUS, **fields)


def deployed(of: FpgaSubject, *, ready: int, current: int | None = None) -> Any:
    """Give the Deployment, some of whose replicas are of the newest template."""
    replicas = of.spec.scaling.replicas
    body = children.deployment(of, IMAGE, observed=None).body
    body["metadata"]["generation"] = 1
    body["status"] = {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas if current is None else current,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    return {DEPLOYMENTS: body}


def told(
    of: FpgaSubject, counted: Room | Uncounted, cause: Cause | None = None, **seen: Any
) -> dict[str, Any]:
    """Give the conditions by type."""
    observed = Observation(deployed(of, ready=0, current=0), cause=cause)
    found = plan(FpgaObservation(of, observed, counted, **seen), IMAGE, NOW)
    assert found.draft is not None
    return {each.type: each for each in found.draft.conditions}


def test_enough_devices_are_told() -> None:
    found = told(wanting(2), room([node()]))["DevicesAvailable"]
    assert (found.status, found.reason) == (ConditionStatus.TRUE, Reason.DEVICES_AVAILABLE)


def test_what_lacks_is_told_with_counts_and_holders_before_any_pod_waits() -> None:
    counted = room([node(devices=4)], pod("iris-1", on="a", **MINE), pod("x", 2, on="a"))
    found = told(wanting(3), counted)
    assert found["DevicesAvailable"].status is ConditionStatus.FALSE
    assert found["Ready"].reason == found["DevicesAvailable"].reason == Reason.DEVICES_IN_USE
    assert found["DevicesAvailable"].message == (
        f"3 devices {RESOURCE} are wanted, 1 are held: of 4 in all 3 are allocated "
        "(demo/x 2, demo/iris 1), 1 free, 0 waited for"
    )
    assert "Reconciling" in found


def test_what_its_own_pods_hold_does_not_lack() -> None:
    held = [pod(f"iris-{number}", on="a", **MINE) for number in range(2)]
    assert lack(FpgaObservation(wanting(2), Observation({}), room([node()], *held))) is None


def test_devices_spread_over_nodes_do_not_help_a_replica_that_needs_two() -> None:
    of = fpga_subject(fpga_spec({"device": {"count": 2}}), status=STATUS)
    lacking = lack(FpgaObservation(of, Observation({}), room([node("a", 1), node("b", 1)])))
    assert lacking is not None
    assert lacking.message.endswith("; no node has 2 free at once")


def test_nodes_that_take_no_pods_are_named() -> None:
    lacking = lack(FpgaObservation(wanting(1), Observation({}), room([node(unschedulable=True)])))
    assert lacking is not None
    assert lacking.message.endswith("; not ready, cordoned or tainted: a")


def test_the_first_real_cause_is_not_hidden_by_devices() -> None:
    cause = Cause(Reason.MODEL_LOAD_FAILED, "unsupported operator")
    found = told(wanting(3), room([node()]), cause)
    assert found["Ready"].reason == Reason.MODEL_LOAD_FAILED
    assert found["DevicesAvailable"].status is ConditionStatus.FALSE


def test_the_schedulers_words_give_way_to_the_counts() -> None:
    cause = Cause(Reason.UNSCHEDULABLE, f"0/1 nodes are available: 1 Insufficient {RESOURCE}")
    assert told(wanting(3), room([node()]), cause)["Ready"].reason == Reason.DEVICES_IN_USE
    assert told(wanting(2), room([node()]), cause)["Ready"].reason == Reason.UNSCHEDULABLE


@pytest.mark.parametrize("found", [[], [node(devices=0)]], ids=["no node", "no plugin"])
def test_no_node_is_an_error_once_it_lasts_where_the_pool_does_not_scale_from_zero(found: Any) -> None:
    at_first = told(wanting(1), room(found), missing_seconds=29.0)
    assert at_first["Ready"].reason == Reason.COUNTING_DEVICES
    assert "Stalled" not in at_first
    later = told(wanting(1), room(found), missing_seconds=30.0)
    assert later["Stalled"].reason == later["DevicesAvailable"].reason == Reason.DEVICE_NOT_OFFERED


@pytest.mark.parametrize(
    ("scaling", "reason"),
    [
        (None, Reason.WAITING_FOR_CAPACITY),
        (Scaling(refused=False, message="pod triggered scale-up"), Reason.WAITING_FOR_CAPACITY),
        (Scaling(refused=True, message="pod didn't trigger scale-up: 1 max size"), Reason.NO_CAPACITY),
    ],
)
def test_an_empty_pool_that_scales_from_zero_is_waited_for(scaling: Any, reason: Reason) -> None:
    of = wanting(1, place=pool(scalesFromZero=True))
    found = told(of, room([], pod("iris-1", **MINE)), missing_seconds=300.0, scaling=scaling)
    assert found["Ready"].reason == found["DevicesAvailable"].reason == reason
    assert "Stalled" not in found
    assert scaling is None or found["Ready"].message.endswith(scaling.message)


def test_who_wants_no_replica_lacks_no_device() -> None:
    found = told(wanting(0), room([]), missing_seconds=30.0)
    assert found["DevicesAvailable"].status is ConditionStatus.TRUE
    assert "Stalled" not in found


def test_devices_that_cannot_be_counted_are_said_to_be_unknown() -> None:
    found = told(wanting(1), UNCOUNTED)["DevicesAvailable"]
    assert found.status is ConditionStatus.UNKNOWN
    assert UNCOUNTED.why in found.message


def test_what_serves_stays_ready_though_its_plugin_is_away() -> None:
    of = wanting(1)
    observed = Observation(
        {**deployed(of, ready=1), **{each.resource: each.body for each in [children.service(of)]}}
    )
    found = plan(FpgaObservation(of, observed, room([node(devices=0)]), missing_seconds=99.0), IMAGE, NOW)
    assert found.draft is not None
    conditions = {each.type: each.status for each in found.draft.conditions}
    assert conditions["Ready"] is ConditionStatus.TRUE
    assert conditions["DevicesAvailable"] is ConditionStatus.FALSE


def test_the_status_tells_the_devices_and_the_endpoint() -> None:
    of = wanting(2)
    counted = room([node("a"), node("b")], pod("iris-1", on="b", **MINE), pod("x", on="a"))
    found = plan(FpgaObservation(of, Observation(deployed(of, ready=1)), counted), IMAGE, NOW)
    assert found.draft is not None
    fields = found.draft.fields
    assert fields["grpc_endpoint"] == "iris.demo.svc:80"
    assert fields["scoring_uri"] == "http://iris.demo.svc:5001/score"
    assert "aks" not in fields
    assert fields["fpga"].model_dump(by_alias=True) == {
        "serviceName": "iris",
        "device": None,
        "executionProvider": None,
        "devices": {"resourceName": RESOURCE, "total": 4, "allocated": 2, "free": 2, "pending": 0},
        "held": 1,
        "nodes": ("b",),
    }


CPU = Runtime("cpu", "CPUExecutionProvider")


def serving(of: FpgaSubject, runtime: Runtime | None) -> Any:
    """Give the draft of what serves on a device."""
    made = {**deployed(of, ready=1), **{each.resource: each.body for each in [children.service(of)]}}
    found = plan(FpgaObservation(of, Observation(made), room([node()]), runtime=runtime), IMAGE, NOW)
    assert found.draft is not None
    return found.draft


def test_what_it_runs_on_is_told_with_ready_and_for_itself() -> None:
    draft = serving(wanting(1), CPU)
    ready = next(each for each in draft.conditions if each.type == "Ready")
    assert ready.status is ConditionStatus.TRUE
    assert ready.message == "The current spec serves, on the CPU, by CPUExecutionProvider"
    assert (draft.fields["fpga"].device, draft.fields["fpga"].execution_provider) == (
        "cpu",
        "CPUExecutionProvider",
    )


def test_where_nobody_has_said_it_nothing_is_told() -> None:
    draft = serving(wanting(1), None)
    ready = next(each for each in draft.conditions if each.type == "Ready")
    assert ready.message == "The current spec serves"
    assert draft.fields["fpga"].device is None


@pytest.mark.parametrize(
    ("is_ready", "generation", "known"), [("True", 1, CPU), ("False", 1, None), ("True", 2, None)]
)
def test_what_was_said_holds_while_the_spec_serves(
    is_ready: str, generation: int, known: Runtime | None
) -> None:
    verdict = {
        "type": "Ready",
        "status": is_ready,
        "reason": "Ready",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-01T12:00:00Z",
    }
    said = {"serviceName": "iris", "device": "cpu", "executionProvider": "CPUExecutionProvider"}
    status = {"observedGeneration": 1, "conditions": [verdict], "fpga": said}
    of = fpga_subject(status=status, generation=generation)
    assert known_runtime(of) == known


def test_tls_is_told_with_the_endpoint() -> None:
    of = fpga_subject(fpga_spec(tls={"secretRef": {"name": "cert"}}), status=STATUS)
    found = plan(FpgaObservation(of, Observation(deployed(of, ready=1)), room([node()])), IMAGE, NOW)
    assert found.draft is not None
    assert found.draft.fields["grpc_endpoint"] == "iris.demo.svc:443"
    assert found.draft.fields["scoring_uri"] == "https://iris.demo.svc:5001/score"


def test_the_claims_of_a_class_are_made_before_the_pods() -> None:
    of = fpga_subject(
        status=STATUS,
        place=pool(resourceName=None, deviceClassName="fpga.example.com", dynamicResources=True),
    )
    steps = plan(FpgaObservation(of, Observation({}), UNCOUNTED), IMAGE, NOW).steps
    made = [step.desired.resource.kind for step in steps if isinstance(step, Create)]
    assert made == ["ResourceClaimTemplate", "Deployment", "Service"]
    again = plan(FpgaObservation(of, Observation(deployed(of, ready=1)), UNCOUNTED), IMAGE, NOW).steps
    assert [step.desired.resource.kind for step in again if isinstance(step, Create)] == ["Service"]


CHANGED = fpga_spec(model=MODEL | {"version": "4"})


def test_a_rollout_begins_with_a_surge_where_a_device_is_free() -> None:
    there = deployed(fpga_subject(), ready=1)
    mine = pod("iris-1", on="a", **MINE)
    assert surge(fpga_subject(CHANGED), IMAGE, there, room([node()], mine)) == 1
    assert surge(fpga_subject(CHANGED), IMAGE, there, room([node(devices=1)], mine)) == 0
    assert surge(fpga_subject(CHANGED), IMAGE, there, UNCOUNTED) == 0


def test_a_rollout_that_waits_for_a_device_which_somebody_else_got_replaces_one_by_one() -> None:
    there = deployed(fpga_subject(surge=1), ready=1, current=0)
    taken = [pod("iris-1", on="a", **MINE), pod("x", on="a")]
    assert surge(fpga_subject(), IMAGE, there, room([node()], *taken, pod("iris-2", **MINE))) == 0
    assert surge(fpga_subject(), IMAGE, there, room([node()], *taken)) == 1
    assert surge(fpga_subject(), IMAGE, there, UNCOUNTED) == 0
    ends = [pod("iris-1", on="a", ending=True, **MINE), pod("x", on="a")]
    assert surge(fpga_subject(), IMAGE, there, room([node()], *ends, pod("iris-2", **MINE))) == 1


@pytest.mark.parametrize("present", [0, 1])
def test_news_of_others_devices_changes_nothing_where_all_is_rolled_out(present: int) -> None:
    there = deployed(fpga_subject(surge=present), ready=1)
    for counted in (room([node()]), room([node(devices=1)], pod("x", on="a"), pod("y")), UNCOUNTED):
        assert surge(fpga_subject(), IMAGE, there, counted) == present


def test_replicas_without_a_device_are_counted_while_others_have_theirs() -> None:
    of, mine = wanting(3), [pod("iris-1", on="a", **MINE), pod("iris-2", on="a", **MINE)]
    full, there = room([node()], *mine, pod("iris-3", **MINE)), deployed(of, ready=2)
    assert lacking(of, {}, full) == 0
    assert lacking(of, there, full) == 1
    assert lacking(of, there, room([node(devices=3)], *mine)) == 0
    assert lacking(of, there, room([node(devices=1)], pod("x", on="a"))) == 0
    known = deployed(wanting(3, lacking=1), ready=2)
    assert lacking(of, known, UNCOUNTED) == lacking(of, known, room([node()])) == 1


def test_what_the_autoscaler_said_last_counts() -> None:
    said = [
        {"reason": "TriggeredScaleUp", "message": "new", "lastTimestamp": "2026-11-01T12:02:00Z"},
        {"reason": "NotTriggerScaleUp", "message": "old", "lastTimestamp": "2026-11-01T12:01:00Z"},
        {"reason": "FailedScheduling", "message": "newest", "lastTimestamp": "2026-11-01T12:03:00Z"},
    ]
    assert scaling_of(said) == Scaling(refused=False, message="new")
    assert scaling_of(said[1:]) == Scaling(refused=True, message="old")
    assert scaling_of(said[2:]) is None


def test_karpenter_says_where_a_pod_goes() -> None:
    said = [
        {"reason": "FailedScheduling", "message": "0/1 nodes", "eventTime": "2026-11-01T12:01:00.000000Z"},
        {
            "reason": "Nominated",
            "message": "Pod should schedule on: nodeclaim/fpga-x2x",
            "lastTimestamp": None,
        }
        | {"eventTime": "2026-11-01T12:01:01.000000Z"},
    ]
    assert scaling_of(said) == Scaling(refused=False, message="Pod should schedule on: nodeclaim/fpga-x2x")


def test_a_full_pool_tells_what_its_autoscaler_says() -> None:
    of = wanting(1, place=pool(scalesFromZero=True))
    counted = room([node(devices=1)], pod("x", on="a"), pod("iris-1", **MINE))
    scaling = Scaling(refused=True, message="pod didn't trigger scale-up: 1 max node group size reached")
    found = told(of, counted, scaling=scaling)["DevicesAvailable"]
    assert found.reason == Reason.DEVICES_IN_USE
    assert found.message.endswith(f"; the autoscaler says: {scaling.message}")


def rolling_out(cause: Cause) -> Any:
    """Give the plan of a rollout that is stuck while the only replica of before still serves."""
    of = wanting(1, surge=1)
    made = deployed(of, ready=1, current=0)
    made[DEPLOYMENTS]["status"] |= {"replicas": 2, "updatedReplicas": 1}
    service = children.service(of)
    observed = Observation({**made, service.resource: service.body}, cause=cause)
    return plan(FpgaObservation(of, observed, room([node()], pod("iris-1", on="a", **MINE))), IMAGE, NOW)


@pytest.mark.parametrize(
    ("cause", "is_final"),
    [
        (Cause(Reason.MODEL_DIGEST_MISMATCH, "weights:1 has the digest sha256:00, not sha256:0a"), True),
        (Cause(Reason.MODEL_LOAD_FAILED, "weights: unsupported operator Convolve"), False),
        (
            Cause(Reason.CLASSIFIER_MISMATCH, "the classifier takes [-1, 1024], ResNet50 gives [-1, 2048]"),
            False,
        ),
    ],
)
def test_what_cannot_be_served_is_told_and_the_old_generation_serves_on(cause: Cause, is_final: bool) -> None:
    found = rolling_out(cause)
    conditions = {each.type: each for each in found.draft.conditions}
    assert (conditions["Ready"].reason, conditions["Ready"].message) == (cause.reason, cause.message)
    assert conditions["ModelAvailable"].reason == cause.reason
    assert conditions["EndpointReady"].status is ConditionStatus.TRUE
    assert ("Stalled" in conditions) is is_final
    assert found.steps == []


def test_a_wait_for_capacity_ends_with_the_deadline() -> None:
    cause = Cause(Reason.UNSCHEDULABLE, "0/1 nodes are available")
    of = wanting(1, place=pool(scalesFromZero=True))
    made = deployed(of, ready=0, current=0)
    stuck = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    made[DEPLOYMENTS]["status"]["conditions"] = [stuck]
    seen = FpgaObservation(of, Observation(made, cause=cause), room([], pod("iris-1", **MINE)))
    found = plan(seen, IMAGE, NOW)
    assert found.draft is not None
    conditions = {each.type: each for each in found.draft.conditions}
    assert conditions["Stalled"].reason == Reason.WAITING_FOR_CAPACITY


def test_a_drained_node_is_told_and_its_devices_come_back() -> None:
    drained = room([node("a", 1, unschedulable=True)], pod("iris-1", on="a", ending=True, **MINE))
    waits = room([node("a", 1, unschedulable=True)], pod("iris-2", **MINE))
    assert lack(FpgaObservation(wanting(1), Observation({}), drained)) is None
    lacking = lack(FpgaObservation(wanting(1), Observation({}), waits))
    assert lacking is not None
    assert "not ready, cordoned or tainted: a" in lacking.message
    back = room([node("a", 1)], pod("iris-2", **MINE))
    assert lack(FpgaObservation(wanting(1), Observation({}), back)) is None


def test_a_compute_target_tells_who_holds_its_devices() -> None:
    many = [pod(f"p{number:02}", on="a") for number in range(25)]
    found = pool_status(room([node(devices=30)], pod("x", 2, on="a"), *many))
    assert found.nodes == 1
    assert found.holders is not None
    assert (found.holders[0].name, found.holders[0].devices, len(found.holders)) == ("demo/x", 2, 20)

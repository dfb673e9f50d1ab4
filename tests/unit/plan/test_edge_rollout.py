"""Rollouts in a simulated hub: whatever happens, no device is ever without, and one deployment is left."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from deployments import MODEL
from edge_deployments import NOW, desired, edge_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from berth.api.iot_edge import Rollout
from berth.plan.edge_deployment import Desired
from berth.plan.edge_fleet import Counts, Live
from berth.plan.edge_rollout import (
    COMPLETE,
    COUNTED_SECONDS,
    REFUSED,
    STAGE,
    Create,
    Decision,
    Known,
    Phase,
    Refuse,
    Remove,
    Stage,
    Update,
    decide,
    document,
    wants_devices,
)
from berth.plan.group_names import GENERATION
from berth_sandbox.azure.iot_hub.query import parser

IDS = tuple(f"device-{number}" for number in range(10))
CANARY = {"targetCondition": "deviceId = 'device-3'"}
HALF = {"percent": 50}


def rollout(*stages: dict[str, Any], **fields: Any) -> Rollout:
    return Rollout.model_validate({"stages": stages or (CANARY, HALF), **fields})


def version(number: int, priority: int = 10) -> Desired:
    spec = edge_spec(
        model=MODEL | {"version": str(number)}, iotEdge={"targetCondition": "*", "priority": priority}
    )
    return desired(spec)


@dataclass
class SimulatedHub:
    """Deployments, and devices that run the one that wins among those that choose them."""

    now: datetime = NOW
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    """Versions that fail wherever they run."""
    offline: set[str] = field(default_factory=set)
    known: Known = field(default_factory=Known)
    counts_itself: bool = False

    @property
    def live(self) -> list[Live]:
        found = [Live({**each, "systemMetrics": self._system(each)}) for each in self.stored.values()]
        return sorted(found, key=lambda live: (live.created, live.id), reverse=True)

    def _system(self, each: dict[str, Any]) -> dict[str, Any]:
        chosen = len(self._chosen(each["targetCondition"]))
        return {"results": {"targetedCount": chosen, "appliedCount": chosen}}

    def _chosen(self, condition: str) -> set[str]:
        if condition == "*":
            return set(IDS)
        read = parser.condition(condition)
        return {each for each in IDS if read.holds({"deviceId": each}) is True}

    def runs(self, device: str) -> str | None:
        """The version that a device runs."""
        reaching = [each for each in self.stored.values() if device in self._chosen(each["targetCondition"])]
        if not reaching:
            return None
        best = max(reaching, key=lambda each: (each["priority"], each["createdTimeUtc"], each["id"]))
        module = best["content"]["modulesContent"]["$edgeAgent"]["properties.desired.modules.iris"]
        return str(module["version"])

    def counts(self, wanted: Desired, live: Live | None) -> Counts:
        if live is None:
            return Counts()
        told = self._chosen(live.condition)
        seen = told - self.offline
        current = {each for each in seen if self.runs(each) == wanted.version}
        bad = current if wanted.version in self.failing else set[str]()
        return Counts(
            len(told),
            len(told),
            len(current - bad),
            len(bad),
            len(told & self.offline),
            not self.counts_itself,
        )

    def look(self, wanted: Desired, plan: Rollout | None) -> Decision:
        live = self.live
        current = next((each for each in live if each.holds(wanted)), None)
        counts = self.counts(wanted, current)
        decision = decide(wanted, plan, live, counts=counts, known=self.known, now=self.now)
        self.known = Known(decision.stage.label, decision.healthy_since)
        return decision

    def take(self, wanted: Desired, plan: Rollout | None, step: Any) -> None:
        self.now += timedelta(seconds=1)
        match step:
            case Create():
                told = document(wanted, plan, step, IDS)
                self._store(told, created=self.now.isoformat())
            case Update(live):
                self._store(document(wanted, plan, step, IDS), created=live.created)
            case Refuse(live, attempt):
                self._store(live.relabelled({REFUSED: attempt}), created=live.created)
            case Remove(live):
                del self.stored[live.id]

    def _store(self, told: dict[str, Any], created: str) -> None:
        self.stored[told["id"]] = {
            **told,
            "etag": "MQ==",
            "createdTimeUtc": created,
            "lastUpdatedTimeUtc": self.now.isoformat(),
        }

    def roll(self, wanted: Desired, plan: Rollout | None, looks: int = 60) -> Decision:
        for _ in range(looks):
            decision = self.look(wanted, plan)
            for step in decision.steps:
                self.take(wanted, plan, step)
            self.now += timedelta(seconds=30)
        return self.look(wanted, plan)


def running(hub: SimulatedHub) -> set[str | None]:
    return {hub.runs(each) for each in IDS}


def test_without_stages_all_devices_get_it_at_once() -> None:
    hub = SimulatedHub()
    decision = hub.look(version(1), None)
    assert decision.phase is Phase.ABSENT
    (step,) = decision.steps
    hub.take(version(1), None, step)
    assert running(hub) == {version(1).version}


def test_the_earlier_deployment_goes_when_the_new_one_is_applied() -> None:
    hub = SimulatedHub()
    hub.roll(version(1), None)
    hub.take(version(2), None, hub.look(version(2), None).steps[0])
    assert hub.look(version(2), None).steps == []
    hub.now += timedelta(seconds=61)
    assert [type(step) for step in hub.look(version(2), None).steps] == [Remove]


def test_stages_follow_each_other() -> None:
    hub = SimulatedHub()
    seen = []
    for _ in range(30):
        decision = hub.look(version(1), rollout())
        for step in decision.steps:
            hub.take(version(1), rollout(), step)
        seen.append(sum(hub.runs(each) is not None for each in IDS))
        hub.now += timedelta(seconds=30)
    assert seen == sorted(seen)
    assert sorted(set(seen)) in ([1, 5, 10], [1, 6, 10])


def test_a_rollout_that_fails_goes_back_and_is_not_tried_again() -> None:
    hub = SimulatedHub()
    hub.roll(version(1), rollout())
    hub.failing.add(version(2).version)
    assert hub.roll(version(2), rollout()).phase is Phase.RETURNED
    assert running(hub) == {version(1).version}
    assert len(hub.stored) == 1


def test_what_was_refused_is_tried_again_when_the_spec_changes_in_whatever() -> None:
    hub = SimulatedHub()
    hub.roll(version(1), rollout())
    hub.failing.add(version(2).version)
    hub.roll(version(2), rollout())
    hub.failing.clear()
    again = replace(version(2), labels={**version(2).labels, GENERATION: "3"})
    assert hub.roll(again, rollout()).phase is Phase.COMPLETE
    assert running(hub) == {version(2).version}


def test_the_way_back_leads_past_a_version_that_was_only_on_its_way() -> None:
    """Version 2 has reached a canary when version 3 comes and fails: version 1 is what all have."""
    hub = SimulatedHub()
    hub.roll(version(1), rollout())
    waiting = rollout(CANARY | {"waitSeconds": 10_000})
    hub.roll(version(2), waiting, looks=6)
    hub.failing.add(version(3).version)
    assert hub.roll(version(3), waiting).phase is Phase.RETURNED
    assert running(hub) == {version(1).version}
    assert len(hub.stored) == 1


def test_without_anything_to_go_back_to_it_halts() -> None:
    hub = SimulatedHub(failing={version(1).version})
    assert hub.roll(version(1), rollout()).phase is Phase.HALTED
    assert len(hub.stored) == 1
    assert sum(hub.runs(each) is not None for each in IDS) == 1


def test_a_wider_stage_is_not_judged_by_what_the_hub_counted_of_the_one_before() -> None:
    hub = SimulatedHub(counts_itself=True)
    widened = None
    for _ in range(60):
        before = hub.now
        for step in hub.look(version(1), rollout()).steps:
            hub.take(version(1), rollout(), step)
            if isinstance(step, Update):
                assert widened is None or (before - widened).total_seconds() >= COUNTED_SECONDS
                widened = before
        hub.now += timedelta(seconds=30)
    assert hub.look(version(1), rollout()).phase is Phase.COMPLETE


def test_devices_that_are_offline_stop_no_stage() -> None:
    hub = SimulatedHub(offline={"device-1", "device-2"})
    assert hub.roll(version(1), rollout()).phase is Phase.COMPLETE


def test_a_stage_without_any_device_that_is_seen_waits() -> None:
    hub = SimulatedHub(offline={"device-3"})
    assert hub.roll(version(1), rollout()).stage == Stage(0)


def test_a_count_that_is_unknown_is_not_0() -> None:
    hub = SimulatedHub()
    hub.take(version(1), rollout(), hub.look(version(1), rollout()).steps[0])
    hub.now += timedelta(hours=1)
    decision = decide(version(1), rollout(), hub.live, counts=Counts(), known=Known(), now=hub.now)
    assert (decision.phase, decision.steps) == (Phase.STAGED, ())


def test_who_has_all_devices_keeps_them_when_stages_are_added() -> None:
    hub = SimulatedHub()
    hub.roll(version(1), None)
    decision = hub.look(version(1), rollout())
    assert (decision.phase, decision.steps) == (Phase.COMPLETE, [])


def test_a_condition_that_was_edited_is_put_back_as_drift() -> None:
    hub = SimulatedHub()
    hub.roll(version(1), None)
    (known,) = hub.stored.values()
    known["targetCondition"] = "deviceId = 'device-1'"
    decision = hub.look(version(1), None)
    assert decision.drifted == ("targetCondition",)
    hub.roll(version(1), None, looks=1)
    assert running(hub) == {version(1).version}


def test_a_share_of_all_needs_no_ids() -> None:
    assert not wants_devices(rollout({"percent": 100}), Stage(0))
    assert wants_devices(rollout(), Stage(1))
    assert not wants_devices(rollout(), Stage(0))
    assert not wants_devices(rollout(), Stage(None))


STAGES = st.lists(
    st.one_of(
        st.builds(lambda percent: {"percent": percent}, st.integers(1, 100)),
        st.sampled_from([CANARY, {"targetCondition": "*"}, {"targetCondition": "deviceId = 'none'"}]),
    ),
    min_size=1,
    max_size=3,
)
PLANS = st.none() | st.builds(
    lambda stages, most: rollout(*stages, maxFailedPercent=most), STAGES, st.sampled_from([0, 50, 100])
)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from([5, 10, 20]), PLANS, st.integers(0, 12)), max_size=5
    ),
    st.sets(st.integers(2, 4)),
    st.sets(st.sampled_from(IDS), max_size=4),
    st.randoms(use_true_random=False),
)
def test_no_device_is_ever_without_and_one_deployment_is_left(
    wishes: Sequence[tuple[int, int, Rollout | None, int]], failing: set[int], offline: set[str], random: Any
) -> None:
    """Versions come and go in the middle of each other, steps are lost, and operators begin anew."""
    hub = SimulatedHub(offline=offline)
    hub.roll(version(1), None)
    hub.failing = {version(number, priority).version for number in failing for priority in (5, 10, 20)}
    for number, priority, plan, looks in wishes:
        wanted = version(number, priority)
        for _ in range(looks):
            for step in hub.look(wanted, plan).steps:
                if random.random() < 0.8:
                    hub.take(wanted, plan, step)
                assert None not in running(hub)
            if random.random() < 0.2:
                hub.known = Known()
            hub.now += timedelta(seconds=30)
    last = version(1)
    for _ in range(80):
        for step in hub.look(last, None).steps:
            hub.take(last, None, step)
            assert None not in running(hub)
        hub.now += timedelta(seconds=30)
    assert len(hub.stored) == 1
    assert running(hub) == {last.version}


@pytest.mark.parametrize("plan", [None, rollout(), rollout({"percent": 1})])
def test_what_is_complete_says_so(plan: Rollout | None) -> None:
    hub = SimulatedHub()
    hub.roll(version(1), plan)
    (live,) = hub.live
    assert live.labels[STAGE] == COMPLETE

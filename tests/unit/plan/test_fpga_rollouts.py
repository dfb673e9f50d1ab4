"""Rollouts in a pool: a small Deployment controller and a scheduler go on as they like."""

from dataclasses import dataclass, field
from typing import Any

from deployments import IMAGE, MODEL
from device_pods import RESOURCE, claimants, node, nodes, pod
from fpga_deployments import fpga_spec, fpga_subject
from hypothesis import given
from hypothesis import strategies as st

from berth.plan import children
from berth.plan.devices import Room, count
from berth.plan.fpga_plan import lacking, surge
from berth.plan.resources import DEPLOYMENTS

_PATIENCE = 200


@dataclass
class Pool:
    """A pool, a Deployment in it that is given a new template, and others who come and go."""

    devices: int
    replicas: int
    old: int
    others: int = 0
    new: int = 0
    waiting: int = 0
    ending: int = 0
    surge: int = 0
    lacking: int = 0
    least_served: int = field(default=10**6)

    @property
    def free(self) -> int:
        return self.devices - self.old - self.new - self.ending - self.others

    def room(self) -> Room:
        mine = [pod(f"m{number}", on="a", deployment="iris") for number in range(self.old + self.new)]
        ending = [pod(f"e{number}", on="a", deployment="iris", ending=True) for number in range(self.ending)]
        waiting = [pod(f"w{number}", deployment="iris") for number in range(self.waiting)]
        others = [pod(f"o{number}", on="a") for number in range(self.others)]
        found = [node(devices=self.devices)]
        asking = claimants(*mine, *ending, *waiting, *others)
        return count(nodes(*found), asking, RESOURCE, {}, ())

    def decide(self, template: Any) -> None:
        """Let the operator write the strategy."""
        of = fpga_subject(template, surge=self.surge, lacking=self.lacking)
        before = children.deployment(of, IMAGE, observed=None).body
        before["metadata"]["generation"] = 2
        before["status"] = {
            "observedGeneration": 2,
            "replicas": self.old + self.new + self.waiting,
            "updatedReplicas": self.new + self.waiting,
            "availableReplicas": self.old + self.new,
        }
        self.surge = surge(fpga_subject(NEW), IMAGE, {DEPLOYMENTS: before}, self.room())
        self.lacking = lacking(fpga_subject(NEW), {DEPLOYMENTS: before}, self.room())

    def control(self) -> None:
        """Let the Deployment controller make and end replicas by one."""
        total = self.old + self.new + self.waiting
        if self.new + self.waiting < self.replicas and total < self.replicas + self.surge:
            self.waiting += 1
        least = self.replicas if self.surge else self.replicas - 1 - self.lacking
        if self.old and self.old + self.new > least:
            self.old -= 1
            self.ending += 1
        self.least_served = min(self.least_served, self.old + self.new)

    def schedule(self) -> None:
        """Let the scheduler bind a Pod that waits."""
        if self.waiting and self.free > 0:
            self.waiting -= 1
            self.new += 1

    def end(self) -> None:
        """Let a Pod that is ending have ended."""
        self.ending = max(0, self.ending - 1)

    def grab(self) -> None:
        """Let somebody else take a device, however many are still needed for an old Pod's successor."""
        self.others += 1 if self.free > 0 else 0

    @property
    def is_done(self) -> bool:
        return self.old == 0 and self.new == min(self.replicas, self.devices)


OLD = fpga_spec(scaling={"replicas": 3})
NEW = fpga_spec(scaling={"replicas": 3}, model=MODEL | {"version": "4"})


def roll(pool: Pool, moves: list[str]) -> None:
    """Give the new template, then go on in this order, and fairly once the order is used up."""
    pool.decide(OLD)
    fair = ["control", "schedule", "end", "decide"] * _PATIENCE
    for move in (*moves, *fair):
        if pool.is_done:
            return
        pool.decide(NEW) if move == "decide" else getattr(pool, move)()


_moves = st.lists(st.sampled_from(["control", "schedule", "end", "decide"]), max_size=30)


@given(st.integers(0, 3), _moves)
def test_no_rollout_waits_for_ever_however_full_the_pool_is(spare: int, moves: list[str]) -> None:
    pool = Pool(devices=3 + spare, replicas=3, old=3)
    roll(pool, moves)
    assert pool.is_done
    assert pool.least_served >= (3 if spare else 2)


@given(st.integers(1, 3), st.integers(0, 5), _moves)
def test_a_device_that_somebody_gets_first_stops_no_rollout(spare: int, when: int, moves: list[str]) -> None:
    """The free device was counted, the surge was written, and then the device is gone before it is used."""
    pool = Pool(devices=3 + spare, replicas=3, old=3)
    pool.decide(OLD)
    assert pool.surge == 1
    for _ in range(spare):
        pool.grab()
    roll_on = [*moves[:when], "control", *moves[when:]]
    for move in (*roll_on, *["control", "schedule", "end", "decide"] * _PATIENCE):
        if pool.is_done:
            break
        pool.decide(NEW) if move == "decide" else getattr(pool, move)()
    assert pool.is_done
    assert pool.least_served >= 2


@given(st.integers(1, 2), _moves)
def test_replicas_without_a_device_do_not_keep_the_others_from_a_rollout(
    devices: int, moves: list[str]
) -> None:
    pool = Pool(devices=devices, replicas=3, old=devices)
    roll(pool, moves)
    assert pool.is_done
    assert pool.least_served >= devices - 1


def test_a_surge_without_a_free_device_would_wait_for_ever() -> None:
    """What the two tests above would find, if the strategy were not changed."""
    pool = Pool(devices=3, replicas=3, old=3, surge=1)
    for move in ["control", "schedule", "end"] * _PATIENCE:
        getattr(pool, move)()
    assert not pool.is_done
    roll(pool, [])
    assert pool.is_done

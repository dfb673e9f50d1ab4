"""Any history of changes, failures and dying operators: callers are never without a group that answers."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from succession_model import WISHES, Operator, World

OPERATORS = st.integers(0, 1)
DEADLINE_SECONDS = 4000
"""More than a group that never comes up is waited for."""


class Successions(RuleBasedStateMachine):
    """What users, Azure and operators may do while `updateStrategy` stays BlueGreen."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.operators = [Operator(self.world), Operator(self.world)]
        self.was_ready = False
        self.settle()

    @rule(wish=st.sampled_from(sorted(WISHES)))
    def apply(self, wish: str) -> None:
        self.world.wish(wish)

    @rule(model=st.sampled_from([b"model", b"another"]))
    def change_content(self, model: bytes) -> None:
        self.world.model = model

    @rule(seconds=st.sampled_from([1, 10, 40, 2000]), deletion=st.sampled_from([0, 15, 100]))
    def pass_time(self, seconds: float, deletion: float) -> None:
        self.world.deletion_seconds = deletion
        self.world.pass_time(seconds)

    @rule()
    def fill_or_empty_the_quota(self) -> None:
        self.world.has_room = not self.world.has_room

    @rule(number=OPERATORS, count=st.integers(1, 12))
    def run(self, number: int, count: int) -> None:
        for _ in range(count):
            self.operators[number].hear()
            self.operators[number].run()
            self.check()
            self.world.pass_time(10)

    @rule(number=OPERATORS)
    def run_late(self, number: int) -> None:
        """Go by what was heard some time ago."""
        self.operators[number].run()

    @rule(number=OPERATORS, steps=st.integers(0, 2))
    def kill(self, number: int, steps: int) -> None:
        self.operators[number].hear()
        self.operators[number].run(killed_after=steps)

    @invariant()
    def check(self) -> None:
        assert len(self.world.groups) <= 2
        self.was_ready = self.was_ready or self.world.is_ready
        if self.was_ready:
            assert self.world.answers(self.world.told)
        if self.world.is_ready:
            assert self.world.stored.status.scoring_uri == f"http://{self.world.told}.test/score"

    def teardown(self) -> None:
        self.world.has_room = True
        self.world.wish("b")
        self.settle()
        assert self.world.is_ready
        assert list(self.world.groups) == [self.world.told]

    def settle(self) -> None:
        """Let two operators work until all is done, and a little longer."""
        until = self.world.seconds + DEADLINE_SECONDS
        while self.world.seconds < until:
            for operator in self.operators:
                operator.hear()
                operator.run()
                self.check()
            self.world.pass_time(20)
            if self.world.is_ready and len(self.world.groups) == 1:
                until = min(until, self.world.seconds + 60)


class Changes(Successions):
    """As above, and users change the strategy or delete a group in the portal: then one group is left."""

    @rule(wish=st.sampled_from(sorted(WISHES)), strategy=st.sampled_from(["InPlace", "BlueGreen"]))
    def apply_with_strategy(self, wish: str, strategy: str) -> None:
        self.world.wish(wish, strategy)

    @precondition(lambda self: self.world.groups)
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        del self.world.groups[data.draw(st.sampled_from(sorted(self.world.groups)))]

    @invariant()
    def check(self) -> None:
        assert len(self.world.groups) <= 2

    def teardown(self) -> None:
        self.world.wish("a", "InPlace")
        self.settle()
        super().teardown()


few: Any = settings(max_examples=60, stateful_step_count=40)
TestSuccessions = Successions.TestCase
TestSuccessions.settings = few
TestChanges = Changes.TestCase
TestChanges.settings = few

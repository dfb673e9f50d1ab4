"""A store that hears everything late, twice or not at all must end where the API server is."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from berth.core.store import Store

NAMES = st.sampled_from("abc")


@dataclass(frozen=True)
class Value:
    uid: str
    resource_version: int
    owner: str


class StoreHistory(RuleBasedStateMachine):
    """`server` is the truth; `stream` are watch events on their way; answers to our writes overtake them."""

    def __init__(self) -> None:
        super().__init__()
        self.server: dict[str, Value] = {}
        self.stream: list[tuple[str, str, Value]] = []
        self.store: Store[str, Value] = Store(lambda value: value.owner)
        self.version = 0

    @rule(name=NAMES, owner=st.sampled_from("xy"), answered=st.booleans())
    def write(self, name: str, owner: str, answered: bool) -> None:
        self.version += 1
        known = self.server.get(name)
        uid = known.uid if known else f"{name}-{self.version}"
        value = self.server[name] = Value(uid, self.version, owner)
        self.stream.append(("MODIFIED", name, value))
        if answered:
            self.store.put(name, value)

    @precondition(lambda self: self.server)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.server)))
        self.version += 1
        self.stream.append(("DELETED", name, self.server.pop(name)))

    @rule(count=st.integers(1, 4))
    def hear(self, count: int) -> None:
        for kind, name, value in self.stream[:count]:
            if kind == "DELETED":
                self.store.delete(name, value.uid)
            else:
                self.store.put(name, value)
        del self.stream[:count]

    @rule(heard_first=st.booleans())
    def lose_the_watch_and_list(self, heard_first: bool) -> None:
        """The events on their way are lost; those of the list come before or after the comparison."""
        self.stream.clear()
        present = {name: value.uid for name, value in self.server.items()}
        if not heard_first:
            self.store.replace(present, self.version)
        for name, value in self.server.items():
            self.store.put(name, value)
        if heard_first:
            self.store.replace(present, self.version)
        assert self._known() == self.server

    @rule()
    def hear_everything(self) -> None:
        self.hear(len(self.stream))
        assert self._known() == self.server

    @invariant()
    def never_newer_than_the_truth_and_never_another_object(self) -> None:
        for name, value in self._known().items():
            assert value.resource_version <= self.version
            assert value.uid.startswith(name)

    @invariant()
    def the_index_agrees_with_the_values(self) -> None:
        for owner in "xy":
            owned = {name: value for name, value in self._known().items() if value.owner == owner}
            assert self.store.owned_by(owner) == owned

    def _known(self) -> dict[str, Value]:
        return {name: value for name in self.store if (value := self.store.get(name))}


TestStoreHistory = StoreHistory.TestCase
TestStoreHistory.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

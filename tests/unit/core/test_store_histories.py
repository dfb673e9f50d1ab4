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


class StoreHistory(RuleBasedStateMachine):
    """`server` is the truth; `stream` are watch events on their way; answers to our writes overtake them."""

    def __init__(self) -> None:
        super().__init__()
        self.server: dict[str, Value] = {}
        self.stream: list[tuple[str, str, Value]] = []
        self.store: Store[str, Value] = Store()
        self.unlabelled: dict[str, str] = {}
        self.version = 0

    @rule(name=NAMES, answered=st.booleans())
    def write(self, name: str, answered: bool) -> None:
        """Create or change an object; one that lost its label gets it back."""
        self.version += 1
        known = self.server.get(name)
        uid = known.uid if known else self.unlabelled.pop(name, f"{name}-{self.version}")
        value = self.server[name] = Value(uid, self.version)
        self.stream.append(("MODIFIED", name, value))
        if answered:
            self.store.put(name, value)

    @precondition(lambda self: self.server)
    @rule(data=st.data(), is_left=st.booleans())
    def delete(self, data: st.DataObject, is_left: bool) -> None:
        """Delete an object, or take the label from it that the watch selects by: the events are the same."""
        name = data.draw(st.sampled_from(sorted(self.server)))
        self.version += 1
        uid = self.server.pop(name).uid
        self.stream.append(("DELETED", name, Value(uid, self.version)))
        if is_left:
            self.unlabelled[name] = uid

    @rule(count=st.integers(1, 4))
    def hear(self, count: int) -> None:
        for kind, name, value in self.stream[:count]:
            if kind == "DELETED":
                self.store.delete(name, value.uid, value.resource_version)
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

    def _known(self) -> dict[str, Value]:
        return {name: value for name in self.store if (value := self.store.get(name))}


TestStoreHistory = StoreHistory.TestCase
TestStoreHistory.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

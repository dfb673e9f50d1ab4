"""What a container group tells: why it does not run, in words for the user, and what was fetched."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from berth.api.conditions import Reason
from berth.plan.causes import FETCH_CONTAINER, TOLD_BY_CONTAINERS, Cause, Fetched, shorten

_LAST_LINES = 5
_KILLED = 137
_FETCHED = re.compile(r"^fetched model (\S+):\S+ in [0-9.]+ s, (sha256:[0-9a-f]{64})$", re.MULTILINE)
_TOLD = re.compile(rf"^({'|'.join(sorted(TOLD_BY_CONTAINERS))}): ", re.MULTILINE)
_PULL = re.compile(r"\b(pull|pulling|image)\b", re.IGNORECASE)
_PULLS = ("ErrImagePull", "ImagePullBackOff")
_PROGRESS = frozenset({"Pulled", "Created", "Started"})
_TROUBLE = {
    "Failed": Reason.CONTAINER_FAILED,
    "FailedMount": Reason.VOLUME_FAILED,
    "FailedAttachVolume": Reason.VOLUME_FAILED,
    "BackOff": Reason.CONTAINER_FAILED,
}
"""What Azure calls events that tell of trouble, the most telling first; their type may say `Normal`."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Container:
    """One container as GET shows it."""

    name: str
    image: str
    view: Json

    @property
    def current(self) -> Json:
        """The state that it is in."""
        state: Json = self.view.get("currentState") or {}
        return state

    @property
    def is_running(self) -> bool:
        """Tell whether its process runs."""
        return self.current.get("state") == "Running"

    @property
    def ended(self) -> Json | None:
        """The state that it ended in, now or before it was last started."""
        states = (self.current, self.view.get("previousState") or {})
        return next((state for state in states if state.get("state") == "Terminated"), None)

    @property
    def events(self) -> Sequence[Json]:
        """What happened to it."""
        return self.view.get("events") or ()


def containers(group: Json) -> list[Container]:
    """Return the containers that serve."""
    return _read(group["properties"].get("containers"))


def init_containers(group: Json) -> list[Container]:
    """Return the containers that end before those begin."""
    return _read(group["properties"].get("initContainers"))


def first_cause(group: Json, logs: Mapping[str, str]) -> Cause | None:
    """Return the first real cause why the group does not serve; `logs` are the last lines by container."""
    return next(_causes(group, logs), None)


def fetched(group: Json, logs: Mapping[str, str]) -> Fetched | None:
    """Return what the fetch container logged of each model, once it has ended well."""
    found = dict(_FETCHED.findall(logs.get(FETCH_CONTAINER, "")))
    is_done = any(each.name == FETCH_CONTAINER and _ended_well(each) for each in init_containers(group))
    return Fetched(found) if is_done and found else None


def telling(group: Json) -> list[Container]:
    """Return the containers whose logs say why the group does not serve."""
    every = [*init_containers(group), *containers(group)]
    return [each for each in every if each.ended is not None and not _ended_well(each)]


def _read(described: Sequence[Json] | None) -> list[Container]:
    return [
        Container(each["name"], properties.get("image") or "", properties.get("instanceView") or {})
        for each in described or ()
        for properties in [each["properties"]]
    ]


def _causes(group: Json, logs: Mapping[str, str]) -> Iterator[Cause]:
    for each in init_containers(group):
        if not _ended_well(each):
            yield from _container_causes(each, logs.get(each.name, ""))
    for each in containers(group):
        yield from _container_causes(each, logs.get(each.name, ""))
    yield from _event_causes(_since_start(group), "")


def _since_start(group: Json) -> list[Json]:
    """Return the group's own events since a container started: a start shows that its volumes are there."""
    every = [event for each in [*init_containers(group), *containers(group)] for event in each.events]
    started = max((_time(event) for event in every if event.get("name") == "Started"), default="")
    events = (group["properties"].get("instanceView") or {}).get("events") or ()
    return [event for event in events if not started or _time(event) > started]


def _container_causes(container: Container, log: str) -> Iterator[Cause]:
    detail = container.current.get("detailStatus") or ""
    if detail.startswith(_PULLS):
        yield from _event_causes(container.events, container.image)
        yield _pull_failed(container.image, detail)
    elif container.ended is not None:
        yield _ended(container, container.ended, log)
    elif not container.is_running:
        yield from _event_causes(container.events, container.image)


def _ended(container: Container, state: Json, log: str) -> Cause:
    told = list(_TOLD.finditer(log))
    if told:
        last = told[-1]
        return Cause(Reason(last[1]), shorten(log[last.end() :]))
    code = state.get("exitCode")
    if state.get("detailStatus") == "OOMKilled" or (code == _KILLED and not _was_killed(container)):
        return Cause(
            Reason.OUT_OF_MEMORY,
            f"Container {container.name} used more memory than its group has: "
            "raise spec.resources.requests.memory",
        )
    words = "\n".join(log.strip().splitlines()[-_LAST_LINES:])
    told_last = f"; its last words: {words}" if words else ""
    message = f"Container {container.name} ended with exit code {code}{told_last}"
    return Cause(Reason.CONTAINER_FAILED, shorten(message))


def _event_causes(events: Sequence[Json], image: str) -> Iterator[Cause]:
    """Give the trouble since the last progress, the most telling first."""
    since = max((_time(event) for event in events if event.get("name") in _PROGRESS), default="")
    recent = [event for event in events if _time(event) >= since]
    for name, reason in _TROUBLE.items():
        for event in recent:
            if event.get("name") == name:
                message = event.get("message") or name
                if image and _PULL.search(message):
                    yield _pull_failed(image, message)
                else:
                    yield Cause(reason, shorten(f"{name}: {message}"))


def _pull_failed(image: str, detail: str) -> Cause:
    return Cause(Reason.IMAGE_PULL_FAILED, shorten(f"Image {image} cannot be pulled: {detail}"))


def _ended_well(container: Container) -> bool:
    return container.current.get("state") == "Terminated" and container.current.get("exitCode") == 0


def _was_killed(container: Container) -> bool:
    """Tell whether Azure ended it, for a failed probe or because it was told to."""
    return any(event.get("name") == "Killing" for event in container.events)


def _time(event: Json) -> str:
    return str(event.get("lastTimestamp") or "")

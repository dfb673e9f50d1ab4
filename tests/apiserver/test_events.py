import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_requests import ApiServer
from virtual_time import in_virtual_time

from berth.api.conditions import Reason
from berth.core.errors import Gone, Terminal, Transient
from berth.core.keys import Key
from berth.kube.client import Api
from berth.kube.events import EventRecorder
from berth.plan.report import Event
from berth.plan.resources import EVENTS
from berth.plan.subject import Subject

READY = Event("EndpointReady", "2 of 2 replicas serve")
FAILED = Event("ModelFetchFailed", "404 Not Found", is_warning=True)


def subject(namespace: str, name: str = "iris", uid: str = "uid-1") -> Subject:
    metadata = {
        "namespace": namespace,
        "name": name,
        "uid": uid,
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    spec = {"target": "AKS", "model": {"name": "iris", "uri": "https://example.org/a.onnx", "format": "onnx"}}
    return Subject.model_validate({"metadata": metadata, "spec": spec})


@asynccontextmanager
async def running(recorder: EventRecorder) -> AsyncIterator[None]:
    task = asyncio.create_task(recorder.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def posted(client: Api, namespace: str) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    """Wait for so many Events that satisfy a condition, and a little for one too many."""

    async def read(count: int, fits: Callable[[dict[str, Any]], bool] = bool) -> list[dict[str, Any]]:
        for _ in range(100):
            events = (await client.list(EVENTS, namespace)).items
            if len([event for event in events if fits(event)]) >= count:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)
        events = (await client.list(EVENTS, namespace)).items
        assert len(events) == count
        return events

    return read


async def test_an_event_names_what_happened_to_whom(client: Api, namespace: str, posted: Any) -> None:
    recorder = EventRecorder(client, "berth-0")
    async with running(recorder):
        recorder.record(subject(namespace), FAILED)
        [event] = await posted(1)
    assert (event["reason"], event["note"], event["type"]) == ("ModelFetchFailed", "404 Not Found", "Warning")
    assert event["regarding"] == {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "ModelDeployment",
        "namespace": namespace,
        "name": "iris",
        "uid": "uid-1",
    }
    assert (event["reportingController"], event["reportingInstance"]) == ("berth.dev/operator", "berth-0")


async def test_kubectl_shows_it_with_the_object(
    client: Api, namespace: str, posted: Any, api: ApiServer, kubectl: Callable[..., str]
) -> None:
    recorder = EventRecorder(client, "berth-0")
    async with running(recorder):
        recorder.record(subject(namespace), READY)
        await posted(1)
    shown = await asyncio.to_thread(kubectl, "events", "-n", namespace, "--for", "modeldeployment/iris")
    assert "EndpointReady" in shown
    assert "2 of 2 replicas serve" in shown


async def test_the_same_again_is_not_posted_again(client: Api, namespace: str, posted: Any) -> None:
    recorder = EventRecorder(client, "berth-0")
    async with running(recorder):
        for _ in range(50):
            recorder.record(subject(namespace), FAILED)
        [event] = await posted(1)
    assert event.get("series") is None


async def test_other_reasons_notes_and_objects_are_events_of_their_own(
    client: Api, namespace: str, posted: Any
) -> None:
    recorder = EventRecorder(client, "berth-0")
    async with running(recorder):
        recorder.record(subject(namespace), READY)
        recorder.record(subject(namespace), Event(READY.reason, "3 of 3 replicas serve"))
        recorder.record(subject(namespace), FAILED)
        recorder.record(subject(namespace, uid="uid-2"), READY)
        events = await posted(4)
    assert {event["regarding"]["uid"] for event in events} == {"uid-1", "uid-2"}


async def test_what_goes_on_beyond_the_window_is_counted_in_the_same_event(
    client: Api, namespace: str, posted: Any
) -> None:
    time = {"now": 0.0}
    recorder = EventRecorder(client, "berth-0", window=600, clock=lambda: time["now"])
    async with running(recorder):
        for _ in range(3):
            recorder.record(subject(namespace), FAILED)
        await posted(1)
        time["now"] = 601
        recorder.record(subject(namespace), FAILED)
        [event] = await posted(1, lambda event: event.get("series") is not None)
    assert event["series"]["count"] == 4


async def test_an_event_that_the_server_forgot_is_posted_anew(
    client: Api, namespace: str, posted: Any
) -> None:
    time = {"now": 0.0}
    recorder = EventRecorder(client, "berth-0", window=600, clock=lambda: time["now"])
    async with running(recorder):
        recorder.record(subject(namespace), FAILED)
        [event] = await posted(1)
        await client.delete(EVENTS, Key(namespace, event["metadata"]["name"]), uid=event["metadata"]["uid"])
        time["now"] = 4000
        recorder.record(subject(namespace), FAILED)
        [anew] = await posted(1)
    assert anew["metadata"]["uid"] != event["metadata"]["uid"]


@pytest.mark.parametrize(("note", "length"), [("x" * 5000, 1024), ("…" * 1024, 1023)])
async def test_long_names_and_notes_are_cut_to_what_the_server_takes(
    client: Api, namespace: str, posted: Any, note: str, length: int
) -> None:
    recorder = EventRecorder(client, "berth-0")
    async with running(recorder):
        recorder.record(subject(namespace, name="n" * 63), Event("Long", note))
        [event] = await posted(1)
    assert len(event["note"].encode()) == length


class Refusing:
    """An API server that refuses Events."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    async def create(self, *_: object) -> None:
        self.calls += 1
        raise self.error


@pytest.mark.parametrize("error", [Transient("down"), Terminal(Reason.REJECTED, "no"), Gone("no namespace")])
@in_virtual_time
async def test_what_cannot_be_posted_is_dropped_and_the_next_is_tried(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    api = Refusing(error)
    recorder = EventRecorder(api, "berth-0")  # type: ignore[arg-type]
    async with running(recorder):
        recorder.record(subject("demo"), FAILED)
        recorder.record(subject("demo"), READY)
        await asyncio.sleep(1)
    assert api.calls == 2
    assert "was not posted" in caplog.text


@in_virtual_time
async def test_recording_never_waits_even_when_nothing_is_posted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    recorder = EventRecorder(Refusing(Transient("down")), "berth-0", limit=3)  # type: ignore[arg-type]
    for number in range(10):
        recorder.record(subject("demo", uid=str(number)), READY)
    assert caplog.text.count("dropped") == 7

"""Threads for calls, and messages that are on their way."""

import os
import threading
import time
from concurrent.futures import Future
from typing import Any

import grpc
import pytest

from berth_scoring.config import RequestLimits
from berth_scoring.fpga.calls import Uploads
from berth_scoring.fpga.errors import Rejected
from berth_scoring.fpga.featurizers import FEATURIZERS
from berth_scoring.fpga.images import DECODED_AT_ONCE, ImageDecoder, ImageLimits
from berth_scoring.fpga.tuning import tune_process
from berth_scoring.fpga.workers import FEW, Workers


def test_short_work_needs_few_threads() -> None:
    workers = Workers(50)
    for number in range(200):
        assert workers.submit(abs, -number).result(10) == number
    assert workers.threads < 20


def test_what_goes_wrong_is_told_to_who_waits() -> None:
    with pytest.raises(ZeroDivisionError):
        Workers(FEW).submit(divmod, 1, 0).result(10)


def test_work_that_is_no_longer_wanted_is_left_out() -> None:
    release = threading.Event()
    workers = Workers(FEW)
    held = [workers.submit(release.wait, 10) for _ in range(FEW)]
    done: list[int] = []
    unwanted = workers.submit(done.append, 1)
    assert unwanted.cancel()
    release.set()
    assert all(each.result(10) for each in held)
    assert workers.submit(len, done).result(10) == 0


def test_there_are_more_threads_where_all_are_held_up_but_not_beyond_the_most() -> None:
    release = threading.Event()
    workers = Workers(2 * FEW)
    held: list[Future[Any]] = [workers.submit(release.wait, 10) for _ in range(3 * FEW)]
    end = time.monotonic() + 10
    while workers.threads < 2 * FEW and time.monotonic() < end:
        time.sleep(0.01)
        workers.relieve()
    assert workers.threads == 2 * FEW
    workers.relieve()
    workers.relieve()
    assert workers.threads == 2 * FEW
    release.set()
    assert all(each.result(10) for each in held)


class Call:
    """A call that tells whether it was ended, and how."""

    def __init__(self) -> None:
        self.cancelled = False
        self.aborted: grpc.StatusCode | None = None

    def cancel(self) -> None:
        self.cancelled = True

    def abort(self, code: grpc.StatusCode, _told: str) -> None:
        self.aborted = code


def test_a_call_is_ended_when_its_message_takes_too_long() -> None:
    now = 0.0
    uploads, call = Uploads(10, lambda: now), Call()

    def message() -> Any:
        nonlocal now
        now = 9
        uploads.end_overdue()
        assert not call.cancelled
        now = 11
        uploads.end_overdue()
        yield "late"

    assert uploads.receive(message(), call) == "late"
    assert call.cancelled


def test_a_call_whose_message_has_come_is_left_alone() -> None:
    now = 0.0
    uploads, call = Uploads(10, lambda: now), Call()
    assert uploads.receive(iter(["here"]), call) == "here"
    now = 99
    uploads.end_overdue()
    assert not call.cancelled


def test_a_call_without_a_message_is_refused() -> None:
    call = Call()
    with pytest.raises(StopIteration):
        Uploads(10).receive(iter([]), call)
    assert call.aborted == grpc.StatusCode.UNIMPLEMENTED


def test_who_finds_no_place_to_decode_in_time_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RequestLimits(max_queue_wait_milliseconds=10)
    decoder = ImageDecoder(FEATURIZERS["ResNet50"], ImageLimits(bytes=10, pixels=10), limits)
    release, begun = threading.Event(), threading.Barrier(DECODED_AT_ONCE + 1, timeout=10)

    def decoded(_data: bytes, _place: str) -> Any:
        begun.wait()
        release.wait(10)
        raise KeyError

    monkeypatch.setattr(decoder, "_decoded", decoded)
    workers = Workers(DECODED_AT_ONCE)
    held = [workers.submit(decoder.decode, [b""], "images") for _ in range(DECODED_AT_ONCE)]
    begun.wait()
    with pytest.raises(Rejected, match=r"being decoded: no free place within 10 ms \(maxQueue") as caught:
        decoder.decode([b""], "images")
    assert caught.value.status == grpc.StatusCode.UNAVAILABLE
    release.set()
    for each in held:
        with pytest.raises(KeyError):
            each.result(10)


def test_only_some_images_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most, lock = 0, 0, threading.Lock()
    decoder = ImageDecoder(FEATURIZERS["ResNet50"], ImageLimits(bytes=10, pixels=10), RequestLimits())

    def decoded(_data: bytes, _place: str) -> Any:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        raise KeyError

    monkeypatch.setattr(decoder, "_decoded", decoded)
    workers = Workers(20)
    for each in [workers.submit(decoder.decode, [b""], "images") for _ in range(20)]:
        with pytest.raises(KeyError):
            each.result(10)
    assert most == DECODED_AT_ONCE


@pytest.mark.parametrize(("given", "expected"), [(None, "-event_engine_listener"), ("x", "x")])
def test_a_setting_of_grpc_that_is_given_stays(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    monkeypatch.setenv("GRPC_EXPERIMENTS", given or "")
    if given is None:
        monkeypatch.delenv("GRPC_EXPERIMENTS")
    tune_process()
    assert os.environ["GRPC_EXPERIMENTS"] == expected

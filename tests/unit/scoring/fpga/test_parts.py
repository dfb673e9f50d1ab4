"""The parts of a pipeline, each on its own."""

import io
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from fpga_pipelines import jpeg
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from berth_scoring.config import RequestLimits
from berth_scoring.formats.base import TensorSpec
from berth_scoring.fpga.device import Device, device_files
from berth_scoring.fpga.errors import Rejected
from berth_scoring.fpga.featurizers import FEATURIZERS
from berth_scoring.fpga.gate import Gate
from berth_scoring.fpga.images import MOST_SCANS, SCAN, ImageDecoder, ImageLimits, middle
from berth_scoring.fpga.pipeline import Signature
from berth_scoring.fpga.tensors import DTYPES, floats_of, shape_of, tensor_of
from berth_scoring.fpga.wire import tensor_pb2 as wire
from berth_scoring.startup import StartupError

LIMITS = ImageLimits(bytes=1_000_000, pixels=1_000_000)
RESNET = FEATURIZERS["ResNet50"]


@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=1, max_dims=4, max_side=4)))
def test_an_array_survives_the_wire(array: Any) -> None:
    tensor = wire.TensorProto.FromString(tensor_of(array).SerializeToString())
    shape = shape_of(tensor, "x")
    np.testing.assert_array_equal(floats_of(tensor, "x", shape), array)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype.kind != "O"])
def test_outputs_of_each_type_are_sent_as_they_are(dtype: Any) -> None:
    tensor = tensor_of(np.ones((2, 3), dtype))
    assert tensor.dtype == DTYPES[dtype]
    assert np.frombuffer(tensor.tensor_content, dtype).tolist() == [1] * 6


def test_labels_are_sent_as_strings() -> None:
    tensor = tensor_of(np.array(["rose", "tulip"], object))
    assert (tensor.dtype, list(tensor.string_val)) == (wire.DT_STRING, [b"rose", b"tulip"])


@given(st.integers(1, 70_000), st.integers(1, 70_000))
def test_what_is_cut_out_lies_in_the_image(width: int, height: int) -> None:
    left, top, right, bottom = middle((width, height), 0.125) or (0, 0, 0, 0)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left == pytest.approx(bottom - top)
    assert left + right == pytest.approx(width)


@pytest.mark.parametrize("name", list(FEATURIZERS))
def test_each_featurizer_prepares_images_as_its_table_says(name: str) -> None:
    featurizer = FEATURIZERS[name]
    batch = ImageDecoder(featurizer, LIMITS, RequestLimits()).decode([jpeg((200, 100, 50))], "images")
    assert batch.shape == (1, *featurizer.image)
    expected = (np.array([200, 100, 50]) - featurizer.means) * featurizer.scale
    np.testing.assert_allclose(batch[0, 7, 9], expected, atol=1.5 * featurizer.scale)


@pytest.mark.parametrize(("name", "seen"), [("ResNet50", 0), ("SSDVGG", 255)])
def test_the_margin_is_cut_off_where_the_table_has_one(name: str, seen: int) -> None:
    picture = Image.new("RGB", (512, 256), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 64, 256))
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=95)
    featurizer = FEATURIZERS[name]
    batch = ImageDecoder(featurizer, LIMITS, RequestLimits()).decode([target.getvalue()], "images")
    assert batch[0, 100, 2] + featurizer.means == pytest.approx([seen] * 3, abs=4)


def progressive(scans: int) -> bytes:
    """Return an image whose last scan comes again and again."""
    target = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 100, 50)).save(target, "JPEG", progressive=True)
    data, end = target.getvalue()[:-2], target.getvalue()[-2:]
    return data + data[data.rindex(SCAN) :] * (scans - data.count(SCAN)) + end


@pytest.mark.parametrize("scans", [10, MOST_SCANS])
def test_a_progressive_image_is_decoded(scans: int) -> None:
    assert ImageDecoder(RESNET, LIMITS, RequestLimits()).decode([progressive(scans)], "images").any()


def test_an_image_of_absurdly_many_scans_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(JpegImageFile, "load", lambda _self: pytest.fail("it was decoded"))
    with pytest.raises(Rejected, match="tensor 'images', image 0: 201 scans, at most 200") as caught:
        ImageDecoder(RESNET, LIMITS, RequestLimits()).decode([progressive(MOST_SCANS + 1)], "images")
    assert caught.value.status == grpc.StatusCode.INVALID_ARGUMENT


def test_a_photograph_with_its_film_is_taken() -> None:
    film = np.random.default_rng(1).bytes(9_000_000)
    decoder = ImageDecoder(RESNET, ImageLimits(bytes=10_000_000, pixels=1_000_000), RequestLimits())
    assert decoder.decode([jpeg() + film], "images").any()


def test_the_table_names_the_stock_tensors() -> None:
    assert len(FEATURIZERS["SSDVGG"].outputs) == 12
    assert FEATURIZERS["SSDVGG"].outputs[0] == "ssd_300_vgg/block4_box/Reshape_1:0"
    assert FEATURIZERS["SSDVGG"].outputs[-1] == "ssd_300_vgg/block11_box/Reshape:0"
    assert {name: each.features for name, each in FEATURIZERS.items() if each.features} == {
        "ResNet50": (1, 1, 2048),
        "ResNet152": (1, 1, 2048),
        "DenseNet121": (1, 1, 1024),
        "VGG16": (1, 1, 4096),
    }


def spec(name: str, kind: str = "f4") -> TensorSpec:
    return TensorSpec(name, np.dtype(kind), (None, 3))


def test_probabilities_are_the_answer_and_labels_stand_beside() -> None:
    signature = Signature.of((spec("label", "i8"), spec("probabilities")), (), "output_alias")
    assert signature.aliases == ("label", "output_alias")
    assert signature.graph == ("label", "probabilities")


def test_boxes_keep_their_names() -> None:
    names = FEATURIZERS["SSDVGG"].outputs
    numbered = tuple(spec(f"out{at}") for at in range(12))
    assert Signature.of(numbered, names, "output_alias").aliases == names
    shuffled = tuple(spec(name) for name in reversed(names))
    assert Signature.of(shuffled, names, "output_alias").graph == tuple(reversed(names))


def test_who_finds_no_place_in_time_is_told_to_come_again() -> None:
    gate = Gate(RequestLimits(max_concurrent_per_replica=1, max_queue_wait_milliseconds=10))
    with gate.turn():
        assert gate.running == 1
        with pytest.raises(Rejected, match="no free place within 10 ms") as caught, gate.turn():
            pass
    assert caught.value.status == grpc.StatusCode.UNAVAILABLE
    with gate.turn():
        assert gate.running == 1


def test_as_many_run_at_once_as_are_allowed() -> None:
    gate = Gate(RequestLimits(max_concurrent_per_replica=3))
    meet = threading.Barrier(3, timeout=10)

    def run() -> None:
        with gate.turn():
            meet.wait()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not meet.broken


def test_a_run_that_goes_on_past_its_end_is_stuck() -> None:
    now = 0.0
    gate = Gate(RequestLimits(timeout_milliseconds=1000), lambda: now)
    with gate.turn() as turn:
        now = 1.1
        gate.end_overdue()
        assert (turn.overdue, turn.options.terminate, gate.stuck) == (True, True, False)
        now = 12.1
        assert gate.stuck
    assert not gate.stuck


def test_a_failure_that_is_no_time_out_is_passed_on() -> None:
    gate = Gate(RequestLimits())
    with pytest.raises(ValueError, match="x"), gate.turn():
        raise ValueError("x")
    assert gate.running == 0


async def test_a_device_under_suspicion_is_tested_until_it_answers() -> None:
    answers = iter([RuntimeError("no link"), None])
    tests = 0

    def answer() -> None:
        nonlocal tests
        tests += 1
        if (error := next(answers)) is not None:
            raise error

    device = Device([], 1.0)
    await device.check(answer)
    assert (tests, device.failure) == (0, None)
    device.suspect()
    await device.check(answer)
    assert device.failure == "the device has failed a test: no link"
    await device.check(answer)
    await device.check(answer)
    assert (tests, device.failure) == (2, None)


def _wait(release: threading.Event) -> None:
    release.wait(5)


async def test_a_device_that_does_not_answer_is_dead() -> None:
    release = threading.Event()
    device = Device([], 0.05)
    device.suspect()
    await device.check(lambda: _wait(release))
    release.set()
    assert device.failure == "the device has not answered a test within 0.05 s"


def test_a_device_must_be_open_to_the_process(tmp_path: Path) -> None:
    (tmp_path / "acl0").touch()
    (tmp_path / "acl1").symlink_to(tmp_path / "gone")
    assert device_files([str(tmp_path / "acl0")]) == [tmp_path / "acl0"]
    with pytest.raises(StartupError, match=r"cannot open .*acl1: No such file"):
        device_files([str(tmp_path / "acl*")])


def test_decoding_leaves_the_interpreter_to_others() -> None:
    decoder = ImageDecoder(RESNET, ImageLimits(bytes=50_000_000, pixels=50_000_000), RequestLimits())
    noise = np.random.default_rng(1).integers(0, 255, (4000, 4000, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(noise).save(target, "JPEG", quality=90)
    thread = threading.Thread(target=decoder.decode, args=([target.getvalue()], "images"))
    started = time.perf_counter()
    thread.start()
    steps = 0
    while thread.is_alive():
        time.sleep(0.001)
        steps += 1
    # Held for all of it, the lock would have let this thread have only a step or two.
    assert steps > 5, time.perf_counter() - started

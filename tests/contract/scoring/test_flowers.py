"""The flowers example: the real server serves what train.py writes, the published client asks it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drawings
import numpy as np
import onnxruntime
import pytest
from fpga_pipelines import PipelineServer, pipeline_server

from berth_sandbox.pool import client_command
from berth_scoring.config import RequestLimits
from berth_scoring.fpga.featurizers import FEATURIZERS
from berth_scoring.fpga.images import ImageDecoder, ImageLimits

FLOWERS = Path(__file__).resolve().parents[3] / "examples" / "flowers"
KEY = "a-key-of-the-endpoint"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flowers")


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    """What the script says while it trains."""
    command = [sys.executable, "-W", "error", str(FLOWERS / "train.py"), str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def server(said: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineServer]:
    assert said
    keys = tmp_path_factory.mktemp("keys")
    for name in ("primaryKey", "secondaryKey"):
        (keys / name).write_text(KEY)
    weights, classifier = ((folder / f"{name}.onnx").read_bytes() for name in ("resnet50", "classifier"))
    work = tmp_path_factory.mktemp("server")
    with pipeline_server(work, weights=weights, classifier=classifier, keysDir=str(keys)) as running:
        yield running


def asked(server: PipelineServer, image: Path, *key: str) -> "subprocess.CompletedProcess[str]":
    command = client_command(f"localhost:{server.port}", image, *key)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_training_says_how_good_the_classifier_is_on_what_it_has_not_seen(said: str) -> None:
    accuracy = float(said.rpartition(" ")[2])
    assert accuracy > 0.9


@pytest.mark.parametrize("flower", drawings.FLOWERS)
def test_the_published_client_reads_which_flower_it_is_and_that_the_cpu_said_so(
    server: PipelineServer, folder: Path, flower: str
) -> None:
    done = asked(server, folder / f"{flower}.jpg", KEY)
    answer: dict[str, Any] = json.loads(done.stdout or done.stderr)
    assert answer["label"] == [flower]
    assert answer["berth-device"] == "cpu"
    place = sorted(drawings.FLOWERS).index(flower)
    assert np.argmax(answer["output_alias"]) == place
    assert sum(answer["output_alias"]) == pytest.approx(1, abs=0.01)


def test_the_client_without_the_key_is_told(server: PipelineServer, folder: Path) -> None:
    done = asked(server, folder / "rose.jpg")
    assert done.returncode == 1
    assert "UNAUTHENTICATED" in done.stderr


def test_the_classifier_learns_from_what_the_server_makes_of_an_image(said: str, folder: Path) -> None:
    assert said
    script = (
        "import sys, numpy, train; numpy.save(sys.argv[2], train.prepare(open(sys.argv[1], 'rb').read()))"
    )
    prepared = folder / "prepared.npy"
    command = [sys.executable, "-c", script, str(folder / "daisy.jpg"), str(prepared)]
    subprocess.run(command, check=True, cwd=FLOWERS)
    decoder = ImageDecoder(FEATURIZERS["ResNet50"], ImageLimits(10_000_000, 25_000_000), RequestLimits())
    (served,) = decoder.decode([(folder / "daisy.jpg").read_bytes()], "images")
    np.testing.assert_array_equal(np.load(prepared), served.transpose(2, 0, 1))


def test_no_flower_is_like_another(folder: Path) -> None:
    random = np.random.default_rng(1)
    drawn = {drawings.jpeg(flower, random) for flower in drawings.FLOWERS for _ in range(3)}
    assert len(drawn) == 3 * len(drawings.FLOWERS)
    again = np.random.default_rng(1)
    assert drawings.jpeg("daisy", again) in drawn


def test_the_classifier_fits_the_features_of_the_network(said: str, folder: Path) -> None:
    assert said
    network, classifier = (
        onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("resnet50", "classifier")
    )
    (features,), (taken,) = network.get_outputs(), classifier.get_inputs()
    assert features.shape[1:] == [1, 1, taken.shape[1]]

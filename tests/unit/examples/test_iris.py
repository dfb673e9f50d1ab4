"""The iris example: what train.py writes is what score.py and an ONNX runtime read."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

IRIS = Path(__file__).resolve().parents[3] / "examples" / "iris"
SETOSA = [5.1, 3.5, 1.4, 0.2]
VERSICOLOR = [6.0, 2.9, 4.5, 1.5]
VIRGINICA = [6.3, 3.3, 6.0, 2.5]


def train(folder: Path) -> str:
    command = [sys.executable, "-W", "error", str(IRIS / "train.py"), str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iris") / "out"
    train(folder)
    return folder


@pytest.fixture
def score(trained: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(trained))
    spec = importlib.util.spec_from_file_location("score", IRIS / "score.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.init()
    return script


def test_training_says_how_good_the_model_is(tmp_path: Path) -> None:
    accuracy = float(train(tmp_path).rpartition(" ")[2])
    assert accuracy > 0.95


def test_training_gives_the_same_files_each_time(trained: Path, tmp_path: Path) -> None:
    train(tmp_path)
    for name in ("model.joblib", "model.onnx"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_the_script_answers_with_the_names_of_the_classes(score: ModuleType) -> None:
    answer = score.run(json.dumps({"data": [SETOSA, VERSICOLOR, VIRGINICA]}))
    assert json.loads(json.dumps(answer)) == ["setosa", "versicolor", "virginica"]


def test_the_onnx_model_predicts_what_the_script_predicts(trained: Path, score: ModuleType) -> None:
    rows = np.random.default_rng(7).uniform([4, 2, 1, 0], [8, 4.5, 7, 2.5], (200, 4)).astype("float32")
    session = onnxruntime.InferenceSession(trained / "model.onnx")
    (labels,) = session.run(["label"], {"X": rows})
    assert labels.tolist() == score.run(json.dumps({"data": rows.tolist()}))

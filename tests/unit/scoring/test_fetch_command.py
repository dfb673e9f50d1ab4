import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from berth_scoring.fetch.command import main, report_text

Run = Callable[[dict[str, Any]], int]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "termination-log"


@pytest.fixture
def run(tmp_path: Path, log: Path) -> Run:
    def run(config: dict[str, Any]) -> int:
        return main(
            {
                "BERTH_SCORING_CONFIG": json.dumps({"name": "iris", "namespace": "demo"} | config),
                "BERTH_APP_ROOT": str(tmp_path / "app"),
                "BERTH_TERMINATION_LOG": str(log),
            }
        )

    return run


def model(tmp_path: Path, name: str, version: str = "1", **more: Any) -> dict[str, Any]:
    file = tmp_path / f"{name}.bin"
    file.write_text(name)
    return {"name": name, "version": version, "uri": f"file://{file}"} | more


def test_several_models_and_code_are_laid_out_as_azure_ml_does(tmp_path: Path, run: Run, log: Path) -> None:
    code = tmp_path / "source"
    code.mkdir()
    (code / "score.py").write_text("def init(): ...")
    models = [model(tmp_path, "iris", "3"), model(tmp_path, "wine")]
    assert run({"models": models, "code": {"uri": "configmap://code", "source": str(code)}}) == 0
    root = tmp_path / "app"
    assert (root / "azureml-models/iris/3/iris.bin").read_text() == "iris"
    assert (root / "azureml-models/wine/1/wine.bin").read_text() == "wine"
    assert (root / "code/score.py").exists()
    report = json.loads(log.read_text())
    assert [(each["name"], each["version"]) for each in report["models"]] == [("iris", "3"), ("wine", "1")]
    assert all(each["digest"].startswith("sha256:") for each in [*report["models"], report["code"]])


def test_the_first_failure_is_told_in_one_line(tmp_path: Path, run: Run, log: Path) -> None:
    missing = {"name": "wine", "version": "1", "uri": "file:///nowhere"}
    assert run({"models": [model(tmp_path, "iris"), missing]}) == 1
    assert log.read_text() == "ModelFetchFailed: model wine:1: file:///nowhere: there is nothing at that path"


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"models": [{"name": "m"}]}, "ConfigInvalid: "),
        ({"code": {"uri": "file:///nowhere"}}, "CodeFetchFailed: code: file:///nowhere: "),
        ({"code": {"uri": "https://[::1/a.zip"}}, "CodeFetchFailed: code: the URI has no valid host or port"),
        ({"code": {"uri": "https://h:99999/a.zip"}}, "CodeFetchFailed: code: the URI has no valid host"),
    ],
)
def test_every_failure_has_its_reason(run: Run, log: Path, config: dict[str, Any], line: str) -> None:
    assert run(config) == 1
    assert log.read_text().startswith(line)


def test_a_wrong_digest_has_its_own_reason(tmp_path: Path, run: Run, log: Path) -> None:
    assert run({"models": [model(tmp_path, "iris", sha256="0" * 64)]}) == 1
    assert log.read_text().startswith("ModelDigestMismatch: model iris:1: ")


def test_a_hostile_archive_has_its_own_reason(tmp_path: Path, run: Run, log: Path) -> None:
    bad = tmp_path / "m.zip"
    bad.write_text("no archive")
    assert run({"models": [{"name": "m", "version": "1", "uri": f"file://{bad}"}]}) == 1
    assert log.read_text().startswith("ModelArchiveDamaged: model m:1: ")


def test_code_without_its_script_is_told_with_what_is_there(tmp_path: Path, run: Run, log: Path) -> None:
    code = tmp_path / "main.py"
    code.write_text("")
    assert run({"code": {"uri": f"file://{code}"}}) == 1
    assert log.read_text() == "ScoringScriptMissing: the code has no score.py; it holds main.py"


def test_a_report_of_a_thousand_models_fits_the_termination_log() -> None:
    models = [
        {"name": f"model-{number}", "version": "1", "digest": "sha256:" + "0" * 64} for number in range(1000)
    ]
    text = report_text({"models": models, "code": None})
    assert len(text) <= 4096
    report = json.loads(text)
    assert report["truncated"] is True
    assert report["models"] == models[: len(report["models"])] != []


def test_a_folder_without_termination_log_is_no_failure(tmp_path: Path) -> None:
    environment = {
        "BERTH_SCORING_CONFIG": json.dumps({"name": "iris", "models": [model(tmp_path, "iris")]}),
        "BERTH_APP_ROOT": str(tmp_path / "app"),
        "BERTH_TERMINATION_LOG": str(tmp_path / "none/log"),
    }
    assert main(environment) == 0


def test_fetching_starts_without_the_libraries_of_the_models() -> None:
    heavy = {"numpy", "sklearn", "onnxruntime", "uvicorn", "werkzeug"}
    probe = f"import sys, berth_scoring.fetch.command; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"

"""The models of the examples are trained once, and anew when their scripts change."""

import shutil
from pathlib import Path

import pytest

from berth_sandbox import folders
from berth_sandbox.errors import SandboxError
from berth_sandbox.models import ALL, Example

TRAIN = """
import sys
from pathlib import Path
output, times = Path(sys.argv[1]), Path(__file__).with_name("times")
output.mkdir()
times.write_text(times.read_text() + "x")
(output / "times").write_text(times.read_text())
"""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    monkeypatch.setattr(folders, "REPOSITORY", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Example("tiny", "something small")
    made.folder.mkdir(parents=True)
    (tmp_path / "uv.lock").touch()
    (made.folder / "train.py").write_text(TRAIN)
    (made.folder / "times").touch()
    return made


def times(example: Example) -> int:
    return len((example.trained() / "times").read_text())


def test_it_is_trained_once(example: Example) -> None:
    assert [times(example), times(example)] == [1, 1]


def test_what_was_removed_is_there_again_without_training(example: Example) -> None:
    assert times(example) == 1
    shutil.rmtree(example.output)
    assert times(example) == 1


def test_what_older_scripts_made_is_not_kept(example: Example, tmp_path: Path) -> None:
    for script in (TRAIN, f"{TRAIN}# another"):
        (example.folder / "train.py").write_text(script)
        example.trained()
    kept = [path for path in (tmp_path / "cache/berth/models").iterdir() if path.is_dir()]
    assert [len((path / "times").read_text()) for path in kept] == [2]


@pytest.mark.parametrize("changed", ["examples/tiny/more.py", "uv.lock"])
def test_it_is_trained_anew_when_what_it_is_made_of_has_changed(
    example: Example, tmp_path: Path, changed: str
) -> None:
    assert times(example) == 1
    (tmp_path / changed).write_text("# changed")
    assert times(example) == 2


def test_a_training_that_failed_is_repeated(example: Example) -> None:
    (example.folder / "train.py").write_text(f"{TRAIN}\nraise SystemExit('no more memory')")
    with pytest.raises(SandboxError, match="no more memory"):
        example.trained()
    (example.folder / "train.py").write_text(TRAIN)
    assert times(example) == 2


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_the_examples_have_such_a_script(example: Example) -> None:
    assert (example.folder / "train.py").exists()

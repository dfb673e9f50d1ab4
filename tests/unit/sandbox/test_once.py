import threading
from pathlib import Path

import pytest

from berth_sandbox.once import made


def test_it_is_made_once(tmp_path: Path) -> None:
    calls: list[Path] = []

    def make(path: Path) -> None:
        calls.append(path)
        path.write_text("done")

    assert made(tmp_path / "it", make) == made(tmp_path / "it", make)
    assert (tmp_path / "it").read_text() == "done"
    assert len(calls) == 1


def test_it_is_made_once_when_two_want_it_at_the_same_time(tmp_path: Path) -> None:
    calls: list[Path] = []
    began, go_on = threading.Event(), threading.Event()

    def make(path: Path) -> None:
        calls.append(path)
        began.set()
        go_on.wait(5)
        path.mkdir()

    both = [threading.Thread(target=made, args=(tmp_path / "it", make)) for _ in range(2)]
    for thread in both:
        thread.start()
    began.wait(5)
    go_on.set()
    for thread in both:
        thread.join(5)
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failure_leaves_nothing_that_looks_finished(tmp_path: Path, kind: str) -> None:
    def fail(path: Path) -> None:
        path.mkdir() if kind == "folder" else path.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        made(tmp_path / "it", fail)
    assert not (tmp_path / "it").exists()
    assert made(tmp_path / "it", Path.touch).is_file()

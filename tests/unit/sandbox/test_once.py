import threading
from pathlib import Path

import pytest

from berth_sandbox.once import made, shared


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


def test_only_who_is_alone_clears_up(tmp_path: Path) -> None:
    cleared: list[str] = []
    lock = tmp_path / "lock"
    with shared(lock, lambda: cleared.append("first")):
        with shared(lock, lambda: cleared.append("second")):
            pass
        with shared(lock, lambda: cleared.append("third")):
            pass
    with shared(lock, lambda: cleared.append("fourth")):
        pass
    assert cleared == ["first", "fourth"]


def test_nobody_joins_while_it_is_cleared_up(tmp_path: Path) -> None:
    seen: list[str] = []
    joining = threading.Thread(target=lambda: join(seen, tmp_path / "lock"))

    def clear() -> None:
        joining.start()
        joining.join(0.2)
        seen.append("cleared")

    with shared(tmp_path / "lock", clear):
        joining.join(5)
        seen.append("done")
    assert seen == ["cleared", "joined", "done"]


def join(seen: list[str], lock: Path) -> None:
    with shared(lock, lambda: seen.append("alone")):
        seen.append("joined")

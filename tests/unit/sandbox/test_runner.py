import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from berth_sandbox.cluster.control_plane import wait_for
from berth_sandbox.errors import SandboxError
from berth_sandbox.runner import Daemon, Runner, last_lines, start_daemon


def test_it_returns_what_the_program_prints() -> None:
    assert Runner().run("cat", stdin="hello") == "hello"


def test_the_prefix_and_the_environment_reach_the_program() -> None:
    runner = Runner(prefix=("env", "B=2"), environment={"A": "1"})
    assert runner.run("sh", "-c", "echo $A $B") == "1 2\n"


def test_a_failure_quotes_the_last_lines() -> None:
    with pytest.raises(SandboxError, match=r"(?s)failed with code 3.*the cause"):
        Runner().run("sh", "-c", "echo the cause >&2; exit 3")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(SandboxError, match="no-such-program is not installed"):
        Runner().run("no-such-program")
    assert not Runner().succeeds("no-such-program")


def test_last_lines_leaves_out_empty_ones_and_the_beginning() -> None:
    assert last_lines("a\n\nb\nc\n", 2) == "    b\n    c"


def test_last_lines_says_nothing_twice() -> None:
    assert last_lines("no route\nno route\nfailed\nfailed") == "    no route\n    failed"


@pytest.fixture
def ended(tmp_path: Path) -> Daemon:
    daemon = start_daemon("broken", ["sh", "-c", "echo port is taken; exit 7"], tmp_path)
    daemon.process.wait()
    return daemon


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Daemon]:
    daemon = start_daemon("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)
    yield daemon
    daemon.stop()


def test_a_daemon_that_ended_is_told_with_its_log(ended: Daemon) -> None:
    with pytest.raises(SandboxError, match=r"(?s)broken ended with code 7.*port is taken"):
        ended.ensure_running()


def test_what_another_daemon_died_of_is_told_first(running: Daemon, ended: Daemon) -> None:
    with pytest.raises(SandboxError, match="broken ended with code 7"):
        wait_for(lambda: False, running, ended)


def test_a_daemon_that_takes_too_long_is_told_with_its_log(running: Daemon) -> None:
    with pytest.raises(SandboxError, match="sleeper was not ready within 0 s: run this again"):
        wait_for(lambda: False, running, seconds=0)


def test_a_daemon_runs_until_it_is_stopped(running: Daemon) -> None:
    running.ensure_running()
    running.stop()
    assert running.process.poll() is not None

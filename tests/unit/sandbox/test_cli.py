import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from berth_sandbox import cli, folders, models, stages
from berth_sandbox.access import Access
from berth_sandbox.errors import SandboxError
from berth_sandbox.images import Image
from berth_sandbox.own import Own
from berth_sandbox.stages import Stage


class Recorder(Own):
    """Starts nothing; a test says what goes wrong."""

    def __init__(self, folder: Path, failure: BaseException | None = None) -> None:
        self.folder = folder
        self.failure = failure
        self.calls: list[tuple[str, str]] = []

    def up(self, name: str) -> Access:
        self._record("up", name)
        return Access(self.folder / "kubeconfig", (self.folder / "kubectl", self.folder / "helm"))

    def load(self, name: str, wanted: Sequence[Image]) -> None:
        self._record("load", name)

    def down(self, name: str) -> None:
        self._record("down", name)

    def _record(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        if self.failure:
            raise self.failure


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(tmp_path)
    monkeypatch.setattr(cli, "choose", lambda state: recorder)
    monkeypatch.setattr(cli, "STATE", tmp_path / ".sandbox")
    monkeypatch.setattr(
        folders, "REPOSITORY", tmp_path
    )  # a checkout's own models are not for tests to remove
    return recorder


def test_a_failure_is_one_sentence_and_code_1(provider: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    provider.failure = SandboxError("No network: check it.")
    assert cli.main(["up"]) == 1
    assert capsys.readouterr().err == "berth-sandbox: No network: check it.\n"


def test_an_interrupt_is_no_traceback(provider: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    provider.failure = KeyboardInterrupt()
    assert cli.main(["up"]) == 1
    assert "run the same command again" in capsys.readouterr().err


def test_the_checkouts_own_cluster_is_handed_over(provider: Recorder, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("a kubeconfig")
    assert cli.main(["up"]) == cli.main(["up"]) == 0
    assert provider.calls == [("up", cli.default_name())] * 2
    assert (tmp_path / ".sandbox" / "kubeconfig").read_text() == "a kubeconfig"
    assert {each.name for each in (tmp_path / ".sandbox" / "bin").iterdir()} == {"kubectl", "helm"}


def test_another_cluster_is_left_where_it_is(
    provider: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["up", "--name", "other"]) == 0
    assert f"export KUBECONFIG={tmp_path}/kubeconfig" in capsys.readouterr().out
    assert not (tmp_path / ".sandbox").exists()


def test_demo_down_removes_the_cluster_and_its_files(provider: Recorder, tmp_path: Path) -> None:
    cli.main(["up"])
    for example in models.ALL:
        (example.output / "deep").mkdir(parents=True)
    assert cli.main(["demo-down"]) == 0
    assert provider.calls[-1] == ("down", cli.default_name())
    assert not (tmp_path / ".sandbox").exists()
    assert not list((tmp_path / "examples").glob("*/out"))


def test_demo_down_of_nothing_succeeds(provider: Recorder) -> None:
    assert cli.main(["demo-down"]) == 0


@pytest.fixture
def two_stages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    prepared: list[str] = []
    bad = Stage((("false",), ("true",)), (lambda: prepared.append("bad"),))
    monkeypatch.setattr(stages, "STAGES", {"bad": bad, "good": Stage((("true",),))})
    return prepared


def test_every_stage_runs_even_after_a_failure(
    two_stages: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["stage", "bad", "good"]) == 1
    out, err = capfd.readouterr()
    rows = [line.split()[:2] for line in out.splitlines() if line.startswith(("bad ", "good "))]
    assert rows == [["bad", "failed"], ["good", "passed"]]
    assert "make bad" in err
    assert two_stages == ["bad"]


def test_a_stage_that_cannot_be_prepared_has_failed_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise SandboxError("no such tool: install it")

    monkeypatch.setitem(stages.STAGES, "bad", Stage((("true",),), (refuse,)))
    monkeypatch.setitem(stages.STAGES, "good", Stage((("true",),)))
    assert cli.main(["stage", "bad", "good"]) == 1
    out, _ = capfd.readouterr()
    assert "no such tool: install it" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith(("bad ", "good "))] == [
        "failed",
        "passed",
    ]


def test_stages_that_pass_are_code_0(two_stages: list[str]) -> None:
    assert cli.main(["stage", "good"]) == 0


def test_the_verbs_of_the_makefile_are_stages() -> None:
    makefile = (cli.folders.REPOSITORY / "Makefile").read_text()
    printed = subprocess.run(
        ["make", "--dry-run", "test"], cwd=cli.folders.REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert " ".join(["stage", *stages.STAGES]) in printed
    assert f"{' '.join(stages.STAGES)}: sync" in makefile

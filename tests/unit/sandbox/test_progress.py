import re
import subprocess

import pytest

from berth_sandbox import folders
from berth_sandbox.errors import SandboxError, explained
from berth_sandbox.progress import step

STEP = folders.REPOSITORY / ".ci" / "step"


def test_a_step_is_one_line_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with step("starting the cluster"):
        assert capsys.readouterr().out == "  starting the cluster ... "
    assert re.fullmatch(r"0\.\d s\n", capsys.readouterr().out)


def test_a_step_that_fails_says_so_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SandboxError), step("starting the cluster"):
        raise SandboxError("no")
    assert re.fullmatch(r"  starting the cluster \.\.\. failed after 0\.\d s\n", capsys.readouterr().out)


def test_the_sentence_with_the_remedy_comes_before_what_the_program_said() -> None:
    with (
        pytest.raises(SandboxError, match=r"\ACheck the network\.\nno such host\Z"),
        explained("Check the network."),
    ):
        raise SandboxError("no such host")


@pytest.mark.parametrize(("command", "code", "line"), [("true", 0, ""), ("false", 1, "failed after ")])
def test_a_step_of_the_makefile_looks_the_same(command: str, code: int, line: str) -> None:
    done = subprocess.run([STEP, "installing", command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert re.fullmatch(rf"  installing \.\.\. {line}\d+\.\d s\n", done.stdout)

"""What begins as root goes on as somebody else, who cannot become root again and finds all that it needs."""

import json
import os
import random
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

import berth_scoring
from berth_scoring.config import LONGEST_VALUE, ConfigError, ScoringConfig, config_text, config_variables

USER = 65532
SCRIPT = """
    import os, sys, time

    def init(): ...

    def who():
        with open("/proc/self/status") as status:
            told = dict(line.split() for line in status if line.startswith(("Cap", "NoNew")))
        return {
            "ids": [*os.getresuid(), *os.getresgid()],
            "groups": os.getgroups(),
            "rights": [told[name + ":"] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
            "no new ones": told["NoNewPrivs:"],
        }

    def regain():
        calls = [
            lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]),
            lambda: os.seteuid(0), lambda: os.setresuid(-1, 0, -1), lambda: open("/etc/shadow"),
        ]
        return [refused(call) for call in calls]

    def refused(call):
        try:
            call()
        except PermissionError:
            return True
        return False

    def home():
        with open(os.path.expanduser("~/written"), "w") as file:
            file.write("x")
        return os.environ["HOME"]

    def app():
        os.mkdir(os.environ["BERTH_APP_ROOT"] + "/made")
        return True

    def output():
        for name in ("stdout", "stderr"):
            with open(f"/dev/{name}", "a") as stream:
                print(f"said on {name}", file=stream)

    def run(data):
        return globals()[data]()
"""


NEEDED = [Path(sys.base_prefix), Path(sys.prefix), Path(berth_scoring.__file__).parents[2]]


def _may_mount() -> bool:
    return os.geteuid() == 0 and not subprocess.run(["unshare", "--mount", "true"], check=False).returncode


pytestmark = pytest.mark.skipif(not _may_mount(), reason="only root of a whole machine can give up root here")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own are not."""
    made = Path(tempfile.mkdtemp(prefix="berth-test-"))
    made.chmod(0o755)
    (made / "tmp").mkdir()
    (made / "tmp").chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(made / "tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def openly(folder: Path) -> list[str]:
    """The beginning of a command that shows this Python to every user, even where it is root's own."""
    closed = {top for path in NEEDED if (top := next(filter(is_closed, reversed(path.parents)), None))}
    hidden = [path for path in NEEDED if closed & set(path.parents)]
    kept = [f"{folder}/mounts/{number}" for number in range(len(hidden))]
    script = [
        "set -e",
        *(f"mkdir -p {at} && mount --bind {path} {at}" for path, at in zip(hidden, kept, strict=True)),
        *(f"mount -t tmpfs -o mode=755 tmpfs {path}" for path in closed),
        *(f"mkdir -p {path} && mount --bind {at} {path}" for path, at in zip(hidden, kept, strict=True)),
        'exec "$@"',
    ]
    return ["unshare", "--mount", "sh", "-c", "\n".join(script), "sh"]


def is_closed(path: Path) -> bool:
    return not path.stat().st_mode & stat.S_IXOTH


@pytest.fixture
def as_root(make_launcher: Any, folder: Path, openly: list[str]) -> Iterator[Callable[..., Any]]:
    launcher = make_launcher(folder)
    given = {"prefix": openly, "user": USER}
    yield lambda *args, **config: launcher(*args, **given | {"port": free_low_port()} | config)
    launcher.close()


def free_low_port() -> int:
    """Return a port that only root may listen on."""
    for port in random.sample(range(600, 1024), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("every port is taken")


def closed(folder: Path, **files: str) -> str:
    """Make a folder that only root may read."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o400)
    folder.chmod(0o700)
    return str(folder)


def test_the_server_has_the_low_port_and_no_right_of_roots(as_root: Any) -> None:
    server = as_root(SCRIPT)
    assert server.port < 1024
    assert server.score("who") == {
        "ids": [USER] * 6,
        "groups": [],
        "rights": ["0" * 16] * 4,
        "no new ones": "1",
    }
    assert server.score("regain") == [True] * 6
    assert server.stop() == 0


def test_the_process_stays_the_same(as_root: Any) -> None:
    server = as_root(SCRIPT)
    assert Path(f"/proc/{server.process.pid}").stat().st_uid == USER
    assert b"serve" in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()


def test_without_a_user_in_the_configuration_all_stays_as_it_was(as_root: Any) -> None:
    assert as_root(SCRIPT, user=None).score("who")["ids"] == [0] * 6


def test_keys_that_only_root_may_read_open_the_endpoint(as_root: Any, folder: Path) -> None:
    server = as_root(SCRIPT, keysDir=closed(folder / "keys", primaryKey="first", secondaryKey="second"))
    assert server("POST", "/score", "who").status == 401
    for key in ("first", "second"):
        assert server("POST", "/score", "who", {"Authorization": f"Bearer {key}"}).status == 200


def test_keys_that_all_may_read_stay_where_they_are_replaced(as_root: Any, folder: Path) -> None:
    (folder / "keys").mkdir()
    (folder / "keys/primaryKey").write_text("first")
    server = as_root(SCRIPT, keysDir=str(folder / "keys"))
    assert f'"keysDir": "{folder}/keys"' in environment_of(server.process.pid)["BERTH_SCORING_CONFIG"]


def test_a_certificate_that_only_root_may_read_is_shown(as_root: Any, folder: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain = "".join(part.bytes().decode() for part in issued.cert_chain_pems)
    files = {"tls.crt": chain, "tls.key": issued.private_key_pem.bytes().decode()}
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    server = as_root(SCRIPT, tls={"dir": closed(folder / "tls", **files)}, trust=trust)
    assert server.score("who")["ids"] == [USER] * 6


def test_a_certificate_of_its_own_is_made_as_the_user(as_root: Any) -> None:
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    server = as_root(SCRIPT, tls={"selfSignedFor": ["localhost"]}, trust=trust)
    assert server.score("who")["ids"] == [USER] * 6


def test_what_was_copied_is_readable_to_the_user_alone(as_root: Any, folder: Path) -> None:
    keys = folder / "keys"
    closed(keys, primaryKey="first")
    (keys / "..data").mkdir()
    (keys / "..data/primaryKey").write_text("first")
    server = as_root(SCRIPT, keysDir=str(keys))
    told = json.loads(config_text(environment_of(server.process.pid)))
    copy = Path(told["keysDir"])
    assert [path.name for path in copy.iterdir()] == ["primaryKey"]
    for path, mode in ((copy, 0o500), (copy / "primaryKey", 0o400)):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (USER, mode)


def test_the_folder_of_models_becomes_the_users(as_root: Any) -> None:
    assert as_root(SCRIPT).score("app") is True


def test_a_home_of_roots_is_replaced_and_another_is_kept(as_root: Any, folder: Path) -> None:
    (folder / "home").mkdir()
    assert as_root(SCRIPT, env={"HOME": str(folder / "home")}).score("home") == str(folder / "tmp")
    os.chown(folder / "home", USER, USER)
    assert as_root(SCRIPT, env={"HOME": str(folder / "home")}).score("home") == str(folder / "home")


def test_a_script_may_open_the_log_by_its_name(as_root: Any) -> None:
    server = as_root(SCRIPT)
    server.score("output")
    assert "said on stdout" in server.log
    assert "said on stderr" in server.log


def test_the_reason_for_the_end_reaches_a_termination_log_of_roots(as_root: Any, folder: Path) -> None:
    log = folder / "log-of-root"
    log.write_text("")
    log.chmod(0o600)
    server = as_root("raise ValueError('no')", ready=False, env={"BERTH_TERMINATION_LOG": str(log)})
    assert server.process.wait(20) == 3
    assert log.read_text().startswith("ScriptLoadFailed: ValueError: no")


def test_a_taken_port_is_told(as_root: Any) -> None:
    with socket.create_server(("127.0.0.1", free_low_port())) as taken:
        server = as_root(SCRIPT, ready=False, port=taken.getsockname()[1])
        assert server.process.wait(20) == 3
    assert server.termination.startswith("PortUnavailable: cannot listen on port ")


def test_nothing_is_served_before_the_script_is_loaded(as_root: Any) -> None:
    server = as_root("import time\ntime.sleep(60)\ndef init(): ...\ndef run(d): ...", ready=False)
    while "serve" not in Path(f"/proc/{server.process.pid}/cmdline").read_text() or not owned(server):
        assert server.process.poll() is None, server.log
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def owned(server: Any) -> bool:
    return Path(f"/proc/{server.process.pid}").stat().st_uid == USER


def test_root_that_cannot_be_given_up_ends_the_process(folder: Path, openly: list[str]) -> None:
    config = {"name": "m", "port": free_low_port(), "user": USER}
    environment = os.environ | {
        "BERTH_SCORING_CONFIG": json.dumps(config),
        "BERTH_APP_ROOT": str(folder),
        "BERTH_TERMINATION_LOG": str(folder / "termination-log"),
    }
    for right in ("setuid", "setgid"):
        command = [
            *openly,
            "setpriv",
            f"--bounding-set=-{right}",
            sys.executable,
            "-m",
            "berth_scoring",
            "serve",
        ]
        assert subprocess.run(command, env=environment, check=False).returncode == 3
        told = (folder / "termination-log").read_text()
        assert told.startswith(f"ConfigInvalid: cannot go on as user {USER}: ")


def test_fetching_reads_what_only_root_may_read_and_leaves_what_the_user_owns(
    folder: Path, openly: list[str]
) -> None:
    source = closed(folder / "source", **{"model.bin": "weights"})
    model = {"name": "m", "version": "1", "uri": "configmap://m/model.bin", "source": source}
    config = {"name": "m", "user": USER, "models": [model]}
    environment = os.environ | {
        **config_variables(json.dumps(config)),
        "BERTH_APP_ROOT": str(folder / "app"),
        "BERTH_TERMINATION_LOG": str(folder / "termination-log"),
    }
    (folder / "app").mkdir(mode=0o700)
    command = [*openly, sys.executable, "-m", "berth_scoring", "fetch"]
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    fetched = folder / "app/azureml-models/m/1/model.bin"
    assert (fetched.read_text(), fetched.stat().st_uid) == ("weights", USER)


def test_run_fetches_as_the_user(as_root: Any, folder: Path) -> None:
    source = closed(folder / "source", **{"model.bin": "weights"})
    model = {"name": "m", "version": "1", "uri": "configmap://m/model.bin", "source": source}
    script = folder / "script"
    script.mkdir()
    (script / "score.py").write_text(
        "import os\ndef init(): ...\ndef run(_): return os.stat(os.environ['AZUREML_MODEL_DIR']).st_uid"
    )
    (folder / "app").mkdir(mode=0o700)
    server = as_root(
        command="run",
        models=[model],
        code={"uri": f"file://{script}"},
        env={"BERTH_APP_ROOT": str(folder / "app")},
    )
    assert server.score() == USER
    assert server.stop(signal.SIGINT) == 0


def environment_of(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


@given(st.text(min_size=1, max_size=10), st.integers(0, 3 * LONGEST_VALUE))
def test_a_configuration_survives_to_be_cut(text: str, length: int) -> None:
    long = (text * (length // len(text) + 1))[: max(length, 1)]
    variables = config_variables(long)
    assert config_text(variables) == long
    assert max(map(len, variables.values())) <= LONGEST_VALUE


@pytest.mark.parametrize("user", [0, -1, "65532", 1.5, True])
def test_a_user_is_a_number_and_not_root(user: object) -> None:
    with pytest.raises(ConfigError, match="user must be a whole number above 0"):
        ScoringConfig.from_json({"name": "m", "user": user})

"""What only a real process shows: threads, signals, start and end."""

import http.client
import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

PROBE_SCRIPT = """
    import asyncio, multiprocessing, os, signal, sqlite3, subprocess, sys, threading, time

    def init():
        global database, init_thread, handled, busy
        init_thread = threading.get_ident()
        database = sqlite3.connect(":memory:")
        database.execute("create table calls (name text)")
        handled, busy = [], 0
        signal.signal(signal.SIGUSR1, lambda *_: handled.append("usr1"))

    def thread():
        try:
            asyncio.get_running_loop()
            loop = True
        except RuntimeError:
            loop = False
        is_main = threading.current_thread() is threading.main_thread()
        return [is_main, threading.get_ident() == init_thread, loop]

    def sqlite():
        database.execute("insert into calls values ('x')")
        return database.execute("select count(*) from calls").fetchone()[0]

    def signals():
        os.kill(os.getpid(), signal.SIGUSR1)
        return handled

    def alarm():
        signal.signal(signal.SIGALRM, lambda *_: handled.append("alarm"))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(0.1)
        return handled[-1]

    def coroutine():
        async def double(): return 42
        return asyncio.run(double())

    def child():
        command = [sys.executable, "-c", "print(6 * 7)"]
        return subprocess.run(command, capture_output=True, text=True).stdout

    def forked():
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        process.start()
        process.terminate()
        process.join()
        return process.exitcode

    def overlap():
        global busy
        busy += 1
        seen = busy
        time.sleep(0.05)
        busy -= 1
        return seen

    def sleep(): time.sleep(1)
    def spin():
        while True: pass
    def swallow():
        while True:
            try: time.sleep(0.1)
            except Exception: pass
    def leave(): sys.exit(5)
    def cancel(): raise asyncio.CancelledError
    def panic(): raise type("PanicException", (BaseException,), {})("panicked")
    def fail(): raise ValueError("secret detail")
    def speak(): print("said by the script")
    def unserializable(): return object()
    def endless():
        nested = []
        for _ in range(100_000): nested = [nested]
        return nested
    def directory(): return [os.environ["AZUREML_MODEL_DIR"], os.getcwd(), os.environ["AML_APP_ROOT"]]

    def run(data):
        return globals()[data]()
"""


@pytest.fixture(scope="module")
def server(start_shared: Any) -> Any:
    limits = {"timeoutMilliseconds": 2000, "maxQueueWaitMilliseconds": 5000}
    return start_shared(PROBE_SCRIPT, requests=limits)


def test_init_and_run_share_the_main_thread_where_no_event_loop_runs(server: Any) -> None:
    assert server.score("thread") == [True, True, False]


def test_an_sqlite_connection_from_init_works_in_run(server: Any) -> None:
    before = server.score("sqlite")
    assert server.score("sqlite") == before + 1


def test_a_script_may_handle_signals(server: Any) -> None:
    assert "usr1" in server.score("signals")


def test_the_alarm_is_left_to_the_script(server: Any) -> None:
    assert server.score("alarm") == "alarm"


def test_a_script_may_run_its_own_event_loop(server: Any) -> None:
    assert server.score("coroutine") == 42


def test_a_script_may_start_processes(server: Any) -> None:
    assert server.score("child") == "42\n"


def test_a_signal_to_a_forked_child_does_not_stop_the_server(server: Any) -> None:
    assert server.score("forked") == -signal.SIGTERM
    assert server("GET", "/readyz").status == 200


def test_runs_never_overlap(server: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(server.score, ["overlap"] * 8)) == [1] * 8


@pytest.mark.parametrize("name", ["sleep_long", "spin", "swallow"])
def test_a_run_past_its_deadline_is_answered_with_504_and_cut(start_limited: Any, name: str) -> None:
    started = time.monotonic()
    answer = start_limited("POST", "/score", name)
    assert (answer.status, answer.header("x-ms-run-function-failed")) == (504, "True")
    assert answer.json == {"message": "Scoring timeout after 300 ms (timeoutMilliseconds)"}
    assert start_limited.score("thread") == [True, True, False]
    assert time.monotonic() - started < 2


@pytest.fixture(scope="module")
def start_limited(start_shared: Any) -> Any:
    script = PROBE_SCRIPT + "\n    def sleep_long(): time.sleep(30)\n"
    return start_shared(script, requests={"timeoutMilliseconds": 300, "maxQueueWaitMilliseconds": 3000})


def test_a_request_that_waits_too_long_gets_503(start: Any) -> None:
    server = start(PROBE_SCRIPT, requests={"maxQueueWaitMilliseconds": 100})
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server, "POST", "/score", "sleep")
        time.sleep(0.2)
        second = server("POST", "/score", "thread")
        assert first.result().status == 200
    assert (second.status, second.header("retry-after")) == (503, "1")
    assert "maxQueueWaitMilliseconds" in second.json["message"]


def test_runs_overlap_when_concurrency_is_asked_for(start: Any) -> None:
    server = start(PROBE_SCRIPT, requests={"maxConcurrentPerReplica": 3})
    with ThreadPoolExecutor(3) as pool:
        assert max(pool.map(server.score, ["overlap"] * 3)) > 1


@pytest.mark.parametrize("name", ["fail", "leave", "cancel", "panic"])
def test_a_failing_run_takes_only_its_request_with_it(server: Any, name: str) -> None:
    answer = server("POST", "/score", name)
    assert (answer.status, answer.header("x-ms-run-function-failed")) == (500, "True")
    assert "secret detail" not in answer.json["message"]
    assert server.score("coroutine") == 42


def test_the_traceback_of_a_failed_run_is_in_the_log(server: Any) -> None:
    server("POST", "/score", "fail")
    assert "ValueError: secret detail" in server.log


@pytest.mark.parametrize("name", ["unserializable", "endless"])
def test_a_result_that_is_no_json_is_an_internal_error(server: Any, name: str) -> None:
    answer = server("POST", "/score", name)
    assert answer.status == 500
    assert answer.json["message"].startswith("An unexpected internal error")
    assert server.score("coroutine") == 42


def test_the_shorter_of_two_time_outs_holds(start: Any) -> None:
    server = start(PROBE_SCRIPT, env={"SCORING_TIMEOUT_MS": "100"})
    assert "after 100 ms" in server("POST", "/score", "sleep").json["message"]


def test_a_handler_of_the_script_may_end_the_process(start: Any) -> None:
    script = """
        import signal, sys
        def init(): signal.signal(signal.SIGUSR2, lambda *_: sys.exit(9))
        def run(data): pass
    """
    assert start(script).stop(signal.SIGUSR2) == 9


def test_a_handler_of_the_script_may_end_the_process_while_its_threads_begin(start: Any) -> None:
    script = """
        import os, signal, sys, threading
        def init():
            signal.signal(signal.SIGUSR2, lambda *_: sys.exit(9))
            begin = threading.Thread.start
            def begin_and_tell(thread):
                begin(thread)
                if thread.name == "http":
                    os.kill(os.getpid(), signal.SIGUSR2)
            threading.Thread.start = begin_and_tell
        def run(data): pass
    """
    assert start(script, ready=False).process.wait(20) == 9


def test_what_the_script_prints_is_on_stdout_at_once(server: Any) -> None:
    server.score("speak")
    assert "said by the script\n" in server.log


def test_the_model_folder_is_exported_whatever_the_user_has_set(start: Any, tmp_path: Path) -> None:
    model = {"name": "iris", "version": "3", "uri": "file:///x", "folder": str(tmp_path)}
    server = start(PROBE_SCRIPT, models=[model], env={"AZUREML_MODEL_DIR": "/elsewhere"})
    root = server.folder
    assert server.score("directory") == [f"{root}/azureml-models/iris/3", f"{root}/code", f"{root}/code"]


def test_each_request_is_a_line_of_json_but_probes_are_not(server: Any) -> None:
    server("POST", "/score?a=1", "coroutine", {"x-request-id": 'quote"d'})
    server("GET", "/livez")
    time.sleep(0.3)
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith('{"time"')]
    line = next(line for line in lines if line["request_id"] == 'quote"d')
    assert (line["method"], line["path"], line["status"]) == ("POST", "/score", 200)
    assert not any(line["path"] == "/livez" for line in lines)


def test_sigterm_drains_and_the_process_ends_with_0(start: Any) -> None:
    server = start(PROBE_SCRIPT, env={"BERTH_DRAIN_SECONDS": "0.5"})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.score, "sleep")
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert server("GET", "/readyz").json == {"status": "draining"}
        assert server("GET", "/livez").status == 200
        assert server("GET", "/").header("connection") == "close"
        assert running.result() == {}
    assert server.process.wait(10) == 0


def test_a_second_sigterm_ends_the_process_at_once(start: Any) -> None:
    server = start(PROBE_SCRIPT, env={"BERTH_DRAIN_SECONDS": "60"})
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert server.stop() == 128 + signal.SIGTERM


def test_sigterm_is_heard_while_the_main_thread_is_busy(start: Any) -> None:
    script = """
        import hashlib
        def init(): pass
        def run(data): hashlib.pbkdf2_hmac('sha256', b'', b'', 3_000_000)
    """
    server = start(script, env={"BERTH_DRAIN_SECONDS": "0"})
    sender = threading.Thread(target=server, args=("POST", "/score", "x"))
    sender.start()
    time.sleep(0.2)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    with pytest.raises(ConnectionRefusedError):
        server("GET", "/readyz")
    sender.join()
    assert server.process.wait(10) == 0


def test_sigterm_is_heard_after_a_script_had_handlers_in_an_event_loop_of_its_own(start: Any) -> None:
    script = """
        import asyncio, signal
        def init(): pass
        async def handle():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, lambda: None)
            loop.remove_signal_handler(signal.SIGUSR1)
        def run(data): asyncio.run(handle())
    """
    server = start(script)
    server.score()
    assert server.stop() == 0


def test_sigterm_is_heard_when_another_thread_gets_it_and_a_script_has_left_no_one_to_tell(
    start: Any,
) -> None:
    script = """
        import signal, threading
        def init(): pass
        def stop(): signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        def run(data):
            signal.set_wakeup_fd(-1)
            threading.Timer(0.5, stop).start()
    """
    server = start(script)
    server.score()
    assert server.process.wait(20) == 0


def test_a_run_that_does_not_end_does_not_keep_the_process(start: Any) -> None:
    script = """
        import time
        def init(): pass
        def run(data):
            while True:
                try: time.sleep(60)
                except BaseException: pass
    """
    server = start(script, requests={"timeoutMilliseconds": 300})
    assert server("POST", "/score").status == 504
    assert server.stop() == 0
    assert '"status":504' in server.log


FAILURES = {
    "ScriptInitFailed: ValueError: lost": "def init(): raise ValueError('lost')\ndef run(data): pass",
    "ScriptInitFailed: SystemExit: 7": "def init(): raise SystemExit(7)\ndef run(data): pass",
    "ScriptLoadFailed: ModuleNotFoundError": "import no_such_module",
    "ScriptLoadFailed: ScriptError: the scoring script score.py does not define run": "def init(): pass",
}


@pytest.mark.parametrize("cause", FAILURES)
def test_a_failed_start_exits_with_3_and_tells_the_cause(start: Any, cause: str) -> None:
    server = start(FAILURES[cause], ready=False)
    assert server.process.wait(20) == 3
    assert server.termination.startswith(cause)
    assert cause.partition(": ")[2].partition(":")[0] in server.log


def test_a_failed_init_lists_the_model_folder_up_to_200_lines(start: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for number in range(300):
        (folder / f"weights-{number:03}").touch()
    model = {"name": "iris", "version": "3", "uri": "file:///x", "folder": str(folder)}
    server = start("def init(): 1 / 0\ndef run(data): pass", models=[model], ready=False)
    server.process.wait(20)
    assert "weights-000" in server.log
    assert server.log.count("weights-") == 199
    assert "only the first 200 lines" in server.log


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        (
            {"format": "sklearn"},
            "expected exactly one *.joblib or *.pkl or *.pickle in the model folder, found none",
        ),
        (
            {"format": "torch"},
            "model iris has the format 'torch'; without a script it must be one of sklearn, onnx",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_is_named(
    start: Any, tmp_path: Path, model: dict[str, str], cause: str
) -> None:
    source = {"name": "iris", "version": "3", "uri": "file:///x", "folder": str(tmp_path), **model}
    server = start(models=[source], ready=False)
    assert server.process.wait(20) == 3
    assert server.termination.startswith("ModelLoadFailed: ")
    assert cause in server.termination


def test_a_configuration_that_is_none_is_told(start: Any) -> None:
    server = start(ready=False, surprise=1)
    assert server.process.wait(20) == 3
    assert server.termination == "ConfigInvalid: ScoringConfig does not know surprise"


def test_a_variable_that_is_no_number_is_told(start: Any) -> None:
    server = start(PROBE_SCRIPT, env={"SCORING_TIMEOUT_MS": "soon"}, ready=False)
    assert server.process.wait(20) == 3
    assert server.termination == (
        "ConfigInvalid: SCORING_TIMEOUT_MS must be a whole number of at least 1, not 'soon'"
    )


@pytest.mark.parametrize("content", [b"{oops", b"\xff"])
def test_a_description_that_is_no_json_is_told(start: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "server-0/code").mkdir(parents=True)
    (tmp_path / "server-0/code/swagger.json").write_bytes(content)
    server = start(PROBE_SCRIPT, ready=False)
    assert server.process.wait(20) == 3
    assert server.termination.startswith("SwaggerInvalid: swagger.json is not JSON: ")


def test_keys_guard_scoring_but_not_the_probes_and_may_be_rotated(start: Any, tmp_path: Path) -> None:
    rotate_keys(tmp_path, "old-key", "second-key")
    server = start(PROBE_SCRIPT, keysDir=str(tmp_path / "keys"))
    assert server("POST", "/score", "coroutine").status == 401
    assert [server("GET", path).status for path in ("/", "/livez", "/readyz", "/metrics")] == [200] * 4
    for key in ("old-key", "second-key"):
        assert server("POST", "/score", "coroutine", {"Authorization": f"Bearer {key}"}).status == 200
    rotate_keys(tmp_path, "new-key", "second-key")
    time.sleep(1.1)
    statuses = {
        key: server("POST", "/score", "coroutine", {"Authorization": f"Bearer {key}"}).status
        for key in ("old-key", "second-key", "new-key")
    }
    assert statuses == {"old-key": 401, "second-key": 200, "new-key": 200}


def rotate_keys(folder: Path, primary: str, secondary: str) -> None:
    """Swap the folder by a symlink, as the kubelet does for a Secret."""
    data = folder / f"..{primary}"
    data.mkdir()
    (data / "primaryKey").write_text(primary)
    (data / "secondaryKey").write_text(secondary)
    (folder / "new").symlink_to(data)
    (folder / "new").replace(folder / "keys")


def test_an_endpoint_without_its_keys_does_not_start(start: Any, tmp_path: Path) -> None:
    server = start(PROBE_SCRIPT, keysDir=str(tmp_path), ready=False)
    assert server.process.wait(20) == 3
    assert server.termination.startswith("KeysMissing: ")


def test_a_taken_port_is_told(start: Any, server: Any) -> None:
    second = start(PROBE_SCRIPT, port=server.port, ready=False)
    assert second.process.wait(20) == 3
    assert second.termination.startswith(f"PortUnavailable: cannot listen on port {server.port}")


def test_sklearn_and_onnx_models_are_served_side_by_side(
    start: Any, sklearn_folder: Path, onnx_folder: Path
) -> None:
    models = [
        {
            "name": "one",
            "version": "1",
            "uri": "file:///x",
            "format": "sklearn",
            "folder": str(sklearn_folder),
        },
        {"name": "two", "version": "2", "uri": "file:///x", "format": "onnx", "folder": str(onnx_folder)},
    ]
    server = start(models=models)
    for name in ("one", "two"):
        body = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]})
        assert server("POST", f"/v1/models/{name}:predict", body).json == {"predictions": [0, 2]}
    info = server("GET", "/metrics").body.decode()
    assert 'berth_scoring_model_info{format="onnx",name="two",version="2"} 1.0' in info


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_an_event_loop_that_ends_by_a_bug_ends_the_process_as_failed(start: Any, is_busy: bool) -> None:
    script = f"""
    import asyncio, threading, time, uvicorn

    def init():
        uvicorn.Server.on_tick = on_tick

    async def on_tick(server, counter):
        if busy.is_set() or not {is_busy}:
            raise RuntimeError("a bug of the server's own")
        return False

    busy = threading.Event()

    def run(data):
        busy.set()
        while True:
            try: time.sleep(0.1)
            except Exception: pass
    """
    server = start(script, ready=is_busy, requests={"timeoutMilliseconds": 300})
    if is_busy:
        with pytest.raises((OSError, http.client.HTTPException)):
            server("POST", "/score")
    assert server.process.wait(20) == 1
    assert "RuntimeError: a bug of the server's own" in server.log

"""The container as a host without init containers starts it: from storage to an answer."""

import http.client
import json
import subprocess
import sys
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient
from azurite import ACCOUNT
from scoring_servers import free_port, plain_environment, running

from berth_sandbox.azure.server import Endpoint

SCRIPT = """
import os
def init(): ...
def run(data): return open(os.environ["AZUREML_MODEL_DIR"] + "/m.bin").read()
"""


@pytest.fixture
def environment(
    container: ContainerClient, entra: Endpoint, storage_port: int, with_key: Path, tmp_path: Path
) -> dict[str, str]:
    container.upload_blob("iris/m.bin", b"weights")
    container.upload_blob("code/score.py", SCRIPT.encode())
    root = f"wasbs://{container.container_name}@{ACCOUNT}.blob.core.windows.net"
    config = {
        "name": "iris",
        "target": "ACI",
        "models": [{"name": "m", "version": "1", "uri": f"{root}/iris", "credentialsDir": str(with_key)}],
        "code": {"uri": f"{root}/code", "credentialsDir": str(with_key)},
        "port": free_port(),
        "storageEndpoints": {ACCOUNT: f"https://127.0.0.1:{storage_port}/{ACCOUNT}"},
    }
    return plain_environment() | {
        "BERTH_SCORING_CONFIG": json.dumps(config),
        "BERTH_APP_ROOT": str(tmp_path / "app"),
        "BERTH_TERMINATION_LOG": str(tmp_path / "termination-log"),
        "BERTH_DRAIN_SECONDS": "0",
        "SSL_CERT_FILE": str(entra.ca_file),
    }


def test_a_model_and_its_script_from_storage_answer(environment: dict[str, str], tmp_path: Path) -> None:
    port = json.loads(environment["BERTH_SCORING_CONFIG"])["port"]
    log = tmp_path / "log"
    with running([sys.executable, "-m", "berth_scoring", "run"], environment, log, port, "/readyz"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/score", "{}")
        assert connection.getresponse().read() == b'"weights"'
        connection.close()
    lines = [line for line in log.read_text().splitlines() if "fetched" in line]
    assert [line.split(" in ")[0] for line in lines] == ["fetched model m:1", "fetched code"]


def test_fetching_tells_of_nothing_but_its_result(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "berth_scoring", "fetch"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert all(line.startswith("fetched ") for line in (done.stdout + done.stderr).splitlines())
    report = json.loads(Path(environment["BERTH_TERMINATION_LOG"]).read_text())
    assert report["models"][0]["digest"].startswith("sha256:")

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_requests import MODEL_DEPLOYMENTS, ApiServer

from berth_sandbox.cluster.control_plane import ControlPlane

CRDS = Path(__file__).resolve().parents[2] / "crds"


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Iterator[ApiServer]:
    """An API server that serves ModelDeployments."""
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", CRDS)
    server = ApiServer(control_plane)
    deadline = time.monotonic() + 30
    while server.send("GET", MODEL_DEPLOYMENTS)[0] != 200:
        assert time.monotonic() < deadline, "ModelDeployments are not served"
        time.sleep(0.05)
    yield server
    server.close()

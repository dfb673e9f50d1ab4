"""The CRDs of Berth in a control plane."""

import time
from pathlib import Path

from berth_sandbox.cluster.control_plane import ControlPlane

CRDS = Path(__file__).resolve().parents[2] / "crds"
ESTABLISHED = '"status":"True","type":"Established"'


def install_crds(plane: ControlPlane) -> None:
    """Apply the CRDs and wait until they are served; `kubectl wait` fails on one that has no status yet."""
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", CRDS)
    deadline = time.monotonic() + 30
    while ESTABLISHED not in plane.kubectl(
        "get", "crd/modeldeployments.berth.dev", "-o", "jsonpath={.status}"
    ):
        assert time.monotonic() < deadline, "ModelDeployments are not served"
        time.sleep(0.1)

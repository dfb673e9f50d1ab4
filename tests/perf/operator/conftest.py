from collections.abc import AsyncIterator

import pytest
from installed_crds import install_crds
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config

from berth.kube.client import Api
from berth.kube.connection import Connection
from berth_sandbox.cluster.control_plane import ControlPlane


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    install_crds(control_plane)
    return control_plane


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[Api]:
    """A client whose requests are told from the operator's."""
    configuration = Configuration()
    load_kube_config(config_file=str(plane.kubeconfig), client_configuration=configuration)
    connection = Connection(configuration, connections=16)
    connection.session.headers["User-Agent"] = "test"
    yield Api(connection)
    await connection.close()

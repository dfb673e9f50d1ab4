import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from aci_process import put_place
from answering_groups import AnsweringGroups, answering
from api_requests import MODEL_DEPLOYMENTS, ApiServer
from azure_emulator import configured
from device_pool import Pool
from faulty_proxy import FaultyProxy, faulty_proxy
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config
from operator_process import Kubelet, User, running_kubelet

from berth.core.errors import Gone
from berth.core.keys import Key
from berth.kube.client import Api
from berth.kube.connection import Connection
from berth.plan.resources import COMPUTE_TARGETS, Resource
from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint, served
from berth_sandbox.cluster.control_plane import ControlPlane

NAMESPACES = Resource("", "v1", "namespaces", "Namespace")
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


@pytest.fixture
async def connection(control_plane: ControlPlane) -> AsyncIterator[Connection]:
    """The operator's connection to the API server, by a kubeconfig."""
    configuration = Configuration()
    load_kube_config(config_file=str(control_plane.kubeconfig), client_configuration=configuration)
    connection = Connection(configuration)
    yield connection
    await connection.close()


@pytest.fixture
def client(connection: Connection) -> Api:
    """The operator's client."""
    return Api(connection)


@pytest.fixture
async def namespace(client: Api) -> str:
    """A namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await client.create(NAMESPACES, manifest)
    return name


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[FaultyProxy]:
    """A proxy in front of the API server that breaks watches on demand."""
    async with faulty_proxy(control_plane) as running:
        yield running


@pytest.fixture
def user(client: Api, namespace: str, api: ApiServer) -> User:
    """Someone who works with ModelDeployments in the test's namespace."""
    return User(client, namespace)


@pytest.fixture
async def kubelet(client: Api, namespace: str) -> AsyncIterator[Kubelet]:
    """What says of every Deployment of the namespace that its Pods are ready."""
    async with running_kubelet(client, namespace) as kubelet:
        yield kubelet


@pytest.fixture
async def answerers() -> AsyncIterator[AnsweringGroups]:
    groups = AnsweringGroups()
    async with answering(groups):
        yield groups


@pytest.fixture
async def azure(answerers: AnsweringGroups) -> Azure:
    return configured(Azure(backing=answerers, clock=Clock(factor=30)))


@pytest.fixture
async def endpoint(azure: Azure, tmp_path: Path) -> AsyncIterator[Endpoint]:
    async with served(azure, tmp_path / "authority") as endpoint:
        yield endpoint


@pytest.fixture
async def place(user: User, endpoint: Endpoint) -> AsyncIterator[Key]:
    """A ComputeTarget for the test's namespace, with credentials and a model to serve."""
    key = Key("", user.namespace)
    await put_place(user, endpoint, key)
    yield key
    with suppress(Gone):
        there = await user.client.get(COMPUTE_TARGETS, key)
        await user.client.delete(COMPUTE_TARGETS, key, uid=there["metadata"]["uid"])
        await user.client.merge_patch(COMPUTE_TARGETS, key, {"metadata": {"finalizers": None}})


@pytest.fixture
async def pool(user: User) -> AsyncIterator[Pool]:
    """A ComputeTarget for FPGA whose nodes and other Pods the test makes."""
    pool = Pool(user)
    await pool.begin()
    yield pool
    await pool.clear()

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from installed_crds import install_crds
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config
from operator_process import User, operator

from berth.kube.client import Api
from berth.kube.connection import Connection
from berth.plan.resources import DEPLOYMENTS, SECRETS, SERVICES, Resource
from berth_sandbox.cluster.control_plane import ControlPlane

REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")


@pytest.fixture
async def user(control_plane_with_controllers: ControlPlane) -> AsyncIterator[User]:
    control_plane = control_plane_with_controllers
    install_crds(control_plane)
    control_plane.kubectl("create", "namespace", "garbage")
    configuration = Configuration()
    load_kube_config(config_file=str(control_plane.kubeconfig), client_configuration=configuration)
    connection = Connection(configuration)
    yield User(Api(connection), "garbage")
    await connection.close()


async def test_what_was_made_goes_with_its_owner(
    user: User, control_plane_with_controllers: ControlPlane, tmp_path: Path
) -> None:
    kubeconfig = control_plane_with_controllers.kubeconfig
    async with operator(kubeconfig, user.namespace, tmp_path / "berth-0.log"):
        await user.apply()
        await user.until(lambda there: there.get("status", {}).get("replicas") == 1, DEPLOYMENTS)
        assert (await user.client.list(REPLICA_SETS, user.namespace)).items
        await user.delete()
        for resource, name in ((DEPLOYMENTS, "iris"), (SERVICES, "iris"), (SECRETS, "iris-keys")):
            await user.until_gone(resource, name)
        await asyncio.sleep(1)
        assert await user.get(DEPLOYMENTS) is None

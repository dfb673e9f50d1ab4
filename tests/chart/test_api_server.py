"""A real API server accepts all that the chart renders, and its roles allow what the operator does."""

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from container_groups import PLACE
from deployments import MODEL
from kubernetes.client import Configuration

from berth.kube.client import Api
from berth.kube.connection import Connection
from berth.plan.observed import FINALIZER
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS, Resource
from berth.targets.finalizer import hold, release
from berth_sandbox.cluster.control_plane import ControlPlane
from berth_sandbox.errors import SandboxError

Kubectl = Callable[..., str]
Render = Callable[..., Any]

ACCOUNT = "system:serviceaccount:berth-system:berth"
FULL = (
    "networkPolicy.enabled=true",
    "priorityClassName=system-cluster-critical",
    "podAnnotations.team=ml",
    "imagePullSecrets[0].name=registry",
)


@pytest.fixture(scope="module")
def namespaces(kubectl: Kubectl) -> None:
    for name in ("berth-system", "team-a", "team-b"):
        kubectl("create", "namespace", name)
    kubectl("label", "namespace", "berth-system", "pod-security.kubernetes.io/enforce=restricted")


@pytest.fixture
def installed(control_plane: ControlPlane, helm: Callable[..., Any], chart: Path, namespaces: None) -> Any:
    """Install the chart with the given `--set` assignments until the test ends."""
    reach = ("--kubeconfig", control_plane.kubeconfig, "--namespace", "berth-system")

    def install(*assignments: str) -> str:
        settings = [word for each in assignments for word in ("--set", each)]
        done = helm("upgrade", "--install", "berth", chart, *reach, *settings)
        assert done.returncode == 0, done.stderr
        assert isinstance(done.stdout, str)
        return done.stdout

    yield install
    helm("uninstall", "berth", *reach)


@pytest.mark.parametrize(
    "assignments", [(), ("watchNamespaces={team-a,team-b}",), ("replicaCount=1", "crds.keep=false"), FULL]
)
def test_server_side_dry_run_accepts_every_object(
    kubectl: Kubectl, render: Render, namespaces: None, assignments: tuple[str, ...]
) -> None:
    manifests = render(*assignments)
    printed = kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifests.text
    )
    assert len(printed.splitlines()) == len(manifests.objects)


def test_the_pod_is_admitted_where_the_restricted_standard_is_enforced(
    kubectl: Kubectl, render: Render, namespaces: None
) -> None:
    template = render().one("Deployment")["spec"]["template"]
    metadata = {**template["metadata"], "name": "operator", "namespace": "berth-system"}
    spec = {**template["spec"], "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    kubectl("create", "serviceaccount", "default", "--namespace=berth-system")
    assert "created" in kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))


def test_notes_name_the_next_step(installed: Any) -> None:
    notes = installed("watchNamespaces={team-a}").partition("NOTES:")[2]
    assert "kubectl explain mdep.spec" in notes
    assert "namespace: team-a" in notes


def test_an_uninstall_leaves_the_resource_and_all_that_users_made_of_it(
    installed: Any, kubectl: Kubectl, helm: Callable[..., Any], control_plane: ControlPlane
) -> None:
    installed()
    helm("uninstall", "berth", "--kubeconfig", control_plane.kubeconfig, "--namespace", "berth-system")
    assert "modeldeployments.berth.dev" in kubectl("get", "crd", "--output=name")


def test_an_upgrade_brings_a_changed_resource(installed: Any, kubectl: Kubectl) -> None:
    installed()
    kubectl(
        "patch", "crd", "modeldeployments.berth.dev", "--type=merge", "--patch",
        '{"spec": {"names": {"categories": ["old"]}}}',
    )  # fmt: skip
    installed("operator.workers=8", "crds.keep=false")
    names = yaml.safe_load(kubectl("get", "crd", "modeldeployments.berth.dev", "--output=yaml"))["spec"][
        "names"
    ]
    assert names["categories"] == ["ml"]


CLUSTER_WIDE: tuple[str, ...] = ()
NAMESPACED = ("watchNamespaces={team-a,team-b}",)

MAY = [
    "watch modeldeployments.berth.dev -n team-a",
    "patch modeldeployments.berth.dev --subresource=status -n team-a",
    "create deployments.apps -n team-a",
    "patch secrets -n team-b",
    "create events.events.k8s.io -n team-a",
    "update leases.coordination.k8s.io/berth-leader -n berth-system",
]
MAY_WHERE_ALL_IS_SERVED = [
    "create deployments.apps -n kube-system",
    "get secrets -n kube-system",
    "watch modeldeployments.berth.dev -n kube-system",
    "patch modeldeployments.berth.dev -n team-a",
    "get configmaps -n team-a",
]
MAY_NOT = [
    "delete modeldeployments.berth.dev -n team-a",
    "list configmaps -n team-a",
    "create pods -n team-a",
    "update leases.coordination.k8s.io/other -n berth-system",
    "create leases.coordination.k8s.io -n team-a",
    "create clusterroles.rbac.authorization.k8s.io",
]


@pytest.mark.parametrize(
    ("assignments", "allowed"),
    [(CLUSTER_WIDE, [*MAY, *MAY_WHERE_ALL_IS_SERVED]), (NAMESPACED, MAY)],
    ids=["cluster-wide", "namespaced"],
)
def test_the_account_may_do_its_work_and_no_more(
    installed: Any, kubectl: Kubectl, assignments: tuple[str, ...], allowed: list[str]
) -> None:
    installed(*assignments)
    wait_until_discovered(kubectl, "modeldeployments.berth.dev")
    questions = [*MAY, *MAY_WHERE_ALL_IS_SERVED, *MAY_NOT]
    assert [each for each in questions if may(kubectl, each)] == allowed


@pytest.fixture
async def operators_client(
    control_plane: ControlPlane, installed: Any, kubectl: Kubectl
) -> AsyncIterator[Api]:
    """The operator's own client, with the account and the roles that the chart gives it."""
    installed()
    configuration = Configuration()
    configuration.host, configuration.ssl_ca_cert = control_plane.url, str(control_plane.authority)
    token = kubectl("create", "token", "berth", "--namespace=berth-system").strip()
    configuration.api_key["authorization"] = f"Bearer {token}"
    connection = Connection(configuration)
    yield Api(connection)
    await connection.close()


@pytest.mark.parametrize(
    ("resource", "namespace", "spec"),
    [
        (MODEL_DEPLOYMENTS, "team-a", {"target": "ACI", "model": MODEL, "computeTargetRef": {"name": "dev"}}),
        (COMPUTE_TARGETS, "", {"kind": "ACI", "aci": PLACE}),
    ],
    ids=["ModelDeployment", "ComputeTarget"],
)
async def test_the_operator_may_hold_and_release_what_belongs_to_something_outside(
    operators_client: Api, kubectl: Kubectl, resource: Resource, namespace: str, spec: dict[str, Any]
) -> None:
    wait_until_discovered(kubectl, f"{resource.plural}.berth.dev")
    reach = [f"--namespace={namespace}"] if namespace else []
    named = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "iris"}}
    kubectl("apply", *reach, "-f", "-", stdin=yaml.safe_dump(named | {"spec": spec}))

    def read() -> SimpleNamespace:
        found = yaml.safe_load(kubectl("get", resource.plural, "iris", *reach, "--output=yaml"))
        return SimpleNamespace(**{"namespace": namespace, "finalizers": ()} | found["metadata"])

    await hold(operators_client, resource, read())
    assert read().finalizers == [FINALIZER]
    kubectl("delete", resource.plural, "iris", *reach, "--wait=false")
    assert read().deletionTimestamp
    await release(operators_client, resource, read())
    with pytest.raises(SandboxError, match="NotFound"):
        read()


def may(kubectl: Kubectl, question: str) -> bool:
    # Without --quiet kubectl warns of unknown resources and still answers; a typo must not pass as "no".
    assert question.split()[1].split("/", maxsplit=1)[0] in known_resources(kubectl)
    try:
        return "yes" in kubectl("auth", "can-i", f"--as={ACCOUNT}", *question.split())
    except SandboxError:
        return False


def known_resources(kubectl: Kubectl) -> list[str]:
    return kubectl("api-resources", "--output=name").split()


def wait_until_discovered(kubectl: Kubectl, resource: str) -> None:
    """Discovery follows an installed definition with a delay."""
    deadline = time.monotonic() + 30
    while resource not in known_resources(kubectl):
        assert time.monotonic() < deadline, f"{resource} is not discovered"
        time.sleep(0.2)

"""The emulated Azure in a cluster is the one that the ComputeTarget of examples/ speaks of."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_sandbox import emulator, images, plant
from berth_sandbox.access import Access
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.errors import SandboxError

Object = dict[str, Any]

MODEL = b"\x08\x01"


@dataclass(frozen=True)
class Cluster(Access):
    """A cluster that keeps what is applied, by kind and name."""

    kubeconfig: Path = Path()
    programs: tuple[Path, Path] = (Path(), Path())
    objects: dict[str, Object] = field(default_factory=dict)
    failing: str = ""

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        verb = str(arguments[0])
        if verb == self.failing:
            raise SandboxError(f"{verb} failed")
        if verb == "apply":
            listed = json.loads(stdin or "")["items"]
            self.objects.update({f"{each['kind']}/{each['metadata']['name']}": each for each in listed})
        if verb == "get" and (found := self.objects.get(f"Secret/{emulator.SETTINGS}")):
            encoded = {
                name: base64.b64encode(value.encode()).decode() for name, value in found["stringData"].items()
            }
            return json.dumps({"data": encoded})
        return "the port is taken" if verb == "logs" else ""


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    emulator.install(made, MODEL)
    return made


def place(cluster: Cluster) -> Object:
    spec: Object = cluster.objects["ComputeTarget/dev-subscription"]["spec"]
    return spec


def token(azure: Azure, given: Object) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": given["clientId"],
        "client_secret": emulator.CLIENT_SECRET,
        "scope": "https://management.azure.com/.default",
    }
    issued: str = azure.directory.token(given["tenantId"], form)["access_token"]
    return issued


def annotations(cluster: Cluster) -> Object:
    found: Object = cluster.objects["Deployment/azure"]["spec"]["template"]["metadata"]["annotations"]
    return found


def test_the_demos_compute_target_is_the_users_but_for_the_cloud(cluster: Cluster) -> None:
    example = yaml.safe_load(emulator.PLACE.read_text())
    cloud = place(cluster).pop("cloud")
    assert place(cluster) == example["spec"]
    assert (cloud["name"], cloud["resourceManager"]) == ("Custom", "https://azure.azure.svc")


def test_the_emulator_knows_who_the_compute_target_says_that_berth_is(cluster: Cluster) -> None:
    azure = Azure()
    configure(azure, json.loads(cluster.objects["Secret/settings"]["stringData"]["configuration.json"]))
    given, aci = place(cluster)["credentials"], place(cluster)["aci"]
    assert token(azure, given)
    assert cluster.objects["Secret/azure"]["stringData"] == {"clientSecret": emulator.CLIENT_SECRET}
    assert azure.service.subscription(aci["subscriptionId"]).has(aci["resourceGroup"])
    assert cluster.objects["Secret/azure"]["metadata"]["name"] == given["secretRef"]["name"]


def test_a_token_is_good_for_the_next_emulator_too(cluster: Cluster) -> None:
    first, second = Azure(), Azure()
    for azure in (first, second):
        configure(azure, json.loads(cluster.objects["Secret/settings"]["stringData"]["configuration.json"]))
    given = place(cluster)["credentials"]
    bearer = f"Bearer {token(first, given)}"
    assert second.directory.principal(bearer).client_id == given["clientId"]


def test_the_certificate_is_for_the_name_by_which_berth_calls(cluster: Cluster) -> None:
    (container,) = cluster.objects["Deployment/azure"]["spec"]["template"]["spec"]["containers"]
    assert f"--name={emulator.URL.removeprefix('https://')}" in container["args"]
    assert container["image"] == images.SANDBOX.reference
    settings = cluster.objects["Secret/settings"]["stringData"]
    assert place(cluster)["cloud"]["caBundle"] == settings["ca.pem"]


def test_the_hub_of_the_demo_is_the_users_but_for_where_it_is(cluster: Cluster) -> None:
    example = yaml.safe_load(plant.PLACE.read_text())["spec"]
    made: Object = cluster.objects["ComputeTarget/plants"]["spec"]
    cloud, host = made.pop("cloud"), made["iotEdge"].pop("hostName")
    del example["iotEdge"]["hostName"]
    assert made == example
    assert cloud["caBundle"] == cluster.objects["Secret/settings"]["stringData"]["ca.pem"]
    (container,) = cluster.objects["Deployment/azure"]["spec"]["template"]["spec"]["containers"]
    assert f"--name={host}" in container["args"]
    assert host == f"{cluster.objects['Service/plants']['metadata']['name']}.azure.svc"
    secret = cluster.objects[f"Secret/{made['iotEdge']['connectionStringRef']['name']}"]
    assert secret["stringData"] == {"connectionString": plant.connection_string()}


def test_devices_prepare_their_volumes_by_the_image_that_is_there(cluster: Cluster) -> None:
    (container,) = cluster.objects["Deployment/azure"]["spec"]["template"]["spec"]["containers"]
    assert f"--helper={images.SANDBOX.reference}" in container["args"]


def test_the_model_is_what_the_website_has(cluster: Cluster) -> None:
    files: Object = cluster.objects["ConfigMap/website"]["binaryData"]
    assert [base64.b64decode(each) for each in files.values()] == [MODEL]


def test_again_nothing_changes_and_no_pod_is_made_anew(cluster: Cluster) -> None:
    before = json.dumps(cluster.objects)
    emulator.install(cluster, MODEL)
    assert json.dumps(cluster.objects) == before


def test_new_settings_make_a_new_pod(cluster: Cluster) -> None:
    before = annotations(cluster)
    del cluster.objects["Secret/settings"]
    emulator.install(cluster, MODEL)
    assert annotations(cluster) != before


def test_an_emulator_that_does_not_start_is_told_with_its_last_words() -> None:
    with pytest.raises(SandboxError, match=r"(?s)rollout failed.*the port is taken"):
        emulator.install(Cluster(failing="rollout"), MODEL)


def test_a_group_without_a_pod_is_told(cluster: Cluster) -> None:
    cluster.objects.clear()
    status = {"aci": {"ip": "10.0.0.7", "resourceId": "groups/iris"}, "scoringUri": "http://iris/score"}
    with (
        pytest.raises(SandboxError, match=r"No Pod has the address of .*groups/iris"),
        emulator.forwarded_group(cluster, {"status": status}),
    ):
        pass

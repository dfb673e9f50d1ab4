"""The emulated hub of the demo is the one that examples/ speak of."""

from pathlib import Path

import pytest
import yaml

from berth_sandbox import emulator, folders, plant
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.iot_hub.modules import RuntimeStatus

EXAMPLE = yaml.safe_load((folders.REPOSITORY / "examples" / "iot-edge.yaml").read_text())["spec"]


@pytest.fixture
def hub() -> Hub:
    azure = Azure()
    azure.clock.run_at(0)
    configure(azure, {"hubs": {plant.HUB: plant.configuration()}})
    return azure.hubs.hub(plant.HUB)


def test_the_example_reaches_every_device_upon_a_base(hub: Hub) -> None:
    edge = EXAMPLE["iotEdge"]
    module = {
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "settings": {"image": "scoring:1", "createOptions": "{}"},
        "version": "1",
    }
    name = edge["module"]["name"]
    content = {"$edgeAgent": {f"properties.desired.modules.{name}": module}}
    body = {"id": "iris", "content": {"modulesContent": content}, "priority": 10}
    hub.put_configuration("iris", {**body, "targetCondition": edge["targetCondition"]}, None)
    hub.clock.advance(120)
    for device in plant.DEVICES:
        reported = hub.module_twin(device, "$edgeAgent")["properties"]["reported"]
        assert reported["modules"][plant.MODULE]["runtimeStatus"] == RuntimeStatus.RUNNING


def test_the_camera_and_the_results_have_the_examples_ways() -> None:
    routes = {route["name"]: route for route in EXAMPLE["iotEdge"]["routes"]}
    assert routes["camera"]["from"] == "/messages/modules/camera/outputs/features"
    assert routes["results"]["from"] == f"/messages/modules/{plant.MODULE}/outputs/amlOutput"
    assert EXAMPLE["iotEdge"]["module"]["name"] == plant.MODULE


def test_the_model_is_where_the_example_says() -> None:
    (deployment,) = (each for each in _manifest() if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (item,) = next(volume for volume in pod["volumes"] if volume["name"] == "website")["configMap"]["items"]
    assert EXAMPLE["model"]["uri"] == f"https://{emulator.WEBSITE}/{item['path']}"
    assert f"--name={emulator.WEBSITE}" in str(pod["containers"][0]["args"])
    mount = next(each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "website")
    assert mount["mountPath"] == f"/srv/{emulator.WEBSITE}"


def test_a_gateway_leads_to_where_its_device_listens(hub: Hub) -> None:
    services = {each["metadata"]["name"]: each for each in plant.gateways()}
    assert set(services) == set(plant.DEVICES) == set(hub.edges)
    listening = [port["targetPort"] for service in services.values() for port in service["spec"]["ports"]]
    assert len(set(listening)) == 2 * len(plant.DEVICES)
    for device in plant.DEVICES:
        gateway = plant.configuration()["gateways"][device]
        ports = {port["name"]: port["targetPort"] for port in services[device]["spec"]["ports"]}
        assert ports == {"hub": gateway["hub_port"], "workload": gateway["workload_port"]}


def test_the_compute_target_of_the_example_is_the_hub() -> None:
    place = yaml.safe_load(plant.PLACE.read_text())
    assert place["metadata"]["name"] == EXAMPLE["computeTargetRef"]["name"]
    assert place["spec"]["kind"] == "IoTEdge"
    assert f"HostName={plant.HOST};" in plant.connection_string()


def _manifest() -> list[dict[str, object]]:
    return list(yaml.safe_load_all(Path(emulator.MANIFEST).read_text()))

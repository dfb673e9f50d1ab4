"""What an agent is told of a module, as the Pod and Secrets that run it."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.backing import Registry
from berth_sandbox.azure.devices.objects import CONTAINER, FOLDER, ModuleObjects, Surroundings
from berth_sandbox.azure.devices.options import Bind, Options, OptionsError

Object = dict[str, Any]

BERTHS = {
    "Cmd": ["run"],
    "ExposedPorts": {"5001/tcp": {}},
    "HostConfig": {
        "Binds": ["berth-iris:/var/azureml-app"],
        "CapDrop": ["ALL"],
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges"],
        "Tmpfs": {"/tmp": ""},
    },
}
KEY = {"IOTEDGE_DEVICEID": "line-1"}


def settings(options: Object, piece: int = 512) -> Object:
    text = json.dumps(options)
    parts = [text[start : start + piece] for start in range(0, len(text), piece)]
    return {f"createOptions{number:02d}" if number else "createOptions": p for number, p in enumerate(parts)}


def objects(options: Object, device: str = "line-1", **spec: Any) -> ModuleObjects:
    told = {"settings": {"image": "scoring:1", **settings(options)}, **spec}
    surroundings = Surroundings("helper:1", "PEM", (("10.0.0.1", "example.org"),))
    registries = (Registry("team.azurecr.io", "ann", "s3cret"),)
    return ModuleObjects(device, "Iris_Edge", told, KEY, registries, surroundings, "5eed")


def spec(made: ModuleObjects) -> Object:
    found: Object = made.pod()["spec"]
    return found


def container(made: ModuleObjects) -> Object:
    (found,) = spec(made)["containers"]
    assert found["name"] == CONTAINER
    return dict(found)


def contents(made: ModuleObjects) -> dict[str, dict[str, str]]:
    return {
        secret["metadata"]["name"]: {
            key: base64.b64decode(value).decode() for key, value in secret["data"].items()
        }
        for secret in made.secrets()
    }


def test_what_berth_asks_of_docker_is_what_the_pod_gets() -> None:
    made = container(objects(BERTHS))
    assert (made["image"], made["command"], made["args"]) == ("scoring:1", [], ["run"])
    assert made["ports"] == [{"containerPort": 5001}]
    assert made["securityContext"] == {
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "allowPrivilegeEscalation": False,
    }
    assert {"/var/azureml-app", "/tmp"} < {mount["mountPath"] for mount in made["volumeMounts"]}


def test_a_volume_is_the_devices_own_and_outlives_the_pod() -> None:
    def paths(device: str) -> list[str]:
        volumes = spec(objects(BERTHS, device))["volumes"]
        return [volume["hostPath"]["path"] for volume in volumes if "hostPath" in volume]

    assert paths("line-1") == [f"{FOLDER}/line-1/volumes/berth-iris"]
    assert paths("line-2") == [f"{FOLDER}/line-2/volumes/berth-iris"]


def test_a_volume_is_opened_to_the_modules_user_before_it_starts() -> None:
    (opening,) = spec(objects(BERTHS))["initContainers"]
    (mount,) = opening["volumeMounts"]
    assert opening["image"] == "helper:1"
    assert opening["command"][-1] == mount["mountPath"]


def test_a_folder_of_the_host_is_one_of_the_device_and_stays_as_it_is() -> None:
    made = spec(objects({"HostConfig": {"Binds": ["/etc/models:/models:ro"]}}))
    assert f"{FOLDER}/line-1/files/etc/models" in [
        volume["hostPath"]["path"] for volume in made["volumes"] if "hostPath" in volume
    ]
    assert made["initContainers"] == []
    assert container(objects({"HostConfig": {"Binds": ["/a:/models:ro"]}}))["volumeMounts"][0]["readOnly"]


def test_the_agents_variables_win_over_the_modules_and_those_over_dockers() -> None:
    made = objects(
        {"Env": ["COLOUR=red", "SIZE=1"]},
        env={"COLOUR": {"value": "blue"}, "IOTEDGE_DEVICEID": {"value": "another"}},
    )
    assert contents(made)[f"{made.name}-env"] == {
        "COLOUR": "blue",
        "SIZE": "1",
        "IOTEDGE_DEVICEID": "line-1",
        "SSL_CERT_FILE": "/run/azure-devices/ca.pem",
    }


def test_a_module_trusts_and_finds_what_is_around_it() -> None:
    made = objects(BERTHS)
    assert spec(made)["hostAliases"] == [{"ip": "10.0.0.1", "hostnames": ["example.org"]}]
    assert contents(made)[f"{made.name}-trust"] == {"ca.pem": "PEM"}


def test_the_devices_registries_are_known_to_the_kubelet() -> None:
    made = objects({})
    (name,) = (each["name"] for each in spec(made)["imagePullSecrets"])
    (file,) = contents(made)[name].values()
    assert json.loads(file) == {"auths": {"team.azurecr.io": {"username": "ann", "password": "s3cret"}}}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("always", "Always"), ("on-unhealthy", "Always"), ("on-failure", "OnFailure"), ("never", "Never")],
)
def test_restart_policies(policy: str, expected: str) -> None:
    assert spec(objects({}, restartPolicy=policy))["restartPolicy"] == expected


def test_memory_has_dockers_limit() -> None:
    assert container(objects({"HostConfig": {"Memory": 5_000_000}}))["resources"]["limits"] == {
        "memory": "5000000"
    }


@given(st.dictionaries(st.from_regex("[A-Z]{1,9}", fullmatch=True), st.text("abc=ü", max_size=700)))
def test_options_in_pieces_are_read_as_a_whole(variables: dict[str, str]) -> None:
    asked = {"Env": [f"{name}={value}" for name, value in variables.items()]}
    assert Options.of(settings(asked)).environment == variables


@pytest.mark.parametrize("text", ["{", "[]", '{"HostConfig": {"Binds": ["no-path"]}}'])
def test_options_that_docker_would_not_take_are_refused(text: str) -> None:
    with pytest.raises(OptionsError):
        Options.of({"createOptions": text})


def test_a_bind_may_have_several_modes() -> None:
    assert Bind.from_text("models:/m:z,ro") == Bind("models", "/m", read_only=True)
    assert Bind.from_text("models:/m") == Bind("models", "/m", read_only=False)


@given(st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True))
def test_any_device_and_module_make_a_name_that_a_pod_can_have(name: str) -> None:
    made = ModuleObjects(name, name, {"settings": {}}, {}, (), Surroundings("helper:1"), "5eed").name
    assert len(made) <= 63
    assert made.replace("-", "").isalnum()
    assert made == made.lower()

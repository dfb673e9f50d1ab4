"""What a container group describes, as the Pod and Secrets that run it."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.launch import launch
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.pods.objects import GROUP, ID, START, Objects

Object = dict[str, Any]

ID_OF_GROUP = GroupId("sub", "models", "iris")
MODEL = {"name": "model", "secret": {"model.onnx": base64.b64encode(b"\x00\x01").decode()}}
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)


def container(name: str = "scoring", **properties: Any) -> Object:
    size = {"requests": {"cpu": 1.0, "memoryInGB": 1.5}}
    return {"name": name, "properties": {"image": "scoring:1", "resources": size, **properties}}


def objects(*containers: Object, **properties: Any) -> Objects:
    described = {"containers": list(containers or (container(),)), **properties}
    return Objects(launch(ID_OF_GROUP, {"properties": described}), "5eed")


def first(made: Objects) -> Object:
    described: Object = made.pod()["spec"]["containers"][0]
    return described


def contents(made: Objects) -> dict[str, dict[str, bytes]]:
    return {
        secret["metadata"]["name"]: {key: base64.b64decode(value) for key, value in secret["data"].items()}
        for secret in made.secrets()
    }


def test_a_container_is_as_it_was_described() -> None:
    described = first(
        objects(
            container(
                command=["serve", "--fast"],
                ports=[{"port": 80}],
                volumeMounts=[{"name": "model", "mountPath": "/model", "readOnly": True}],
            ),
            volumes=[MODEL],
        )
    )
    assert (described["name"], described["image"]) == ("scoring", "scoring:1")
    assert described["command"] == ["serve", "--fast"]
    assert described["ports"] == [{"containerPort": 80}]
    assert described["volumeMounts"] == [{"name": "model", "mountPath": "/model", "readOnly": True}]


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_the_restart_policy_is_kept(policy: str) -> None:
    assert objects(restartPolicy=policy).pod()["spec"]["restartPolicy"] == policy


def test_init_containers_come_first_and_have_no_size() -> None:
    fetch = {"name": "fetch", "properties": {"image": "scoring:1", "command": ["fetch"]}}
    (described,) = objects(initContainers=[fetch]).pod()["spec"]["initContainers"]
    assert (described["command"], described["resources"]) == (["fetch"], {})


def test_a_small_node_is_asked_for_a_tenth_and_memory_stays_limited() -> None:
    resources = first(objects())["resources"]
    assert resources["requests"] == {"cpu": "100m", "memory": "150M"}
    assert resources["limits"] == {"memory": "1500M"}


@given(st.dictionaries(KEYS, st.text(max_size=20), min_size=1, max_size=5))
def test_no_value_of_a_variable_is_seen_in_the_pod(values: dict[str, str]) -> None:
    variables = [{"name": name, "secureValue": f"hidden-{value}"} for name, value in values.items()]
    made = objects(container(environmentVariables=variables))
    (reference,) = first(made)["envFrom"]
    stored = contents(made)[reference["secretRef"]["name"]]
    assert stored == {name: f"hidden-{value}".encode() for name, value in values.items()}
    assert "hidden-" not in json.dumps(made.pod())


def test_files_reach_the_pod_as_a_secret() -> None:
    made = objects(volumes=[MODEL, {"name": "scratch", "emptyDir": {}}])
    model, scratch = made.pod()["spec"]["volumes"]
    assert contents(made)[model["secret"]["secretName"]] == {"model.onnx": b"\x00\x01"}
    assert scratch == {"name": "scratch", "emptyDir": {}}


def test_a_share_that_no_pod_can_mount_is_refused() -> None:
    share = {"name": "share", "azureFile": {"shareName": "models", "storageAccountName": "team"}}
    with pytest.raises(ValueError, match="Volume share is of a kind"):
        objects(volumes=[share]).pod()


def test_passwords_of_registries_are_for_the_kubelet_alone() -> None:
    registries = [
        {"server": "team.azurecr.io", "identity": "/subscriptions/s/puller"},
        {"server": "registry.test", "username": "me", "password": "pull"},
    ]
    made = objects(imageRegistryCredentials=registries)
    (reference,) = made.pod()["spec"]["imagePullSecrets"]
    (secret,) = made.secrets()
    assert secret["metadata"]["name"] == reference["name"]
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    assert auths == {"registry.test": {"username": "me", "password": "pull"}}


def test_probes_keep_their_numbers_and_kubernetes_writes_the_scheme_in_capitals() -> None:
    get = {"path": "/readyz", "port": 5001, "scheme": "http"}
    live = {"exec": {"command": ["true"]}, "initialDelaySeconds": 0, "failureThreshold": 4}
    described = first(
        objects(container(readinessProbe={"httpGet": get, "periodSeconds": 5}, livenessProbe=live))
    )
    expected = {"path": "/readyz", "port": 5001, "scheme": "HTTP"}
    assert described["readinessProbe"] == {"httpGet": expected, "periodSeconds": 5}
    assert described["livenessProbe"] == {"exec": {"command": ["true"]}, "failureThreshold": 4}


def test_the_user_is_who_the_group_says() -> None:
    context = {"runAsUser": 0, "allowPrivilegeEscalation": False, "seccompProfile": "e30="}
    described = first(objects(container(securityContext=context)))
    assert described["securityContext"] == {"runAsUser": 0, "allowPrivilegeEscalation": False}


def test_everything_of_one_start_is_found_by_its_label() -> None:
    made = objects(container(environmentVariables=[{"name": "A", "value": "b"}]), volumes=[MODEL])
    every = [made.pod(), *made.secrets()]
    assert len({each["metadata"]["name"] for each in every}) == 3
    for each in every:
        assert each["metadata"]["labels"] == {GROUP: "iris", START: "5eed"}
        assert each["metadata"]["annotations"] == {ID: str(ID_OF_GROUP)}


def test_a_group_gets_no_rights_in_the_cluster_and_no_addresses_of_its_services() -> None:
    spec = objects().pod()["spec"]
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)

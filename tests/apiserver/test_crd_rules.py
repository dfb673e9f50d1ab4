"""Every rule between fields: what breaks it is refused with its sentence, and the remedy is accepted."""

from collections.abc import Iterator
from typing import Any

import pytest
from api_requests import MODEL_DEPLOYMENTS, ApiServer, manifest
from manifests import BASES, DIGEST, FLEET, MODEL, OWN_IMAGE, SCORER, SUBNET, spec_with
from schema_walk import Schema, complete, fields
from spec_walk import ROOT, SPEC

from berth.api.capabilities import CAPABILITIES

IMMUTABLE = "target cannot be changed: create another ModelDeployment"
IMMUTABLE_PLACE = "computeTargetRef cannot be changed: create another ModelDeployment"
NAME = "metadata.name must start with a letter and hold only a-z, 0-9 and '-', at most 63 characters"

# A part of the rule's message; the target; what breaks the rule; what mends it.
Example = tuple[str, str, dict[str, Any], dict[str, Any]]

TO_INPUT = {
    "from": "/messages/modules/camera/outputs/frames",
    "into": 'BrokeredEndpoint("/modules/scorer/inputs/amlInput")',
}


def site(condition: str) -> dict[str, Any]:
    return {"iotEdge.targetCondition": condition}


def metric(name: str) -> dict[str, Any]:
    return {"iotEdge.metrics": [{"name": name, "query": "SELECT deviceId FROM devices"}]}


def route(fields: dict[str, Any]) -> dict[str, Any]:
    return SCORER | {"iotEdge.routes": [{"name": "r"} | fields]}


RULES: list[Example] = [
    ("give either model or models, not both", "AKS", {"models": [MODEL]}, {"model": None}),
    ("give a model by model or models", "AKS", {"model": None}, {"image": "team/scorer:1"}),
    ("give a model by model or models", "ACI", {"model": None}, {"models": [MODEL]}),
    ("give model.format", "AKS", {"model.format": None}, {"model.format": "onnx"}),
    ("give model.format", "AKS", {"model.format": None}, {"code.uri": "configmap://code"}),
    ("give model.format", "AKS", {"model.format": None}, {"image": "team/scorer:1"}),
    (
        "give each a format",
        "AKS",
        {"model": None, "models": [MODEL, {"name": "b", "uri": MODEL["uri"]}]},
        {"code.uri": "configmap://code"},
    ),
    ("imageServer tells of image", "AKS", {"imageServer": "Berth"}, {"image": "team/scorer:1"}),
    ("imageServer tells of image", "AKS", {"imageServer": "Own"}, {"imageServer": None}),
    ("only Berth's server checks keys", "AKS", OWN_IMAGE | {"auth.mode": "Key"}, {"imageServer": "Berth"}),
    ("only Berth's server checks keys", "AKS", OWN_IMAGE | {"auth.mode": "Key"}, {"auth.mode": "None"}),
    ("only Berth's server checks keys", "ACI", OWN_IMAGE | {"auth.mode": "Key"}, {"auth": None}),
    (
        "only Berth's server holds the limits",
        "AKS",
        OWN_IMAGE | {"requests.timeoutMilliseconds": 5},
        {"imageServer": "Berth"},
    ),
    (
        "only Berth's server holds the limits",
        "AKS",
        OWN_IMAGE | {"imageServer": "Own", "requests.maxConcurrentPerReplica": 2},
        {"requests": None},
    ),
    (
        "target ACI needs computeTargetRef",
        "ACI",
        {"computeTargetRef": None},
        {"computeTargetRef.name": "dev"},
    ),
    (
        "on ACI the name of an environment variable",
        "ACI",
        {"env": [{"name": "azure.client-id", "value": "1"}]},
        {"env": [{"name": "AZURE_CLIENT_ID", "value": "1"}]},
    ),
    ("target IoTEdge needs iotEdge", "IoTEdge", {"iotEdge": None}, {"iotEdge": {"deviceId": "press-7"}}),
    (
        "target FPGA needs computeTargetRef",
        "FPGA",
        {"computeTargetRef": None, "fpga.weights.uri": MODEL["uri"]},
        {"fpga.device.resourceName": "example.org/card"},
    ),
    (
        "fpga.progressDeadlineSeconds (default 600) must be greater",
        "FPGA",
        {"fpga.progressDeadlineSeconds": 310},
        {"fpga.progressDeadlineSeconds": 311},
    ),
    (
        "fpga.progressDeadlineSeconds (default 600) must be greater",
        "FPGA",
        {"probes.startup.budgetSeconds": 600},
        {"fpga.progressDeadlineSeconds": 601},
    ),
    (
        "preemption needs priorityClassName",
        "FPGA",
        {"fpga.preemption": "PreemptLowerPriority"},
        {"fpga.priorityClassName": "latency"},
    ),
    ("target FPGA needs fpga.featurizer", "FPGA", {"fpga": {}}, {"image": "team/scorer:1"}),
    ("target FPGA needs fpga.featurizer", "FPGA", {"fpga": None}, {"fpga": {"featurizer": "VGG16"}}),
    (
        "target FPGA needs fpga.featurizer",
        "FPGA",
        {"fpga": {}, "image": "team/scorer:1", "imageServer": "Berth"},
        {"fpga": {"featurizer": "VGG16"}},
    ),
    ("no classifier follows fpga.featurizer SSDVGG", "FPGA", {"fpga.featurizer": "SSDVGG"}, {"model": None}),
    (
        "aks.progressDeadlineSeconds (default 600) must be greater",
        "AKS",
        {"probes.startup.budgetSeconds": 600},
        {"aks.progressDeadlineSeconds": 601},
    ),
    (
        "aks.progressDeadlineSeconds (default 600) must be greater",
        "AKS",
        {"aks.progressDeadlineSeconds": 310},
        {"probes.startup.budgetSeconds": 309},
    ),
    *(
        (
            "credentialsSecretRef is for URIs of https, abfss, abfs, wasbs: remove it",
            "AKS",
            {"model.uri": "configmap://iris", "model.credentialsSecretRef": {"name": "blob"}},
            {"model.uri": uri},
        )
        for uri in (
            "https://example.org/iris.onnx",
            "abfss://models@account.dfs.core.windows.net/iris",
            "abfs://models@account.dfs.core.windows.net/iris",
            "wasbs://models@account.blob.core.windows.net/iris",
        )
    ),
    (
        "credentialsSecretRef is for URIs of https",
        "ACI",
        {"code": {"uri": "file:///https://a/b", "credentialsSecretRef": {"name": "blob"}}},
        {"code": {"uri": "file:///https://a/b"}},
    ),
    (
        "only Berth's server ends TLS",
        "ACI",
        {"image": "team/scorer:1", "tls": {"selfSigned": True}},
        {"imageServer": "Berth"},
    ),
    (
        "give either secretRef or selfSigned: true in tls",
        "ACI",
        {"tls": {"selfSigned": True, "secretRef": {"name": "cert"}}},
        {"tls.selfSigned": False},
    ),
    (
        "give either secretRef or selfSigned: true in tls",
        "ACI",
        {"tls": {"hostname": "iris.example.org"}},
        {"tls.selfSigned": True},
    ),
    (
        "valueFrom takes exactly one",
        "AKS",
        {"env": [{"name": "A", "valueFrom": {}}]},
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
    ),
    (
        "valueFrom takes exactly one",
        "AKS",
        {
            "env[].valueFrom.secretKeyRef": {"name": "a", "key": "b"},
            "env[].valueFrom.configMapKeyRef": {"name": "a", "key": "b"},
            "env[].name": "A",
        },
        {"env[].valueFrom.secretKeyRef": None},
    ),
    (
        "an environment variable takes either value or valueFrom",
        "AKS",
        {"env": [{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]},
        {"env[].value": None},
    ),
    ("are set by Berth", "AKS", {"env": [{"name": "AZUREML_MODEL_DIR"}]}, {"env[].name": "MODEL_DIR"}),
    ("are set by Berth", "AKS", {"env": [{"name": "BERTH_SCORING_CONFIG"}]}, {"env[].name": "MY_CONFIG"}),
    ("cpu must be greater than 0", "AKS", {"resources.requests.cpu": 0}, {"resources.requests.cpu": "1m"}),
    ("memory must be greater than 0", "AKS", {"resources.requests.memory": "0"}, {"resources": None}),
    (
        "limits.cpu must not be less than requests.cpu",
        "AKS",
        {"resources.limits": {"cpu": "99m"}},
        {"resources.requests.cpu": "0.099"},
    ),
    (
        "limits.memory must not be less than requests.memory",
        "AKS",
        {"resources.limits": {"memory": "1Gi"}, "resources.requests.memory": "2G"},
        {"resources.limits": {"memory": 2000000000}},
    ),
    (
        "replicas and maxReplicas exclude each other",
        "AKS",
        {"scaling": {"replicas": 2, "maxReplicas": 3}},
        {"scaling.replicas": None},
    ),
    (
        "minReplicas must not be greater than maxReplicas",
        "AKS",
        {"scaling": {"minReplicas": 4, "maxReplicas": 3}},
        {"scaling.maxReplicas": 4},
    ),
    ("need maxReplicas", "AKS", {"scaling.minReplicas": 2}, {"scaling.maxReplicas": 2}),
    ("need maxReplicas", "AKS", {"scaling.targetUtilizationPercent": 50}, {"scaling.maxReplicas": 2}),
    (
        "a liveness probe takes no successThreshold but 1",
        "AKS",
        {"probes.liveness.successThreshold": 2},
        {"probes.liveness.successThreshold": 1},
    ),
    (
        "internal needs type LoadBalancer",
        "AKS",
        {"aks.expose.internal": True},
        {"aks.expose.type": "LoadBalancer"},
    ),
    (
        "a toleration with operator Exists takes no value",
        "AKS",
        {"aks.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        {"aks.tolerations[].operator": "Equal"},
    ),
    (
        "a toleration without key needs operator Exists",
        "AKS",
        {"aks.tolerations": [{"effect": "NoSchedule"}]},
        {"aks.tolerations[].operator": "Exists"},
    ),
    (
        "tolerationSeconds needs effect NoExecute",
        "FPGA",
        {"fpga.tolerations": [{"key": "a", "tolerationSeconds": 3}]},
        {"fpga.tolerations[].effect": "NoExecute"},
    ),
    (
        "key of a toleration must be [PREFIX/]NAME",
        "AKS",
        {"aks.tolerations": [{"key": "gpu type", "operator": "Exists"}]},
        {"aks.tolerations[].key": "nvidia.com/gpu"},
    ),
    (
        "a key of nodeSelector must be [PREFIX/]NAME",
        "AKS",
        {"aks.nodeSelector": {"agentpool": "gpu", "Example.org/pool": "a"}},
        {"aks.nodeSelector": {"agentpool": "gpu", "kubernetes.io/arch": "amd64", "Pool_1": ""}},
    ),
    (
        "a key of nodeSelector must be [PREFIX/]NAME",
        "FPGA",
        {"fpga.nodeSelector": {"a/b/c": "gpu"}},
        {"fpga.nodeSelector": {"b/c": "gpu"}},
    ),
    (
        "a value of nodeSelector must be empty, or begin and end with a letter or digit",
        "AKS",
        {"aks.nodeSelector": {"pool": "large GPU"}},
        {"aks.nodeSelector": {"pool": "large-GPU"}},
    ),
    (
        "a key of annotations must be [PREFIX/]NAME",
        "AKS",
        {"aks.expose.annotations": {"-idle-timeout": "4"}},
        {"aks.expose.annotations": {"service.beta.kubernetes.io/azure-load-balancer-tcp-idle-timeout": "4"}},
    ),
    (
        "a key of annotations must be [PREFIX/]NAME",
        "AKS",
        {"aks.expose.annotations": {"a" * 64: ""}},
        {"aks.expose.annotations": {"a" * 63: ""}},
    ),
    (
        "limits.ephemeral-storage must not be less than requests.ephemeral-storage",
        "AKS",
        {"resources.limits": {"ephemeral-storage": "1G"}, "resources.requests.ephemeral-storage": "2G"},
        {"resources.requests.ephemeral-storage": None},
    ),
    (
        "must be whole numbers",
        "AKS",
        {"resources.limits": {"nvidia.com/gpu": "500m"}},
        {"resources.limits": {"nvidia.com/gpu": "2", "cpu": "500m"}},
    ),
    (
        "limits takes cpu, memory",
        "AKS",
        {"resources.limits": {"gpu": 1}},
        {"resources.limits": {"nvidia.com/gpu": 1, "hugepages-2Mi": "4Mi", "memory": "1Gi"}},
    ),
    (
        "dnsNameLabel names a public address",
        "ACI",
        {"aci.dnsNameLabel": "iris-team-a", "aci.subnetId": SUBNET},
        {"aci.subnetId": None},
    ),
    (
        "priority Spot has no address to send the golden request to",
        "ACI",
        {"aci.subnetId": SUBNET, "aci.priority": "Spot", "validation.request.body": "{}"},
        {"aci.priority": "Regular"},
    ),
    (
        "priority Spot has no address to send the golden request to",
        "ACI",
        {"aci.subnetId": SUBNET, "aci.priority": "Spot", "validation.request.body": "{}"},
        {"validation": None},
    ),
    ("priority Spot has no public address", "ACI", {"aci.priority": "Spot"}, {"aci.subnetId": SUBNET}),
    (
        "iotEdge takes exactly one of deviceId and targetCondition",
        "IoTEdge",
        {"iotEdge.targetCondition": "tags.site='plant-1'"},
        {"iotEdge.deviceId": None},
    ),
    (
        "iotEdge takes exactly one of deviceId and targetCondition",
        "IoTEdge",
        {"iotEdge.deviceId": None},
        {"iotEdge.targetCondition": "tags.site='plant-1'"},
    ),
    (
        "target IoTEdge needs computeTargetRef",
        "IoTEdge",
        {"computeTargetRef": None},
        {"computeTargetRef.name": "plants"},
    ),
    (
        "on IoTEdge the name of an environment variable",
        "IoTEdge",
        {"env": [{"name": "a.b", "value": "1"}]},
        {"env": [{"name": "A_B", "value": "1"}]},
    ),
    ("give image a tag other than latest", "IoTEdge", {"image": "team/scorer"}, {"image": "team/scorer:1"}),
    ("give image a tag other than latest", "IoTEdge", {"image": "a:5000/b"}, {"image": "a:5000/b:1"}),
    ("give image a tag other than latest", "IoTEdge", {"image": "b:latest"}, {"image": f"b@sha256:{DIGEST}"}),
    ("a single device has no stages", "IoTEdge", {"iotEdge.rollout.stages": [{"percent": 10}]}, FLEET),
    ("a quote is not closed", "IoTEdge", FLEET | site("tags.a='O'Hara'"), site(r"tags.a='O\'Hara'")),
    ("a quote is not closed", "IoTEdge", FLEET | site("tags.a='b"), site("tags.a='b'")),
    ("in single quotes only", "IoTEdge", FLEET | site('tags.a="b"'), site("tags.a='b'")),
    (
        "a condition knows no IN",
        "IoTEdge",
        FLEET | site("deviceId IN ['a', 'b']"),
        site("deviceId = 'a' OR deviceId = 'b'"),
    ),
    ("a condition is *", "IoTEdge", FLEET | site("site='plant-1'"), site("tags.site='plant-1'")),
    ("a condition is *", "IoTEdge", FLEET | site("1=1"), site("*")),
    (
        "a label's name has at most",
        "IoTEdge",
        {"iotEdge.labels": {"berth-uid": "x"}},
        {"iotEdge.labels": {"uid": "x"}},
    ),
    ("names that start with berth", "IoTEdge", metric("berthRunning"), metric("running")),
    ("routes speak of the module", "IoTEdge", {"iotEdge.routes": [{"name": "r", **TO_INPUT}]}, SCORER),
    (
        "a route sends raw input to the cloud",
        "IoTEdge",
        route({"from": "/messages/modules/camera/*", "into": "$upstream"}),
        {"iotEdge.allowRawUpstream": True},
    ),
    (
        "a route sends raw input to the cloud",
        "IoTEdge",
        route({"from": "/messages/modules/scorer-2/outputs/amlOutput", "into": "$upstream"}),
        {"iotEdge.routes[].from": "/messages/modules/scorer/outputs/amlOutput"},
    ),
    (
        "a route leads past the module",
        "IoTEdge",
        route(TO_INPUT | {"into": TO_INPUT["into"].replace("scorer", "other")}),
        route(TO_INPUT),
    ),
    (
        "a route brings the module's answers back",
        "IoTEdge",
        route(TO_INPUT | {"from": "/messages/*"}),
        {"iotEdge.routes[].where": "NOT IS_DEFINED($connectionModuleId)"},
    ),
    (
        "a route brings the module's answers back",
        "IoTEdge",
        route(TO_INPUT | {"from": "/messages/modules/scorer/*"}),
        {"iotEdge.routes[].from": "/messages/modules/camera/*"},
    ),
    (
        "a route leads nowhere",
        "IoTEdge",
        route(TO_INPUT | {"into": TO_INPUT["into"].replace("amlInput", "input1")}),
        route(TO_INPUT),
    ),
    (
        "a route begins nowhere",
        "IoTEdge",
        route({"from": "/messages/modules/scorer/outputs/output1", "into": "$upstream"}),
        {"iotEdge.routes[].from": "/messages/modules/scorer/outputs/*"},
    ),
    (
        "the condition of a route names no sink",
        "IoTEdge",
        route(TO_INPUT | {"where": "true INTO $upstream"}),
        {"iotEdge.routes[].where": "$body.pinto = 1"},
    ),
    (
        "a rollout stage takes exactly one",
        "IoTEdge",
        FLEET | {"iotEdge.rollout.stages": [{}]},
        {"iotEdge.rollout.stages": [{"percent": 10}]},
    ),
    (
        "a device is named by resourceName or by deviceClassName",
        "FPGA",
        {"fpga.device": {"resourceName": "a.org/b", "deviceClassName": "c"}},
        {"fpga.device.resourceName": None},
    ),
    (
        "the URI must start with one of https://",
        "AKS",
        {"model.uri": "http://a/b"},
        {"model.uri": "https://a/b"},
    ),
    ("must not climb with '..'", "AKS", {"model.uri": "pvc://models/../b"}, {"model.uri": "pvc://models/b"}),
    ("must not climb with '..'", "AKS", {"code.uri": "file:///a/.."}, {"code.uri": "file:///a"}),
    ("as https://HOST/PATH", "AKS", {"model.uri": "https://user:word@a/b"}, {"model.uri": "https://a/b"}),
    ("as https://HOST/PATH", "AKS", {"model.uri": "https://host"}, {"model.uri": "https://host/"}),
    ("as configmap://NAME", "AKS", {"model.uri": "configmap://A/b/c"}, {"model.uri": "configmap://a/b"}),
    ("as pvc://NAME/PATH", "AKS", {"model.uri": "pvc://models"}, {"model.uri": "pvc://models/iris"}),
    ("as file:///PATH", "AKS", {"model.uri": "file://models"}, {"model.uri": "file:///models"}),
    ("as abfss://CONTAINER@ACCOUNT", "AKS", {"model.uri": "abfss://models"}, {"model": MODEL}),
    ("as abfs://CONTAINER@ACCOUNT", "ACI", {"model.uri": "abfs://models@a"}, {"model": MODEL}),
    ("as wasbs://CONTAINER@ACCOUNT", "AKS", {"model.uri": "wasbs://models/a"}, {"model": MODEL}),
    ("as s3://BUCKET/KEY", "AKS", {"model.uri": "s3://models"}, {"model": MODEL}),
    ("as gs://BUCKET/KEY", "AKS", {"model.uri": "gs://models"}, {"model": MODEL}),
    ("as hf://ORG/REPO[@REVISION]/FILE", "AKS", {"model.uri": "hf://team/iris"}, {"model": MODEL}),
    ("as oci://REGISTRY/REPOSITORY:TAG", "AKS", {"model.uri": "oci://iris"}, {"model": MODEL}),
]


@pytest.mark.parametrize(("message", "target", "breaks", "mends"), RULES)
def test_what_breaks_a_rule_is_refused_and_what_mends_it_accepted(
    api: ApiServer, message: str, target: str, breaks: dict[str, Any], mends: dict[str, Any]
) -> None:
    status, refused = api.try_create(complete(SPEC, spec_with(target, breaks)))
    assert status == 422
    assert message in refused["message"]
    status, accepted = api.try_create(complete(SPEC, spec_with(target, {**breaks, **mends})))
    assert status == 201, accepted["message"]


def messages(schema: Schema) -> Iterator[str]:
    for part in (
        schema,
        *(inside for _, field in fields(schema) for inside in (field, field.get("items", {}))),
    ):
        yield from (rule["message"] for rule in part.get("x-kubernetes-validations", ()))


def test_every_rule_has_an_example() -> None:
    elsewhere = {row.message for row in CAPABILITIES} | {IMMUTABLE, IMMUTABLE_PLACE, NAME}
    without = [m for m in messages(ROOT) if m not in elsewhere and not any(rule[0] in m for rule in RULES)]
    assert without == []


def test_every_example_belongs_to_a_rule() -> None:
    known = list(messages(ROOT))
    assert [rule[0] for rule in RULES if not any(rule[0] in message for message in known)] == []


@pytest.mark.parametrize("name", ["1iris", "iris.v2", "a" * 64])
def test_a_name_that_no_service_could_have_is_refused(api: ApiServer, name: str) -> None:
    status, answer = api.try_create(BASES["AKS"], name)
    assert status == 422
    assert NAME in answer["message"]


def test_the_longest_name_is_accepted(api: ApiServer) -> None:
    assert api.try_create(BASES["AKS"], "a" * 63)[0] == 201


def test_a_model_deployment_does_not_move_to_another_place(api: ApiServer) -> None:
    name = "stays-there"
    api.send("POST", MODEL_DEPLOYMENTS, manifest(BASES["ACI"], name))
    change = {"spec": {"computeTargetRef": {"name": "elsewhere"}}}
    status, answer = api.send("PATCH", f"{MODEL_DEPLOYMENTS}/{name}", change, "application/merge-patch+json")
    assert status == 422
    assert IMMUTABLE_PLACE in answer["message"]


def test_the_target_cannot_be_changed(api: ApiServer) -> None:
    name = "stays-put"
    api.send("POST", MODEL_DEPLOYMENTS, manifest(BASES["AKS"], name))
    change = {"spec": {"target": "ACI"}}
    status, answer = api.send("PATCH", f"{MODEL_DEPLOYMENTS}/{name}", change, "application/merge-patch+json")
    assert status == 422
    assert IMMUTABLE in answer["message"]

"""A valid ModelDeployment for each target, and a valid value for each field of the spec."""

import copy
from dataclasses import dataclass, field
from typing import Any

Spec = dict[str, Any]

MODEL = {"name": "iris", "uri": "https://example.org/iris.onnx", "format": "onnx"}
DIGEST = "0123456789abcdef" * 4
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"

BASES: dict[str, Spec] = {
    "AKS": {"target": "AKS", "model": MODEL},
    "ACI": {"target": "ACI", "computeTargetRef": {"name": "dev"}, "model": MODEL},
    "IoTEdge": {
        "target": "IoTEdge",
        "computeTargetRef": {"name": "plants"},
        "model": MODEL,
        "iotEdge": {"deviceId": "press-7"},
    },
    "FPGA": {
        "target": "FPGA",
        "computeTargetRef": {"name": "devices"},
        "model": MODEL,
        "fpga": {"featurizer": "ResNet50"},
    },
}


@dataclass(frozen=True)
class Case:
    """A value, and what else the spec must hold for it to be accepted; None: must not, `.`: a sibling."""

    value: Any
    given: dict[str, Any] = field(default_factory=dict)


OWN_IMAGE = {"image": "registry.example.org/team/scorer:1"}
SOURCES = [
    Case("https://example.org/models/iris.onnx"),
    Case("https://example.org:8443/iris.tar.gz?version=3"),
    Case("configmap://iris-model"),
    Case("configmap://iris-model/model.joblib"),
    Case("pvc://models/iris/3/model.onnx"),
    Case("file:///models/iris.onnx"),
    Case("abfss://models@account.dfs.core.windows.net/iris/3"),
    Case("abfs://models@account.dfs.core.chinacloudapi.cn/iris.onnx"),
    Case("wasbs://$web@account.blob.core.windows.net/iris.onnx"),
]
SOURCE_OF_SCHEME = {
    "https": "https://example.org/iris.onnx",
    "configmap": "configmap://iris/model.onnx",
    "pvc": "pvc://models/iris.onnx",
    "file": "file:///models/iris.onnx",
    "abfss": "abfss://models@account.dfs.core.windows.net/iris.onnx",
    "abfs": "abfs://models@account.dfs.core.windows.net/iris.onnx",
    "wasbs": "wasbs://models@account.blob.core.windows.net/iris.onnx",
    "s3": "s3://models/iris.onnx",
    "gs": "gs://models/iris.onnx",
    "hf": "hf://team/iris@main/model.onnx",
    "oci": "oci://registry.example.org/team/iris:3",
}
SCORER = {"iotEdge.module.name": "scorer"}
FLEET = {"iotEdge.deviceId": None, "iotEdge.targetCondition": "tags.site='plant-1'"}
SEVERAL_MODELS = {"model": None, "models[].format": "onnx"}
AUTOSCALED = {"scaling.maxReplicas": 10}

# The longest path that ends a field's path gives its values: `imagePullSecrets[].name` does for every target.
VALUES: dict[str, list[Case]] = {
    "target": [Case("AKS")],
    "computeTargetRef.name": [Case("prod"), Case("prod.eu-1")],
    "uri": SOURCES,
    "code.uri": [Case("https://example.org/code.zip"), Case("configmap://iris-code")],
    "weights.uri": [Case("https://example.org/resnet50.onnx")],
    "sha256": [Case(DIGEST)],
    "credentialsSecretRef.name": [Case("blob")],
    "model.name": [Case("iris"), Case("Iris_v2.1-b")],
    "models[].name": [Case("iris", SEVERAL_MODELS)],
    "models[].uri": [Case(case.value, SEVERAL_MODELS) for case in SOURCES],
    "models[].sha256": [Case(DIGEST, SEVERAL_MODELS)],
    "models[].credentialsSecretRef.name": [Case("blob", SEVERAL_MODELS)],
    "version": [Case("3"), Case("2026.11.21-rc1")],
    "models[].version": [Case("3", SEVERAL_MODELS)],
    "format": [
        Case("sklearn"),
        Case("onnx"),
        *(
            Case(name, OWN_IMAGE)
            for name in ("sklearn", "onnx", "xgboost", "lightgbm", "mlflow", "pytorch", "tensorflow")
        ),
        *(
            Case(name, {"code.uri": "configmap://code"})
            for name in ("xgboost", "lightgbm", "mlflow", "pytorch", "tensorflow")
        ),
    ],
    "models[].format": [
        Case("onnx", SEVERAL_MODELS),
        Case("sklearn", SEVERAL_MODELS),
        Case("xgboost", SEVERAL_MODELS | OWN_IMAGE),
    ],
    "scoringScript": [Case("score.py"), Case("src/score_v2.py")],
    "image": [
        Case("registry.example.org:5000/team/scorer:1.2"),
        Case("scorer"),
        Case(f"ghcr.io/team/scorer@sha256:{DIGEST}"),
    ],
    "imageServer": [Case("Own", OWN_IMAGE), Case("Berth", OWN_IMAGE)],
    "env[].name": [Case("LOG_LEVEL"), Case("azure.client-id")],
    "env[].value": [Case("debug"), Case("")],
    "secretKeyRef.name": [Case("settings")],
    "secretKeyRef.key": [Case("api-key")],
    "secretKeyRef.optional": [Case(True), Case(False)],
    "configMapKeyRef.name": [Case("settings")],
    "configMapKeyRef.key": [Case("level.txt")],
    "configMapKeyRef.optional": [Case(True), Case(False)],
    "fieldRef.fieldPath": [
        Case("metadata.name"),
        Case("metadata.labels['app.kubernetes.io/name']"),
        Case("spec.nodeName"),
        Case("status.podIP"),
    ],
    "requests.cpu": [Case("100m"), Case("2"), Case(2), Case("0.5"), Case("1e1")],
    "requests.memory": [Case("500M"), Case("2Gi"), Case(1000000)],
    "requests.ephemeral-storage": [Case("10Gi")],
    "resources.limits": [
        Case({"cpu": "100m", "memory": "500M"}),
        Case({"nvidia.com/gpu": 1, "cpu": 2}),
        Case({"cpu": "1", "memory": "1Gi"}, {"resources.requests": {"cpu": 1, "memory": "512Mi"}}),
    ],
    "scaling.replicas": [Case(0), Case(1), Case(1000)],
    "scaling.minReplicas": [Case(1), Case(10, AUTOSCALED)],
    "scaling.maxReplicas": [Case(1), Case(1000)],
    "scaling.metric": [Case("CPU")],
    "scaling.targetUtilizationPercent": [Case(70), Case(1, AUTOSCALED), Case(100, AUTOSCALED)],
    "timeoutMilliseconds": [Case(1), Case(3_600_000)],
    "maxConcurrentPerReplica": [Case(1), Case(1000)],
    "maxQueueWaitMilliseconds": [Case(0), Case(600_000)],
    "startup.budgetSeconds": [Case(1), Case(599), Case(7200, {"aks.progressDeadlineSeconds": 7201})],
    "initialDelaySeconds": [Case(0), Case(310), Case(7200)],
    "periodSeconds": [Case(1), Case(3600)],
    "probes.liveness.timeoutSeconds": [Case(1), Case(3600)],
    "probes.readiness.timeoutSeconds": [Case(1), Case(3600)],
    "liveness.successThreshold": [Case(1)],
    "readiness.successThreshold": [Case(1), Case(100)],
    "failureThreshold": [Case(1), Case(1000)],
    "auth.mode": [Case("Key"), Case("None")],
    "secretRef.name": [Case("cert")],
    "tls.selfSigned": [Case(True), Case(False, {"tls.secretRef": {"name": "cert"}})],
    "tls.hostname": [
        Case("iris.example.org", {"tls.secretRef": {"name": "cert"}}),
        Case("iris", {"tls.selfSigned": True}),
    ],
    "dataCollection.enabled": [Case(True)],
    "dataCollection.samplingPercent": [Case(10)],
    "dataCollection.sink": [Case("abfss://data@account.dfs.core.windows.net/iris")],
    "validation.request.path": [Case("/score"), Case("/v1/models/iris:predict")],
    "validation.request.contentType": [Case("application/json"), Case("text/plain; charset=utf-8")],
    "validation.request.body": [Case('{"data": [[5.1, 3.5, 1.4, 0.2]]}'), Case("")],
    "validation.expect.statusCode": [Case(200), Case(100), Case(599)],
    "validation.expect.body": [Case("[0]")],
    "validation.timeoutSeconds": [Case(1), Case(300)],
    "suspend": [Case(True), Case(False)],
    "deletionPolicy": [Case("Delete")],
    "expose.type": [Case("ClusterIP"), Case("LoadBalancer")],
    "expose.internal": [Case(True, {".type": "LoadBalancer"}), Case(False)],
    "annotations": [Case({"service.beta.kubernetes.io/azure-dns-label-name": "iris"}), Case({})],
    "nodeSelector": [Case({"kubernetes.io/arch": "amd64", "pool": ""})],
    "tolerations[].key": [Case("dedicated"), Case("dedicated", {".operator": "Exists"})],
    "tolerations[].operator": [Case("Exists"), Case("Equal", {".key": "dedicated"})],
    "tolerations[].value": [Case("models", {".key": "dedicated"})],
    "tolerations[].effect": [
        Case(effect, {".operator": "Exists"}) for effect in ("NoSchedule", "PreferNoSchedule", "NoExecute")
    ],
    "tolerationSeconds": [Case(0, {".operator": "Exists", ".effect": "NoExecute"})],
    "imagePullSecrets[].name": [Case("registry")],
    "serviceAccountName": [Case("models")],
    "aks.progressDeadlineSeconds": [Case(86_400), Case(311)],
    "fpga.progressDeadlineSeconds": [Case(86_400), Case(311)],
    "aci.location": [Case("westeurope")],
    "aci.dnsNameLabel": [Case("iris-team-a")],
    "aci.subnetId": [Case(SUBNET)],
    "aci.restartPolicy": [Case("Always"), Case("OnFailure"), Case("Never")],
    "aci.updateStrategy": [Case("InPlace")],
    "aci.priority": [Case("Regular"), Case("Spot", {"aci.subnetId": SUBNET})],
    "aci.identities": [Case(["/subscriptions/s/resourceGroups/g/providers/i/identities/reader"])],
    "aci.identityClientId": [Case("0f0f0f0f-1234-5678-9abc-DEF012345678")],
    "vaultBaseUrl": [Case("https://vault.vault.azure.net")],
    "keyName": [Case("models")],
    "keyVersion": [Case("a1b2c3")],
    "iotEdge.deviceId": [Case("press-7")],
    "iotEdge.targetCondition": [
        Case(condition, {"iotEdge.deviceId": None})
        for condition in (
            "tags.site='plant-1'",
            r"tags.owner='O\'Hara' OR deviceId='b'",
            "*",
        )
    ],
    "iotEdge.priority": [Case(1), Case(2**31 - 1)],
    "iotEdge.labels": [Case({"line": "7"})],
    "module.name": [Case("scorer_2")],
    "module.restartPolicy": [Case("always"), Case("on-unhealthy"), Case("on-failure"), Case("never")],
    "imagePullPolicy": [Case("on-create"), Case("never")],
    "startupOrder": [Case(0), Case(4_294_967_295)],
    "createOptions": [Case('{"HostConfig": {"Memory": 536870912}}'), Case("{}")],
    "routes[].name": [Case("camera", SCORER)],
    "routes[].from": [
        Case("/messages/modules/camera/outputs/frames", SCORER),
        Case("/messages/*", {**SCORER, ".where": "NOT IS_DEFINED($connectionModuleId)"}),
        Case("/messages/modules/scorer/outputs/amlOutput", {**SCORER, ".into": "$upstream"}),
    ],
    "routes[].where": [
        Case("temperature > 30", SCORER),
        Case(r"name = 'O\'Hara' AND alarm", SCORER),
    ],
    "routes[].into": [
        Case('BrokeredEndpoint("/modules/scorer/inputs/amlInput")', SCORER),
        Case("$upstream", {**SCORER, "iotEdge.allowRawUpstream": True}),
    ],
    "routes[].priority": [Case(0, SCORER), Case(9, SCORER)],
    "routes[].timeToLiveSeconds": [Case(1, SCORER), Case(2**31 - 1, SCORER)],
    "timeToLiveSeconds": [Case(1), Case(2**31 - 1)],
    "allowRawUpstream": [Case(True), Case(False)],
    "storeAndForwardSeconds": [Case(1), Case(2**31 - 1)],
    "metrics[].name": [Case("running")],
    "metrics[].query": [Case("SELECT deviceId FROM devices")],
    "minHealthyPercent": [Case(0), Case(100)],
    "stages[].targetCondition": [Case("tags.canary=true", FLEET)],
    "stages[].percent": [Case(1, FLEET), Case(100, FLEET)],
    "stages[].minHealthyPercent": [Case(50, {".percent": 10, **FLEET})],
    "waitSeconds": [Case(604_800, {".percent": 10, **FLEET})],
    "rollout.stages": [Case([{"percent": 10}], FLEET)],
    "maxFailedPercent": [Case(20, FLEET)],
    "featurizer": [
        *(Case(name) for name in ("ResNet50", "ResNet152", "DenseNet121", "VGG16")),
        Case("SSDVGG", {"model": None}),
    ],
    "inputTensor": [Case("images")],
    "outputTensor": [Case("classifier_1/resnet_v1_50/predictions/Softmax:0")],
    "batchSize": [Case(1), Case(256)],
    "resourceName": [Case("xilinx.com/fpga-xilinx_u250")],
    "deviceClassName": [Case("fpga.example.org")],
    "device.count": [Case(1), Case(16)],
    "runtimeClassName": [Case("fpga")],
    "priorityClassName": [Case("latency")],
    "preemption": [Case("Never"), Case("PreemptLowerPriority", {"fpga.priorityClassName": "latency"})],
}


def cases(path: str, values: dict[str, list[Case]] = VALUES) -> list[Case]:
    """Give the valid values of a field; KeyError where nobody has thought of it."""
    segments = path.split(".")
    endings = (".".join(segments[start:]) for start in range(len(segments)))
    return next((values[ending] for ending in endings if ending in values), None) or _unknown(path)


def _unknown(path: str) -> list[Case]:
    raise KeyError(f"spec.{path} has no valid value in tests/support")


def spec_with(target: str, values: dict[str, Any]) -> Spec:
    """Give the base of the target with values at paths; `[]` is the first item, None takes away."""
    spec = copy.deepcopy(BASES[target])
    for path, value in values.items():
        put(spec, path, value)
    return spec


def values_of(path: str, case: Case) -> dict[str, Any]:
    """Give the case with all paths written out."""
    parent = path.rpartition(".")[0]
    given = {f"{parent}{key}" if key.startswith(".") else key: value for key, value in case.given.items()}
    return {**given, path: case.value}


def put(spec: Spec, path: str, value: Any) -> None:
    *way, last = path.split(".")
    place = spec
    for segment in way:
        place = _enter(place, segment)
    if value is None:
        place.pop(last, None)
    else:
        place[last] = copy.deepcopy(value)


def get(spec: Spec, path: str) -> Any:
    value: Any = spec
    for segment in path.split("."):
        value = value[segment.removesuffix("[]")]
        value = value[0] if segment.endswith("[]") else value
    return value


def _enter(place: Spec, segment: str) -> Spec:
    if segment.endswith("[]"):
        return place.setdefault(segment.removesuffix("[]"), [{}])[0]
    return place.setdefault(segment, {})

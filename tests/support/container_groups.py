"""ModelDeployments for Azure container instances, what they are made from, and groups as Azure shows them."""

import copy
from typing import Any

from certificates import pair
from deployments import MODEL, Spec, subject
from hypothesis import strategies as st

from berth.api.compute_target import AciPlace
from berth.plan.container_group import Desired, Recipe, desired_group
from berth.plan.group_changes import Way
from berth.plan.group_content import Content
from berth.plan.group_names import Slot

KEY = b"0123456789abcdef"
CLUSTER = "cccccccc-0000-0000-0000-000000000000"
IMAGE = "registry.test/berth-scoring:1"
NEWER_IMAGE = "registry.test/berth-scoring:2"
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
IDENTITY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/models/providers/M/userAssignedIdentities/puller"
SUBNET = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/models/providers/N/virtualNetworks/v/subnets/s"
PLACE = {"subscriptionId": SUBSCRIPTION, "resourceGroup": "models", "location": "eastus"}
FULL_DEFAULTS = {
    "resources": {"cpu": "2", "memory": "3500M"},
    "registries": [
        {"server": "team.azurecr.io", "identity": IDENTITY},
        {"server": "registry.test", "secretRef": {"name": "registry"}},
    ],
    "subnetId": SUBNET,
    "logAnalytics": {"workspaceId": SUBSCRIPTION, "secretRef": {"name": "workspace"}},
}
CERTIFIED = pair("iris.example.org")
CONTENT = Content(
    config_maps={
        "iris": {"model.onnx": b"model", "other": b"\xff"},
        "code": {"score.py": b"def init(): ..."},
    },
    secrets={
        "iris-keys": {"primaryKey": b"first-secret", "secondaryKey": b"second-secret"},
        "blob": {"token": b"blob-secret"},
        "settings": {"api-key": b"api-secret"},
        "cert": {
            name: text.encode() for name, text in (CERTIFIED.entries | {"ca.crt": "not needed"}).items()
        },
        "pull": {
            ".dockerconfigjson": b'{"auths":{"registry.test":{"username":"me","password":"pull-secret"}}}'
        },
    },
    operator_secrets={
        "registry": {"username": b"shared", "password": b"registry-secret\n"},
        "workspace": {"workspaceKey": b"workspace-secret"},
    },
)
SECRETS = (
    "first-secret",
    "second-secret",
    "blob-secret",
    "api-secret",
    "pull-secret",
    CERTIFIED.key,
    "registry-secret",
    "workspace-secret",
)
FULL = {
    "target": "ACI",
    "model": MODEL,
    "code": {"uri": "https://example.org/code.zip", "credentialsSecretRef": {"name": "blob"}},
    "env": [
        {"name": "LOG_LEVEL", "value": "debug"},
        {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "settings", "key": "api-key"}}},
    ],
    "auth": {"mode": "Key"},
    "tls": {"secretRef": {"name": "cert"}, "hostname": "iris.example.org"},
    "aci": {"imagePullSecrets": [{"name": "pull"}]},
}


def aci_spec(**fields: Any) -> Spec:
    """Give the simplest spec with the given fields, by their names in a manifest; None takes one away."""
    merged = {"target": "ACI", "model": MODEL} | fields
    return {name: value for name, value in merged.items() if value is not None}


def place(**fields: Any) -> AciPlace:
    """Give a place with the given fields, by their names in a manifest."""
    return AciPlace.model_validate(PLACE | fields)


def recipe(
    fields: Spec | None = None,
    where: AciPlace | None = None,
    content: Content = CONTENT,
    slot: Slot = Slot.BLUE,
    **metadata: Any,
) -> Recipe:
    """Give all that the group of a ModelDeployment named demo/iris is made from."""
    return Recipe(subject(fields or aci_spec(), **metadata), where or place(), CLUSTER, content, slot)


def desired(fields: Spec | None = None, where: AciPlace | None = None, **given: Any) -> Desired:
    """Give the group that is wanted where none is there."""
    return desired_group(recipe(fields, where, **given), IMAGE, KEY, None)


def shown(wanted: Desired, state: str = "Running", **properties: Any) -> dict[str, Any]:
    """Give the group as Azure shows it after a PUT: with defaults, without what it keeps to itself."""
    group = copy.deepcopy(wanted.body)
    inside = group["properties"]
    for container in [*inside.get("initContainers", ()), *inside["containers"]]:
        for variable in container["properties"].get("environmentVariables", ()):
            variable.pop("secureValue", None)
        container["properties"].setdefault("ports", [])
    for volume in inside.get("volumes", ()):
        if "secret" in volume:
            volume["secret"] = {}
    for registry in inside.get("imageRegistryCredentials", ()):
        registry.pop("password", None)
    if "diagnostics" in inside:
        inside["diagnostics"]["logAnalytics"].pop("workspaceKey")
    inside |= {
        "sku": "Standard",
        "provisioningState": "Succeeded",
        "provisioningTimeoutInSeconds": 1800,
        "isCustomProvisioningTimeout": False,
        "instanceView": {"events": [], "state": state},
        **properties,
    }
    inside.setdefault("initContainers", [])
    place_of = "/subscriptions/s/resourceGroups/models/providers/Microsoft.ContainerInstance/containerGroups"
    return group | {"name": wanted.name, "id": f"{place_of}/{wanted.name}"}


# What the user changes, and what that takes.
WISHES: dict[str, tuple[Spec, Way]] = {
    "subnetIds": (aci_spec(aci={"subnetId": SUBNET}), Way.RECREATE),
    "priority": (aci_spec(aci={"subnetId": SUBNET, "priority": "Spot"}), Way.RECREATE),
    "restartPolicy": (aci_spec(aci={"restartPolicy": "Never"}), Way.RECREATE),
    "encryptionProperties": (
        aci_spec(aci={"encryption": {"vaultBaseUrl": "https://v.test", "keyName": "k", "keyVersion": "1"}}),
        Way.RECREATE,
    ),
    "cpu": (aci_spec(resources={"requests": {"cpu": 2}}), Way.RECREATE),
    "memory": (aci_spec(resources={"requests": {"memory": "4Gi"}}), Way.RECREATE),
    "initContainers": (aci_spec(image="registry.test/own:1", model=None), Way.RECREATE),
    "identity": (aci_spec(aci={"identities": ["/subscriptions/s/x/y"]}), Way.IN_PLACE),
    "ipAddress.dnsNameLabel": (aci_spec(aci={"dnsNameLabel": "iris-live"}), Way.IN_PLACE),
    "image": (aci_spec(image="registry.test/own:1", imageServer="Berth"), Way.IN_PLACE),
    "command": (aci_spec(image="registry.test/own:1"), Way.RECREATE),  # its port, too
    "ipAddress.ports": (aci_spec(tls={"selfSigned": True}), Way.RECREATE),
    "environmentVariables": (aci_spec(env=[{"name": "A", "value": "b"}]), Way.IN_PLACE),
    "volumes": (aci_spec(model=MODEL | {"uri": "https://a.test/m.onnx"}), Way.IN_PLACE),
    "livenessProbe": (aci_spec(probes={"startup": {"budgetSeconds": 20}}), Way.IN_PLACE),
    "readinessProbe": (aci_spec(probes={"readiness": {"periodSeconds": 20}}), Way.IN_PLACE),
    "imageRegistryCredentials": (aci_spec(aci={"imagePullSecrets": [{"name": "pull"}]}), Way.IN_PLACE),
}

_names = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
_quantities = st.sampled_from(["100m", "2", "0.333", "4e0"])
_memories = st.sampled_from(["500M", "2Gi", "1.5Gi", "3000000000", "1234567890"])
_models = st.fixed_dictionaries(
    {
        "name": _names,
        "uri": st.sampled_from(["configmap://iris", "configmap://iris/model.onnx", "https://a.test/m.onnx"]),
        "format": st.just("onnx"),
    }
)
_aci = st.fixed_dictionaries(
    {},
    optional={
        "location": st.sampled_from(["westus", "eastus2"]),
        "dnsNameLabel": st.from_regex(r"[a-z][a-z0-9]{4,20}", fullmatch=True),
        "restartPolicy": st.sampled_from(["Always", "OnFailure", "Never"]),
        "identities": st.lists(st.just(IDENTITY), max_size=1),
        "imagePullSecrets": st.just([{"name": "pull"}]),
        "encryption": st.just(
            {"vaultBaseUrl": "https://v.vault.azure.net", "keyName": "k", "keyVersion": "1"}
        ),
    },
) | st.fixed_dictionaries({"subnetId": st.just(SUBNET)}, optional={"priority": st.just("Spot")})


@st.composite
def aci_specs(draw: st.DrawFn) -> Spec:
    """Give a valid spec for the target ACI, made from `CONTENT`."""
    served = st.one_of(
        st.fixed_dictionaries({"model": _models}),
        st.fixed_dictionaries(
            {"models": st.lists(_models, min_size=1, max_size=3, unique_by=lambda m: m["name"])}
        ),
        st.fixed_dictionaries({"image": st.just("registry.test/own:1")}, optional={"model": _models}),
    )
    settings = st.fixed_dictionaries(
        {},
        optional={
            "env": st.just(FULL["env"]),
            "resources": st.builds(
                lambda cpu, memory: {"requests": {"cpu": cpu, "memory": memory}}, _quantities, _memories
            ),
            "tls": st.just({"selfSigned": True}) | st.just({"secretRef": {"name": "cert"}}),
            "auth": st.fixed_dictionaries({"mode": st.sampled_from(["Key", "None"])}),
            "aci": _aci,
            "probes": st.fixed_dictionaries(
                {}, optional={"startup": st.builds(lambda s: {"budgetSeconds": s}, st.integers(1, 7200))}
            ),
        },
    )
    return {"target": "ACI", **draw(served), **draw(settings)}

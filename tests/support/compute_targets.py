"""A valid ComputeTarget, a valid value for each field of its spec, and the walk over them."""

import copy
from typing import Any

from manifests import SUBNET, Case, Spec, cases, put, values_of
from schema_walk import Schema, complete, fields, leaves

from berth.schema.crd import compute_target_schema

ROOT: Schema = compute_target_schema()
SPEC: Schema = ROOT["properties"]["spec"]
FIELDS = list(fields(SPEC))
LEAVES = list(leaves(SPEC))

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
TENANT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
CLIENT = "01234567-89ab-CDEF-0123-456789abcdef"
IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/models"
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
)
BASE: Spec = {
    "kind": "ACI",
    "aci": {"subscriptionId": SUBSCRIPTION, "resourceGroup": "models", "location": "eastus"},
}
HUB: Spec = {"kind": "IoTEdge", "iotEdge": {"hostName": "plants.azure-devices.net"}}
POOL: Spec = {"kind": "FPGA", "fpga": {"resourceName": "fpga.example.com/arria10"}}
CUSTOM = {
    "cloud.name": "Custom",
    "cloud.resourceManager": "https://management.example.org:8443",
    "cloud.authority": "https://login.example.org/",
}
SECRET = {"credentials.tenantId": TENANT, "credentials.clientId": CLIENT}
STOCK = {".featurizer": "ResNet50", ".uri": "https://example.org/resnet50.onnx", ".sha256": "0a" * 32}
LABEL = {".operator": "Exists", ".key": "team"}

VALUES: dict[str, list[Case]] = {
    "kind": [
        Case("ACI"),
        Case("IoTEdge", {"aci": None, "iotEdge.hostName": "plants.azure-devices.net"}),
        Case("FPGA", {"aci": None, "fpga.resourceName": "fpga.example.com/arria10"}),
    ],
    "cloud.name": [
        Case("AzurePublic"),
        Case("AzureGovernment"),
        Case("AzureChina"),
        Case("Custom", CUSTOM),
    ],
    "cloud.resourceManager": [Case("https://management.example.org", CUSTOM), Case("https://a/", CUSTOM)],
    "cloud.authority": [Case("https://10.0.0.1:8443", CUSTOM)],
    "cloud.caBundle": [Case("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", CUSTOM)],
    "credentials.tenantId": [Case(TENANT)],
    "credentials.clientId": [Case(CLIENT)],
    "credentials.secretRef.name": [Case("azure", SECRET)],
    "allowedNamespaces.matchLabels": [Case({"kubernetes.io/metadata.name": "team-a", "stage": ""})],
    "allowedNamespaces.matchExpressions[].key": [Case("team"), Case("example.org/team", LABEL)],
    "allowedNamespaces.matchExpressions[].operator": [
        Case("Exists", LABEL),
        Case("DoesNotExist", LABEL),
        Case("In", {**LABEL, ".values": ["a"]}),
        Case("NotIn", {**LABEL, ".values": ["a", "b"]}),
    ],
    "allowedNamespaces.matchExpressions[].values": [Case(["a", ""], {**LABEL, ".operator": "In"})],
    "aci.subscriptionId": [Case(SUBSCRIPTION)],
    "aci.resourceGroup": [Case("models"), Case("Models_(dev).eu-1")],
    "aci.location": [Case("westeurope")],
    "resources.cpu": [Case("500m"), Case(4), Case("31")],
    "resources.memory": [Case("1500M"), Case("2Gi"), Case("240G")],
    "registries[].server": [Case("team.azurecr.io", {".identity": IDENTITY})],
    "registries[].secretRef.name": [
        Case("registry", {"aci.defaults.registries[].server": "registry.example.org:5000"})
    ],
    "registries[].identity": [Case(IDENTITY, {".server": "team.azurecr.io"})],
    "defaults.identities": [Case([IDENTITY])],
    "defaults.subnetId": [Case(SUBNET)],
    "logAnalytics.workspaceId": [Case(SUBSCRIPTION)],
    "logAnalytics.secretRef.name": [Case("workspace")],
    "iotEdge.hostName": [Case("plants.azure-devices.net"), Case("10.0.0.1:8443")],
    "iotEdge.connectionStringRef.name": [Case("hub")],
    "iotEdge.resourceId": [
        Case(
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/plants/providers/Microsoft.Devices/IotHubs/plants"
        )
    ],
    "iotEdge.tier": [Case("Free"), Case("Standard")],
    "iotEdge.units": [Case(1), Case(200)],
    "iotEdge.defaults.registries[].server": [Case("team.azurecr.io")],
    "iotEdge.defaults.registries[].secretRef.name": [
        Case("registry", {"iotEdge.defaults.registries[].server": "registry.example.org"})
    ],
    "fpga.resourceName": [Case("fpga.example.com/arria10")],
    "fpga.deviceClassName": [
        Case("fpga.example.com", {"fpga.dynamicResources": True, "fpga.resourceName": None})
    ],
    "fpga.dynamicResources": [Case(True), Case(False)],
    "fpga.nodeSelector": [Case({"pool": "fpga"})],
    "tolerations[].key": [Case("sku")],
    "tolerations[].operator": [Case("Exists"), Case("Equal", {".key": "sku"})],
    "tolerations[].value": [Case("fpga", {".key": "sku"})],
    "tolerations[].effect": [Case("NoSchedule", {".operator": "Exists"})],
    "tolerationSeconds": [Case(0, {".operator": "Exists", ".effect": "NoExecute"})],
    "fpga.runtimeClassName": [Case("fpga")],
    "fpga.hugepages": [Case({"hugepages-2Mi": "512Mi", "hugepages-1Gi": 1})],
    "fpga.supplementalGroups": [Case([1, 2**31 - 1])],
    "featurizers[].featurizer": [Case("ResNet50", STOCK), Case("SSDVGG", STOCK)],
    "featurizers[].uri": [
        Case("https://example.org/resnet50.onnx", STOCK),
        Case("file:///resnet50.onnx", STOCK),
    ],
    "featurizers[].sha256": [Case("0123456789abcdef" * 4, STOCK)],
    "fpga.executionProvider": [Case("CPUExecutionProvider"), Case("VitisAIExecutionProvider")],
    "fpga.providerOptions": [Case({"target": "u250"})],
    "fpga.deviceFiles": [Case(["/dev/acl*"])],
    "fpga.scalesFromZero": [Case(True), Case(False)],
    "quota.deployments": [Case(0), Case(100)],
    "quota.containerGroups": [Case(0), Case(20), Case(10_000)],
}


def cases_of(path: str) -> list[Case]:
    """Give the valid values of a field."""
    return cases(path, VALUES)


def built(values: dict[str, Any]) -> Spec:
    """Give a base with values at paths, and what is required wherever an object has been begun."""
    kinds = {path.partition(".")[0] for path, value in values.items() if value is not None}
    spec = copy.deepcopy(HUB if "iotEdge" in kinds else POOL if "fpga" in kinds else BASE)
    for path, value in values.items():
        put(spec, path, value)
    whole: Spec = complete(SPEC, spec, values=cases_of)
    return whole


def accepted() -> list[tuple[str, Spec]]:
    """Give a spec for each valid value of each field, and the path of the field."""
    return [(path, built(values_of(path, case))) for path, _ in LEAVES for case in cases_of(path)]

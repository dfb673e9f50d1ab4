"""The emulated Azure in a cluster, and the ComputeTarget that leads Berth there."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import trustme
import yaml

from berth_sandbox import chart, folders, images, plant
from berth_sandbox.access import Access
from berth_sandbox.errors import SandboxError
from berth_sandbox.forward import forwarded
from berth_sandbox.progress import step
from berth_sandbox.runner import last_lines

MANIFEST = folders.REPOSITORY / "sandbox" / "azure.yaml"
PLACE = folders.REPOSITORY / "examples" / "compute-target.yaml"
NAMESPACE = "azure"
GROUPS_NAMESPACE = "azure-container-groups"
SETTINGS = "settings"
WEBSITE = "example.org"
URL = "https://azure.azure.svc"
CLIENT_SECRET = "of an emulator"  # whoever is in the cluster may use it

Object = dict[str, Any]


def install(access: Access, model: bytes) -> None:
    """Run the emulated Azure as it is in this checkout, and let Berth use it as examples/ say.

    The model is what devices find where examples/iot-edge.yaml says.
    """
    with step("starting an emulated Azure"):
        place = yaml.safe_load(PLACE.read_text())
        authority = _authority(access) or _new_authority()
        configuration = _configuration(place["spec"], _digest(authority))
        settings = {**authority, "configuration.json": json.dumps(configuration)}
        _apply(access, *_objects(settings), *plant.gateways(), _website(model))
        _wait_until_serving(access)
        place["spec"]["cloud"] = _cloud(authority["ca.pem"])
        name = place["spec"]["credentials"]["secretRef"]["name"]
        _apply(access, _secret(chart.SYSTEM_NAMESPACE, name, {"clientSecret": CLIENT_SECRET}), place)
        _apply(access, *_hub(authority["ca.pem"]))


@contextmanager
def forwarded_group(access: Access, deployment: Mapping[str, Any]) -> Iterator[str]:
    """Forward a free port of this machine to the Pod behind a container group and yield the URL."""
    status = deployment["status"]
    pods = access.kubectl(
        *("get", "pods", f"--namespace={GROUPS_NAMESPACE}", "--output=name"),
        f"--field-selector=status.podIP={status['aci']['ip']}",
    ).split()
    if not pods:
        raise SandboxError(
            f"No Pod has the address of the container group {status['aci']['resourceId']}. An Azure that was "
            "started anew has no groups, and Berth makes them again: run this again in a minute."
        )
    with forwarded(access, GROUPS_NAMESPACE, pods[0], urlsplit(status["scoringUri"]).port or 80) as url:
        yield url


def _wait_until_serving(access: Access) -> None:
    where = f"--namespace={NAMESPACE}"
    try:
        access.kubectl("rollout", "status", "deployment/azure", where, "--timeout=2m")
    except SandboxError as error:
        log = access.kubectl("logs", "deployment/azure", "--tail=12", where)
        raise SandboxError(f"{error}\n{last_lines(log)}") from None


def _authority(access: Access) -> dict[str, str] | None:
    """Read the certificate authority of the emulator that is there already."""
    found = access.kubectl(
        *("get", f"secret/{SETTINGS}", f"--namespace={NAMESPACE}", "--ignore-not-found", "--output=json")
    )
    if not found:
        return None
    data = json.loads(found)["data"]
    return {name: b64decode(data[name]).decode() for name in ("ca.pem", "ca.key")}


def _new_authority() -> dict[str, str]:
    authority = trustme.CA(organization_name="Berth", organization_unit_name="Emulated Azure")
    pems = {"ca.pem": authority.cert_pem, "ca.key": authority.private_key_pem}
    return {name: pem.bytes().decode() for name, pem in pems.items()}


def _configuration(place: Mapping[str, Any], signing_key: str) -> Object:
    """Return an Azure that is as the ComputeTarget takes it to be."""
    credentials, aci = place["credentials"], place["aci"]
    application = {"secrets": {CLIENT_SECRET: None}}
    subscription = {"tenant": credentials["tenantId"], "resourceGroups": [aci["resourceGroup"]]}
    return {
        "tenants": {credentials["tenantId"]: {credentials["clientId"]: application}},
        "subscriptions": {aci["subscriptionId"]: subscription},
        "hubs": {plant.HUB: plant.configuration()},
        "websites": {WEBSITE: f"/srv/{WEBSITE}"},
        "signingKey": signing_key,
    }


def _hub(certificate: str) -> Iterator[Object]:
    """Give the ComputeTarget of the emulated hub, which is the user's but for where it is."""
    place = yaml.safe_load(plant.PLACE.read_text())
    place["spec"]["cloud"] = _cloud(certificate)
    place["spec"]["iotEdge"]["hostName"] = plant.HOST
    name = place["spec"]["iotEdge"]["connectionStringRef"]["name"]
    yield _secret(chart.SYSTEM_NAMESPACE, name, {"connectionString": plant.connection_string()})
    yield place


def _website(model: bytes) -> Object:
    metadata = {"name": "website", "namespace": NAMESPACE}
    files = {"model.onnx": b64encode(model).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": files}


def _cloud(certificate: str) -> Object:
    return {"name": "Custom", "resourceManager": URL, "authority": URL, "caBundle": certificate}


def _objects(settings: Mapping[str, str]) -> Iterator[Object]:
    """Give the manifest with this checkout's image, whose Pod is made anew when the settings change."""
    for each in yaml.safe_load_all(MANIFEST.read_text()):
        if each["kind"] == "Deployment":
            template = each["spec"]["template"]
            template["metadata"]["annotations"] = {"azure.berth.dev/settings": _digest(settings)}
            (container,) = template["spec"]["containers"]
            container["image"] = images.SANDBOX.reference
            container["args"] = [_tagged(argument) for argument in container["args"]]
        yield each
    yield _secret(NAMESPACE, SETTINGS, settings)


def _tagged(argument: str) -> str:
    option = "--helper="
    return f"{option}{images.SANDBOX.reference}" if argument.startswith(option) else argument


def _digest(entries: Mapping[str, str]) -> str:
    return sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def _secret(namespace: str, name: str, entries: Mapping[str, str]) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(entries)}


def _apply(access: Access, *objects: Object) -> None:
    access.kubectl(
        "apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    )

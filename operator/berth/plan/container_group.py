"""A ModelDeployment as an Azure container group: the body of a PUT, API version 2023-05-01."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from berth.api.aci import AciPriority, AciTarget
from berth.api.compute_target import AciPlace
from berth.api.conditions import Reason
from berth.api.serving import Probe
from berth.core.errors import Terminal
from berth.plan.causes import FETCH_CONTAINER, SCORING_CONTAINER
from berth.plan.group_content import (
    Content,
    certificate_files,
    credentials_files,
    encoded,
    environment,
    key_files,
    registry_credentials,
    source_files,
    workspace_key,
)
from berth.plan.group_endpoint import endpoint
from berth.plan.group_names import FINGERPRINT, Owner, Slot, dns_label, given_label, group_name, tags_of
from berth.plan.group_retention import policy_tag
from berth.plan.group_size import group_size
from berth.plan.group_tls import FOLDER, certificate_tag, tls_config
from berth.plan.pods import KEYS, USER, config_variables, own_variables
from berth.plan.sources import Source, sources
from berth.plan.subject import Subject

API_VERSION = "2023-05-01"
MOST_VOLUMES = 20
LARGEST_BODY = 4_000_000
"""Bytes of a request that Azure Resource Manager takes."""
LARGEST_TAGS = 40_000
"""Bytes of the 50 tags that a group may have: others add some, and each PUT brings them all."""

_APP = {"name": "berth-app", "mountPath": "/var/azureml-app"}
_KEYS, _TLS = "berth-keys", "berth-tls"
_DOMAIN = "azurecontainer.io"
_DEFAULTS = AciTarget()
_ROOT = {"runAsUser": 0}
"""Berth's own programs begin as root, for ports below 1024 and volumes of root's, and go on as `USER`."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a container group is made from, but for the scoring image."""

    subject: Subject
    place: AciPlace
    cluster: str
    """Id of the cluster: the uid of its namespace `kube-system`."""
    content: Content
    slot: Slot = Slot.BLUE

    @property
    def owner(self) -> Owner:
        """For whom the group is made."""
        return Owner.of(self.subject, self.cluster)

    @property
    def aci(self) -> AciTarget:
        """The settings of the target `ACI` in effect."""
        return self.subject.spec.aci or _DEFAULTS

    @property
    def location(self) -> str:
        """The region of the group."""
        return self.aci.location or self.place.location

    @property
    def name(self) -> str:
        """The name of the group."""
        return group_name(self.owner, self.location, self.slot)

    @property
    def subnet_id(self) -> str | None:
        """The subnet that the group joins."""
        return self.aci.subnet_id or self.place.defaults.subnet_id


@dataclass(frozen=True, slots=True)
class Desired:
    """A container group as Berth wants it; the body holds secrets and must not be logged."""

    name: str
    body: Json

    @property
    def tags(self) -> dict[str, str]:
        """Whose the group is, and the fingerprint of what was sent."""
        return tags_of(self.body)

    @property
    def fingerprint(self) -> str:
        """What tells this wish from an earlier one, secrets included."""
        return self.tags[FINGERPRINT]


def desired_group(recipe: Recipe, image: str, key: bytes, observed: Mapping[str, Any] | None) -> Desired:
    """Build the group; `key` is the operator's secret for fingerprints, `image` its scoring image.

    An unchanged group keeps the image that it was made with, so that an upgrade of the operator
    restarts no model. Raises Terminal where content is missing, or more than Azure takes.
    """
    if observed is not None and (known := scoring_image(observed)) and known != image:
        kept = _build(recipe, known, key)
        if kept.fingerprint == tags_of(observed).get(FINGERPRINT):
            return kept
    return _build(recipe, image, key)


def fingerprint(body: Mapping[str, Any], key: bytes) -> str:
    """Return a keyed hash of what is sent, but for its tags, which change without a restart."""
    sent = {name: value for name, value in body.items() if name != "tags"}
    return hmac.digest(key, orjson.dumps(sent, option=orjson.OPT_SORT_KEYS), "sha256").hex()[:32]


def scoring_image(group: Mapping[str, Any]) -> str | None:
    """Return the scoring image that a group was made with: of the fetch container, else of the only one."""
    properties = group["properties"]
    containers = [*(properties.get("initContainers") or ()), *properties["containers"]]
    image: str | None = containers[0]["properties"].get("image")
    return image


def _build(recipe: Recipe, image: str, key: bytes) -> Desired:
    body = _body(recipe, image)
    generation = recipe.subject.metadata.generation
    certificate = certificate_tag(recipe.subject, certificate_files(recipe.subject, recipe.content))
    tags = recipe.owner.tags(generation, fingerprint(body, key)) | policy_tag(recipe.subject) | certificate
    return Desired(recipe.name, {**body, "tags": tags})


def _body(recipe: Recipe, image: str) -> Json:
    found = list(sources(recipe.subject.spec))
    volumes = _volumes(recipe, found)
    _refuse_closed_storage(recipe, found)
    body = _without_empty(
        {
            "location": recipe.location,
            "identity": _identity(recipe),
            "properties": _without_empty(
                {
                    "osType": "Linux",
                    "restartPolicy": recipe.aci.restart_policy.value,
                    "priority": recipe.aci.priority.value,
                    "initContainers": [_fetch_container(recipe, found, image)] if found else [],
                    "containers": [_scoring_container(recipe, found, image)],
                    "volumes": volumes,
                    "imageRegistryCredentials": registry_credentials(
                        recipe.subject, recipe.place, recipe.content
                    ),
                    "ipAddress": _address(recipe),
                    "subnetIds": [{"id": recipe.subnet_id}] if recipe.subnet_id else [],
                    "diagnostics": _diagnostics(recipe),
                    "encryptionProperties": recipe.aci.encryption and _dump(recipe.aci.encryption),
                }
            ),
        }
    )
    _refuse_too_much(body, volumes)
    return body


def _fetch_container(recipe: Recipe, found: list[Source], image: str) -> Json:
    mounts = [{**source.mount, "name": f"source-{source.slot}"} for source in found if source.volume]
    secrets = [source.credentials_mount for source in found if source.credentials_volume]
    return {
        "name": FETCH_CONTAINER,
        "properties": {
            "image": image,
            "command": ["berth-scoring", "fetch"],
            "environmentVariables": [
                *config_variables(recipe.subject, keys=None, server=_server(recipe.subject)),
                *_client_id(recipe),
            ],
            "volumeMounts": [_APP, *mounts, *secrets],
            "securityContext": _ROOT,
        },
    }


def _scoring_container(recipe: Recipe, found: list[Source], image: str) -> Json:
    spec = recipe.subject.spec
    keys = key_files(recipe.subject, recipe.content)
    size = group_size(recipe.subject, recipe.place)
    mounted = [_APP] if found else []
    folders = ({_KEYS: KEYS} if keys else {}) | ({_TLS: FOLDER} if spec.tls and spec.tls.secret_ref else {})
    secret = [{"name": name, "mountPath": folder, "readOnly": True} for name, folder in folders.items()]
    server = _server(recipe.subject) | tls_config(recipe.subject, _fqdn(recipe))
    return {
        "name": SCORING_CONTAINER,
        "properties": _without_empty(
            {
                "image": spec.image or image,
                "command": [] if spec.has_own_server else ["berth-scoring", "serve"],
                "ports": _ports(recipe.subject),
                "environmentVariables": [
                    *environment(spec.env or (), recipe.content),
                    *own_variables(recipe.subject, keys=KEYS if keys else None, server=server),
                ],
                "resources": {"requests": {"cpu": size.cpu, "memoryInGB": size.memory_in_gb}},
                "volumeMounts": [*mounted, *secret],
                "securityContext": {} if spec.has_own_server else _ROOT,
                **_probes(recipe.subject),
            }
        ),
    }


def _server(subject: Subject) -> Json:
    return {"port": endpoint(subject.spec).port, "user": USER}


def _ports(subject: Subject) -> list[Json]:
    return [{"port": endpoint(subject.spec).port, "protocol": "TCP"}]


def _probes(subject: Subject) -> Json:
    """Delay liveness by the time to start: Azure has no probe for the start itself."""
    probes = subject.spec.probes
    alive, ready = ("/", "/") if subject.spec.has_own_server else ("/livez", "/readyz")
    delay = max(probes.liveness.initial_delay_seconds, probes.startup.budget_seconds)
    return {
        "livenessProbe": {**_probe(subject, alive, probes.liveness), "initialDelaySeconds": delay},
        "readinessProbe": _probe(subject, ready, probes.readiness),
    }


def _probe(subject: Subject, path: str, probe: Probe) -> Json:
    asked = endpoint(subject.spec)
    return {"httpGet": {"path": path, "port": asked.port, "scheme": asked.scheme}, **_dump(probe)}


def _volumes(recipe: Recipe, found: list[Source]) -> list[Json]:
    files = {f"source-{source.slot}": source_files(source, recipe.content) for source in found}
    files |= {f"credentials-{source.slot}": credentials_files(source, recipe.content) for source in found}
    files[_KEYS] = key_files(recipe.subject, recipe.content)
    files[_TLS] = certificate_files(recipe.subject, recipe.content)
    app = [{"name": _APP["name"], "emptyDir": {}}] if found else []
    return app + [{"name": name, "secret": encoded(held)} for name, held in files.items() if held is not None]


def _identities(recipe: Recipe) -> list[str]:
    defaults = recipe.place.defaults
    pulling = [registry.identity for registry in defaults.registries or () if registry.identity]
    return sorted({*pulling, *(defaults.identities or ()), *(recipe.aci.identities or ())})


def _identity(recipe: Recipe) -> Json:
    every = _identities(recipe)
    if not every:
        return {}
    return {"type": "UserAssigned", "userAssignedIdentities": {identity: {} for identity in every}}


def _client_id(recipe: Recipe) -> list[Json]:
    client = recipe.aci.identity_client_id
    return [{"name": "AZURE_CLIENT_ID", "value": client}] if client else []


def _refuse_closed_storage(recipe: Recipe, found: list[Source]) -> None:
    """Refuse what would be tried for minutes: storage that nothing opens."""
    by_identity = [source.origin.uri for source in found if source.is_opened_by_identity]
    count = len(_identities(recipe))
    if by_identity and (count == 0 or (count > 1 and not recipe.aci.identity_client_id)):
        instead = (
            "aci.identities" if count == 0 else f"aci.identityClientId, for the group has {count} identities"
        )
        raise Terminal(Reason.REJECTED, f"{by_identity[0]} needs credentialsSecretRef or {instead}")


def _address(recipe: Recipe) -> Json:
    """Give a public name, or a private address in a subnet; Azure gives none at all to Spot."""
    if recipe.aci.priority is AciPriority.SPOT:
        return {}
    ports = _ports(recipe.subject)
    if recipe.subnet_id:
        if recipe.aci.dns_name_label:
            raise Terminal(
                Reason.REJECTED,
                "aci.dnsNameLabel names a public address, and the ComputeTarget puts groups into a subnet: "
                "remove it, or use another ComputeTarget",
            )
        return {"type": "Private", "ports": ports}
    return {"type": "Public", "ports": ports, "dnsNameLabel": _label(recipe)}


def _label(recipe: Recipe) -> str:
    given = recipe.aci.dns_name_label
    return given_label(given, recipe.slot) if given else dns_label(recipe.owner, recipe.place, recipe.slot)


def _fqdn(recipe: Recipe) -> str | None:
    """Return the name that Azure's public cloud gives the group."""
    return None if recipe.subnet_id else f"{_label(recipe)}.{recipe.location}.{_DOMAIN}"


def _diagnostics(recipe: Recipe) -> Json:
    workspace = recipe.place.defaults.log_analytics
    if workspace is None:
        return {}
    key = workspace_key(recipe.place, recipe.content)
    return {"logAnalytics": {"workspaceId": workspace.workspace_id, "workspaceKey": key}}


def _refuse_too_much(body: Json, volumes: list[Json]) -> None:
    if len(volumes) > MOST_VOLUMES:
        raise Terminal(
            Reason.TOO_LARGE,
            f"A container group has at most {MOST_VOLUMES} volumes, and {len(volumes)} are needed: "
            "put the models into one ConfigMap, or give https:// URIs",
        )
    if (size := len(orjson.dumps(body)) + LARGEST_TAGS) > LARGEST_BODY:
        raise Terminal(
            Reason.TOO_LARGE,
            f"ConfigMaps, Secrets and variables make a request of {size} bytes, and Azure takes "
            f"{LARGEST_BODY}: give https:// URIs for models and code",
        )


def _dump(model: Any) -> Json:  # noqa: ANN401 - any part of the spec
    dumped: Json = model.model_dump(by_alias=True, exclude_none=True, mode="json")
    return dumped


def _without_empty(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value not in (None, [], {}, "")}

"""A ModelDeployment as a layered deployment of an IoT Hub: content that never changes, and labels."""

import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from berth.api.conditions import Reason
from berth.api.iot_edge import MOST_METRICS, EdgeRoute, IotEdgeTarget
from berth.api.iot_hub import IotEdgePlace
from berth.core.errors import Terminal
from berth.plan import edge_query
from berth.plan.edge_module import module, module_name
from berth.plan.group_content import Content, Needed, docker_credentials, operator_entry
from berth.plan.group_names import FINGERPRINT, GENERATION, Owner
from berth.plan.subject import Subject

LARGEST_TWIN = 32 * 1024
"""Bytes of a twin's desired properties; those of the agent hold all modules of a device."""
RUNNING, FAILED, OFFLINE = "berthRunning", "berthFailed", "berthOffline"
"""Berth's own metrics, as far as the user's leave room for them."""

_AGENT, _HUB = "$edgeAgent", "$edgeHub"
_STEM = 80
_OWNER_HASH, _CONTENT_HASH, _ROUTE_HASH = 8, 12, 6
_NOTHING_SAID = IotEdgeTarget(device_id="-")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a deployment is made from, but for the scoring image."""

    subject: Subject
    place: IotEdgePlace
    cluster: str
    """Id of the cluster: the uid of its namespace `kube-system`."""
    content: Content

    @property
    def owner(self) -> Owner:
        """For whom the deployment is made."""
        return Owner.of(self.subject, self.cluster)

    @property
    def edge(self) -> IotEdgeTarget:
        """The settings of the target `IoTEdge`."""
        return self.subject.spec.iot_edge or _NOTHING_SAID


@dataclass(frozen=True, slots=True)
class Desired:
    """A deployment as Berth wants it; the content may hold secrets and must not be logged."""

    id: str
    module: str
    version: str
    """What tells this content from an earlier one, on the devices too."""
    content: Json
    labels: Mapping[str, str]
    priority: int
    condition: str
    """All devices, once the rollout is complete."""
    metrics: Mapping[str, str]
    """The user's queries."""

    @property
    def ids(self) -> tuple[str, str]:
        """The id, and the one to take where someone has put another content under the first."""
        return self.id, f"{self.id}-b"

    @property
    def fingerprint(self) -> str:
        """What tells this content from an earlier one, secrets included."""
        return self.labels[FINGERPRINT]

    @property
    def attempt(self) -> str:
        """What tells this content, as this generation wants it, from a later try with the same content."""
        return f"{self.fingerprint}-{self.labels[GENERATION]}"

    def queries(self, deployment: str) -> dict[str, str]:
        """Return the queries that the hub keeps: the user's, then Berth's as far as there is room."""
        own = {
            RUNNING: edge_query.running(deployment, self.module, self.version),
            FAILED: edge_query.failed(deployment, self.module, self.version),
            OFFLINE: edge_query.offline(deployment),
        }
        room = MOST_METRICS - len(self.metrics)
        return {**self.metrics, **dict(list(own.items())[:room])}


def needed(subject: Subject, place: IotEdgePlace) -> Needed:
    """Name the objects that a module takes content from."""
    edge = subject.spec.iot_edge or _NOTHING_SAID
    references = [variable.value_from for variable in subject.spec.env or () if variable.value_from]
    return Needed(
        frozenset(each.config_map_key_ref.name for each in references if each.config_map_key_ref),
        frozenset(each.secret_key_ref.name for each in references if each.secret_key_ref)
        | {reference.name for reference in edge.image_pull_secrets or ()},
        frozenset(registry.secret_ref.name for registry in place.defaults.registries or ()),
    )


def desired_deployment(recipe: Recipe, image: str, key: bytes, live: Iterable[Json]) -> Desired:
    """Build the deployment; `key` is the operator's secret for fingerprints, `live` what is in the hub.

    What is unchanged keeps the scoring image that it was made with, so that an upgrade of the operator
    restarts no model. Raises Terminal where content is missing, or is more than a hub takes.
    """
    for there in live:
        known = module_image(there, module_name(recipe.subject))
        if known and known != image:
            kept = _build(recipe, known, key)
            if kept.fingerprint == (there.get("labels") or {}).get(FINGERPRINT):
                return kept
    return _build(recipe, image, key)


def module_image(deployment: Json, name: str) -> str | None:
    """Return the image of a module in a layer of the hub."""
    found = (agent_content(deployment).get(f"properties.desired.modules.{name}") or {}).get("settings") or {}
    image: str | None = found.get("image")
    return image


def agent_content(deployment: Json) -> Json:
    """Return what a deployment of the hub tells the agent."""
    content = (deployment.get("content") or {}).get("modulesContent") or {}
    told: Json = content.get(_AGENT) or {}
    return told


def deployment_id(owner: Owner, fingerprint: str) -> str:
    """Return an id that no other content and no other ModelDeployment has."""
    whose = sha256(orjson.dumps([owner.cluster, owner.uid])).hexdigest()[:_OWNER_HASH]
    stem = f"{owner.namespace}-{owner.name}"[:_STEM].rstrip("-")
    return f"{stem}-{whose}-{fingerprint[:_CONTENT_HASH]}"


def _build(recipe: Recipe, image: str, key: bytes) -> Desired:
    name = module_name(recipe.subject)
    agent = {**_module(recipe, name, image), **dict(_registry_credentials(recipe, name))}
    content = {_AGENT: agent, _HUB: dict(_routes(recipe.edge, name))}
    fingerprint = hmac.digest(key, orjson.dumps(content, option=orjson.OPT_SORT_KEYS), "sha256").hex()[:32]
    version = fingerprint[:_CONTENT_HASH]
    agent[f"properties.desired.modules.{name}"]["version"] = version
    whole = {each: told for each, told in content.items() if told}
    _refuse_too_much(whole)
    generation = recipe.subject.metadata.generation
    return Desired(
        id=deployment_id(recipe.owner, fingerprint),
        module=name,
        version=version,
        content=whole,
        labels={**(recipe.edge.labels or {}), **recipe.owner.tags(generation, fingerprint)},
        priority=recipe.edge.priority,
        condition=_condition(recipe.edge),
        metrics={metric.name: metric.query for metric in recipe.edge.metrics or ()},
    )


def _condition(edge: IotEdgeTarget) -> str:
    if edge.device_id:
        return edge_query.device(edge.device_id)
    return edge_query.check_condition(edge.target_condition or "")


def _module(recipe: Recipe, name: str, image: str) -> Json:
    return {f"properties.desired.modules.{name}": module(recipe.subject, image, recipe.content)}


def _registry_credentials(recipe: Recipe, name: str) -> Iterator[tuple[str, Json]]:
    """Give each its own key: another layer's under the same one would take its place."""
    shared = [
        {
            "server": registry.server,
            **{
                field: operator_entry(recipe.content, registry.secret_ref.name, field)
                for field in ("username", "password")
            },
        }
        for registry in recipe.place.defaults.registries or ()
    ]
    own = [
        credentials
        for reference in recipe.edge.image_pull_secrets or ()
        for credentials in docker_credentials(reference.name, recipe.content)
    ]
    by_server = {credentials["server"]: credentials for credentials in (*shared, *own)}
    for number, server in enumerate(sorted(by_server)):
        found = by_server[server]
        told = {"address": server, "username": found["username"], "password": found["password"]}
        yield f"properties.desired.runtime.settings.registryCredentials.{name}-{number}", told


def _routes(edge: IotEdgeTarget, name: str) -> Iterator[tuple[str, Json]]:
    """Give each a name of the module's: a device has one set of routes for all deployments.

    The hash tells a route `b-c` of module `a` from a route `c` of module `a-b`.
    """
    whose = sha256(name.encode()).hexdigest()[:_ROUTE_HASH]
    for route in edge.routes or ():
        seconds = route.time_to_live_seconds or edge.store_and_forward_seconds
        yield (
            f"properties.desired.routes.{name}-{route.name}-{whose}",
            {"route": _route(route), "priority": route.priority, "timeToLiveSecs": seconds},
        )


def _route(route: EdgeRoute) -> str:
    where = f" WHERE {edge_query.check_condition(route.where)}" if route.where else ""
    return f"FROM {route.source}{where} INTO {route.sink}"


def _refuse_too_much(content: Json) -> None:
    for name, told in content.items():
        if (size := len(orjson.dumps(told))) > LARGEST_TWIN:
            raise Terminal(
                Reason.TOO_LARGE,
                f"The twin of {name} would hold {size} bytes, and a hub takes {LARGEST_TWIN}: "
                "give fewer variables, models or routes, or build them into spec.image",
            )

"""What targets need of Azure, and the ComputeTargets that say where it is."""

import base64
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from berth.api.azure import Cloud, Credentials
from berth.api.common import ObjectRef
from berth.api.compute_target import AciPlace
from berth.api.conditions import Reason
from berth.core.errors import Gone, Terminal
from berth.core.keys import Key
from berth.core.store import Store
from berth.plan.compute_target_status import ABANDONED, Place
from berth.plan.observed import Observed
from berth.plan.resources import COMPUTE_TARGETS, NAMESPACES, SECRETS
from berth.plan.subject import Subject
from berth.targets.base import Cluster, Object

_LOOK_AGAIN_SECONDS = 60.0
CLIENT_SECRET = "clientSecret"  # noqa: S105 - the name of an entry
_BLIND = (
    "This operator may not see ComputeTargets, as where it is installed with watchNamespaces: "
    "it serves target AKS, and FPGA without computeTargetRef"
)


class Answer(Protocol):
    """What Azure answered."""

    @property
    def body(self) -> Object:
        """The document."""


class Groups(Protocol):
    """The operations of one subscription's container groups; none waits for the end of what it begins."""

    async def put(self, resource_group: str, name: str, body: Object) -> Answer:
        """Create or change a group."""

    async def get(self, resource_group: str, name: str) -> Answer:
        """Read a group with its instance view; raises Gone."""

    async def delete(self, resource_group: str, name: str) -> Answer:
        """Begin to delete a group."""

    async def tag(self, resource_group: str, name: str, tags: Mapping[str, str]) -> Answer:
        """Replace the tags of a group."""

    async def start(self, resource_group: str, name: str) -> Answer:
        """Begin to start a group."""

    async def logs(self, resource_group: str, name: str, container: str) -> str:
        """Read the last lines that a container wrote."""

    async def list_by_resource_group(self, resource_group: str) -> Answer:
        """Read all groups of a resource group, without their instance views."""

    async def usages(self, location: str) -> Answer:
        """Read what is used of each quota in a region."""


class Clients(Protocol):
    """Opens clients of Azure."""

    async def container_groups(
        self, subscription: str, cloud: Cloud, credentials: Credentials, client_secret: str | None = None
    ) -> Groups:
        """Return the client of a subscription."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place, and the client of its subscription."""

    place: AciPlace
    groups: Groups

    @property
    def resource_group(self) -> str:
        """Where the groups are made."""
        return self.place.resource_group


class Places:
    """The ComputeTargets: where they are, and who may use them."""

    def __init__(
        self,
        api: Cluster,
        store: Store[Key, Observed],
        clients: Clients,
        operator_namespace: str,
        *,
        is_blind: Callable[[], bool],
    ) -> None:
        self._api = api
        self._store = store
        self._clients = clients
        self._operator_namespace = operator_namespace
        self._is_blind = is_blind

    async def admit(self, subject: Subject) -> None:
        """Raise Terminal unless the namespace may use the ComputeTarget that is named."""
        place, namespace = self.place_of(subject), subject.metadata.namespace
        metadata = (await self._api.get(NAMESPACES, Key("", namespace)))["metadata"]
        if not place.spec.admits(namespace, metadata.get("labels", {}), self._operator_namespace):
            raise Terminal(
                Reason.TARGET_NOT_AVAILABLE,
                f"ComputeTarget {place.metadata.name} does not allow namespace {namespace}: "
                "ask who owns it to choose the namespace by allowedNamespaces",
                _LOOK_AGAIN_SECONDS,
            )

    async def site_of(self, subject: Subject) -> Site:
        """Return where a ModelDeployment is served; raises Terminal where that is not known."""
        return await self.site(self.place_of(subject))

    async def site(self, place: Place) -> Site:
        """Open the client of a ComputeTarget; raises Terminal where no one can sign in that way."""
        spec = place.spec
        if spec.aci is None:
            raise Terminal(Reason.CONFIG_INVALID, f"ComputeTarget {place.metadata.name} has no aci")
        secret = await self.secret(spec.credentials.secret_ref, CLIENT_SECRET)
        groups = await self._clients.container_groups(
            spec.aci.subscription_id, spec.cloud, spec.credentials, secret
        )
        return Site(spec.aci, groups)

    def pointed_at(self, subject: Subject) -> AciPlace | None:
        """Return where a ModelDeployment is served, or None where that is not known."""
        reference = subject.spec.compute_target_ref
        place = self.get(Key("", reference.name)) if reference else None
        return place.spec.aci if place else None

    async def abandon(self, subject: Subject) -> None:
        """Note at the ComputeTarget that groups stay behind: Azure may be out of reach for long."""
        metadata, reference = subject.metadata, subject.spec.compute_target_ref
        if reference and self._store.get(Key("", reference.name)):
            await self._annotate(reference.name, metadata.uid, f"{metadata.namespace}/{metadata.name}")

    async def forget_abandoned(self, place: Place, uid: str) -> None:
        """Take back that note: the groups say it themselves."""
        await self._annotate(place.metadata.name, uid, None)

    async def _annotate(self, name: str, uid: str, value: str | None) -> None:
        patch = {"metadata": {"annotations": {f"{ABANDONED}{uid}": value}}}
        with contextlib.suppress(Gone):
            await self._api.merge_patch(COMPUTE_TARGETS, Key("", name), patch)

    def get(self, key: Key) -> Place | None:
        """Return a ComputeTarget; raises Terminal where definitions and operator are of two versions."""
        observed = self.observed(key)
        return read_place(observed) if observed else None

    def observed(self, key: Key) -> Observed | None:
        """Return what the store keeps of a ComputeTarget, whether it can be read or not."""
        return self._store.get(key)

    def place_of(self, subject: Subject) -> Place:
        """Return the ComputeTarget that is named; raises Terminal where there is none of that kind."""
        reference = subject.spec.compute_target_ref
        name = reference.name if reference else ""
        place = self.get(Key("", name))
        if place is None:
            told = _BLIND if self._is_blind() else f"ComputeTarget {name} does not exist"
            raise Terminal(Reason.TARGET_NOT_AVAILABLE, told, _LOOK_AGAIN_SECONDS)
        if place.spec.kind.value != subject.spec.target.value:
            told = f"ComputeTarget {name} is of kind {place.spec.kind}, not {subject.spec.target}"
            raise Terminal(Reason.TARGET_NOT_AVAILABLE, told, _LOOK_AGAIN_SECONDS)
        return place

    async def secret(self, reference: ObjectRef | None, entry: str) -> str | None:
        """Read an entry of a Secret of the operator's; raises Terminal where it is missing."""
        if reference is None:
            return None
        name = reference.name
        try:
            secret = await self._api.get(SECRETS, Key(self._operator_namespace, name))
        except Gone:
            raise _no_credentials(f"The operator's Secret {name} does not exist") from None
        if not (encoded := secret.get("data", {}).get(entry)):
            raise _no_credentials(f"The operator's Secret {name} has no key {entry}")
        return base64.b64decode(encoded).decode(errors="replace").strip()


def read_place(observed: Observed) -> Place:
    """Read what the store keeps of a ComputeTarget."""
    try:
        return Place.model_validate_json(observed.body)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        message = f"This version of Berth cannot read {field} of ComputeTarget {observed.key.name}"
        raise Terminal(Reason.UNREADABLE, message) from None


def _no_credentials(message: str) -> Terminal:
    return Terminal(Reason.AUTHENTICATION_FAILED, message, _LOOK_AGAIN_SECONDS)

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.base import ApiModel, Rule
from berth.api.common import PullSecrets

_RESOURCE_ID = r"^/subscriptions/[^/ ]+(/[^/ ]+)+$"
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
ResourceId = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=_RESOURCE_ID)]


class AciRestartPolicy(StrEnum):
    """When the service starts the container again."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class AciUpdateStrategy(StrEnum):
    """How a change reaches the container group."""

    IN_PLACE = "InPlace"
    BLUE_GREEN = "BlueGreen"


class AciPriority(StrEnum):
    """Whether Azure may take the capacity back."""

    REGULAR = "Regular"
    SPOT = "Spot"


class AciEncryption(ApiModel):
    """A key of your own that encrypts the group's data."""

    vault_base_url: Annotated[str, StringConstraints(max_length=253, pattern=r"^https://[a-z0-9.-]+/?$")]
    """Key vault, such as `https://NAME.vault.azure.net`."""
    key_name: Annotated[str, StringConstraints(min_length=1, max_length=127, pattern=r"^[0-9a-zA-Z-]+$")]
    """Name of the key."""
    key_version: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9a-zA-Z]+$")]
    """Version of the key."""


class AciTarget(ApiModel):
    """Settings of the target `ACI`: an Azure container group."""

    location: (
        Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z0-9]+$")] | None
    ) = None
    """Azure region, such as `eastus`. Without it, the region of the ComputeTarget."""
    dns_name_label: (
        Annotated[str, StringConstraints(min_length=5, max_length=63, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])$")]
        | None
    ) = None
    """First part of the public name. Without it, one is made from namespace and name."""
    subnet_id: ResourceId | None = None
    """Resource id of the subnet that the group joins; it then has a private address only."""
    restart_policy: AciRestartPolicy = AciRestartPolicy.ALWAYS
    """When the service starts the container again."""
    update_strategy: AciUpdateStrategy = AciUpdateStrategy.IN_PLACE
    """`InPlace` changes the group, `BlueGreen` starts a second one and switches when it is ready."""
    priority: AciPriority = AciPriority.REGULAR
    """`Spot` is cheaper, may be taken back at any time and has no public address."""
    identities: Annotated[tuple[ResourceId, ...], Field(max_length=16)] | None = None
    """Resource ids of the managed identities that the container may use."""
    identity_client_id: Annotated[str, StringConstraints(max_length=36, pattern=_UUID)] | None = None
    """Client id of the one that reads models in Azure storage, where the group has several."""
    image_pull_secrets: PullSecrets | None = None
    """Secrets with the registries' credentials."""
    encryption: AciEncryption | None = None
    """A key of your own that encrypts the group's data."""

    rules = (
        Rule(
            "!has(self.dnsNameLabel) || !has(self.subnetId)",
            "dnsNameLabel names a public address, which a group in a subnet has not: remove one of the two",
        ),
        Rule(
            "self.priority != 'Spot' || has(self.subnetId)",
            "priority Spot has no public address: give subnetId, or use priority Regular",
        ),
    )

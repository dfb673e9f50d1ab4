"""Tenants, applications and subscriptions, as JSON."""

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.directory import Application, FederatedCredential
from berth_sandbox.azure.iot_hub.setup import add_hub
from berth_sandbox.azure.names import Document
from berth_sandbox.azure.regions import QUOTAS, Subscription


def configure(azure: Azure, document: Document) -> None:
    """Add what a document lists.

    `systemIdentity` is the client id of the machine's own identity, `signingKey` signs tokens.

    `{"tenants": {TENANT: {CLIENT_ID: {"secrets": {SECRET: null}, "federated": [{"issuer", "subject"}]}}},
    "subscriptions": {ID: {"tenant": TENANT, "resourceGroups": [...], "quotas": {...}, "enabled": true}},
    "hubs": {NAME: {"hosts": [...], "policies": {"iothubowner": KEY}, "devices": {ID: {TAG: VALUE}}, ...}}}`
    """
    for tenant, applications in document.get("tenants", {}).items():
        azure.directory.register(tenant, [application(*entry) for entry in applications.items()])
    azure.directory.system_identity = document.get("systemIdentity", azure.directory.system_identity)
    azure.directory.signing_key = document.get("signingKey", azure.directory.signing_key)
    for name, described in document.get("subscriptions", {}).items():
        azure.service.subscriptions[name.lower()] = subscription(name, described)
    for name, described in document.get("hubs", {}).items():
        add_hub(azure, name, described)


def application(client_id: str, described: Document) -> Application:
    """Read an application; a secret may say when it expires, in seconds since 1970."""
    federated = tuple(FederatedCredential(**entry) for entry in described.get("federated", ()))
    return Application(client_id, described.get("secrets", {}), federated)


def subscription(name: str, described: Document) -> Subscription:
    """Read a subscription."""
    return Subscription(
        name,
        described["tenant"],
        set(described.get("resourceGroups", ())),
        {**QUOTAS, **described.get("quotas", {})},
        described.get("enabled", True),
    )

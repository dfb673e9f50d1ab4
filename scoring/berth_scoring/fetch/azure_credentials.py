"""What opens Azure storage: a secret out of the credentials folder, else the identity of the workload."""

import os
from base64 import b64decode
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential, WorkloadIdentityCredential

from berth_scoring.fetch.azure_errors import sign_in_error
from berth_scoring.fetch.blob_location import BlobLocation
from berth_scoring.fetch.credentials import storage_key
from berth_scoring.fetch.errors import FetchError

SCOPE = "https://storage.azure.com/.default"

Identity = WorkloadIdentityCredential | ManagedIdentityCredential
Credential = AzureNamedKeyCredential | AzureSasCredential | Identity


def opened(
    location: BlobLocation, credentials_dir: Path | None, connect_seconds: float, read_seconds: float
) -> Credential:
    """Return what opens the location; an identity has signed in then."""
    if credentials_dir is not None:
        return _from_secret(location, credentials_dir)
    if not location.account_url.startswith("https://"):
        raise FetchError(
            f"{location.shown}: an identity signs in to https:// only: give credentialsSecretRef"
        )
    try:
        return _signed_in(connect_seconds, read_seconds)
    except (ClientAuthenticationError, ValueError, FileNotFoundError) as error:
        raise sign_in_error(error, location) from error


def trusted_authorities() -> str | bool:
    """Return the file of the authorities to trust, the same as for https."""
    return os.environ.get("SSL_CERT_FILE") or True


def _from_secret(location: BlobLocation, folder: Path) -> Credential:
    kind, value = storage_key(folder)
    if kind == "sasToken":
        return AzureSasCredential(value)
    try:
        b64decode(value, validate=True)
    except ValueError as error:
        raise FetchError("accountKey in the credentials Secret is not base64") from error
    return AzureNamedKeyCredential(location.account, value)


def _signed_in(connect_seconds: float, read_seconds: float) -> Identity:
    options: dict[str, Any] = {
        "retry_total": 0,
        "connection_timeout": connect_seconds,
        "read_timeout": read_seconds,
        "connection_verify": trusted_authorities(),
    }
    with ExitStack() as on_failure:
        identity = _identity(options)
        on_failure.callback(identity.close)
        identity.get_token(SCOPE)
        on_failure.pop_all()
    return identity


def _identity(options: dict[str, Any]) -> Identity:
    if "AZURE_FEDERATED_TOKEN_FILE" in os.environ:
        return WorkloadIdentityCredential(**options)
    return ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID"), **options)

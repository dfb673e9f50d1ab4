"""Who may read: a key, a signature, an identity; and what is said of those who may not."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas
from azure_emulator import CLIENT, ISSUER, SUBJECT, TENANT
from azurite import ACCOUNT, KEY

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint
from berth_scoring.fetch.errors import FetchError

Fetch = Callable[..., str]
MakeSecret = Callable[..., Path]


@pytest.fixture
def uri(container: ContainerClient) -> str:
    container.upload_blob("iris/m.bin", b"weights")
    return f"abfss://{container.container_name}@{ACCOUNT}.dfs.core.windows.net/iris/m.bin"


def signature(container: ContainerClient, hours: int = 1, **permissions: bool) -> str:
    return generate_container_sas(
        ACCOUNT,
        container.container_name,
        account_key=KEY,
        permission=ContainerSasPermissions(**permissions),
        expiry=datetime.now(UTC) + timedelta(hours=hours),
    )


@pytest.mark.parametrize("mark", ["", "?"])
def test_a_signature_that_may_read_brings_a_blob(
    container: ContainerClient, uri: str, fetch: Fetch, target: Path, make_secret: MakeSecret, mark: str
) -> None:
    fetch(uri, credentials_dir=make_secret(sasToken=mark + signature(container, read=True)))
    assert (target / "m.bin").read_bytes() == b"weights"


def test_a_signature_that_may_list_brings_a_folder(
    container: ContainerClient, uri: str, fetch: Fetch, target: Path, make_secret: MakeSecret
) -> None:
    sas = signature(container, read=True, list=True)
    fetch(uri.removesuffix("/m.bin"), credentials_dir=make_secret(sasToken=sas))
    assert (target / "m.bin").read_bytes() == b"weights"


@pytest.mark.parametrize(
    "sas",
    [
        lambda container: signature(container, hours=-1, read=True),
        lambda container: signature(container, write=True),
        lambda container: signature(container, read=True).replace("sig=", "sig=AAAA"),
    ],
    ids=["expired", "may not read", "forged"],
)
def test_a_signature_that_opens_nothing_is_refused_and_not_shown(
    container: ContainerClient,
    uri: str,
    fetch: Fetch,
    make_secret: MakeSecret,
    sas: Callable[[ContainerClient], str],
) -> None:
    token = sas(container)
    with pytest.raises(FetchError, match=r"the server refuses access \(403\): check the cred") as caught:
        fetch(uri, credentials_dir=make_secret(sasToken=token))
    assert "sig" not in str(caught.value).replace("signature", "")


def test_a_wrong_key_is_refused_and_not_shown(uri: str, fetch: Fetch, make_secret: MakeSecret) -> None:
    key = "A" * 86 + "=="
    with pytest.raises(FetchError, match=r"the server (refuses access \(403\)|answers 400)") as caught:
        fetch(uri, credentials_dir=make_secret(accountKey=key))
    assert key not in str(caught.value)


def test_a_key_that_can_be_none_is_refused_and_not_shown(
    uri: str, fetch: Fetch, make_secret: MakeSecret
) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(uri, credentials_dir=make_secret(accountKey="not-base64!"))
    assert str(caught.value) == "accountKey in the credentials Secret is not base64"


def test_a_secret_for_another_kind_of_server_is_told(uri: str, fetch: Fetch, make_secret: MakeSecret) -> None:
    with pytest.raises(FetchError, match="the credentials Secret has none of: sasToken, accountKey"):
        fetch(uri, credentials_dir=make_secret(token="t"))


@pytest.fixture
def workload(entra: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give this process what a Pod with a workload identity has."""

    def give(tenant: str = TENANT, subject: str = SUBJECT) -> None:
        claims = {"iss": ISSUER, "sub": subject, "aud": "api://AzureADTokenExchange"}
        token = jwt.encode(claims | {"exp": int(time.time()) + 600}, "k" * 32, algorithm="HS256")
        (tmp_path / "federated").write_text(token)
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", entra.url)
        monkeypatch.setenv("AZURE_TENANT_ID", tenant)
        monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "federated"))

    return give


def test_a_workload_identity_signs_in(
    uri: str, fetch: Fetch, target: Path, workload: Callable[..., None]
) -> None:
    workload()
    fetch(uri)
    assert (target / "m.bin").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("fault", "words"), [({"subject": "system:serviceaccount:a:b"}, "AADSTS700213"), ({"tenant": "none"}, "")]
)
def test_an_identity_that_entra_refuses_is_told_in_its_words(
    uri: str, fetch: Fetch, workload: Callable[..., None], fault: dict[str, str], words: str
) -> None:
    workload(**fault)
    start = time.monotonic()
    with pytest.raises(FetchError, match=f"signing in fails: .*{words}") as caught:
        fetch(uri)
    assert "Trace ID" not in str(caught.value)
    assert time.monotonic() - start < 5


def test_a_federated_token_that_is_missing_is_told(
    uri: str, fetch: Fetch, workload: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    workload()
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/nowhere/token")
    with pytest.raises(FetchError, match=r"signing in fails: .*/nowhere/token"):
        fetch(uri)


@pytest.mark.parametrize("kind", ["of the system", "of the user"])
def test_a_managed_identity_signs_in(
    uri: str,
    fetch: Fetch,
    target: Path,
    entra: Endpoint,
    cloud: Azure,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.plain_url)
    if kind == "of the user":
        monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    else:
        monkeypatch.setattr(cloud.directory, "system_identity", CLIENT)
    fetch(uri)
    assert (target / "m.bin").read_bytes() == b"weights"


def test_a_machine_without_identity_is_told(
    uri: str, fetch: Fetch, entra: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.plain_url)
    with pytest.raises(FetchError, match=r"signing in fails: .*Identity not found"):
        fetch(uri)

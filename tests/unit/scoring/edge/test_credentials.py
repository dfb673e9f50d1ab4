import base64
from urllib.parse import quote

import pytest
import trustme

from berth_sandbox.azure.edge_hub.tokens import expiry, sign
from berth_scoring.edge.credentials import RETRY_SECONDS, CredentialStore, trust_context
from berth_scoring.edge.errors import WorkloadError

RESOURCE = "hub.example/devices/dev 1/modules/ä"
KEY = base64.b64decode("c2VjcmV0")


class Signer:
    """The workload API, with a clock beside it."""

    def __init__(self) -> None:
        self.bundle = trustme.CA().cert_pem.bytes().decode()
        self.now = 1_795_194_063.5
        self.away = False
        self.signed = 0

    def trust_bundle(self) -> str:
        if self.away:
            raise WorkloadError("away")
        return self.bundle

    def sign(self, data: bytes) -> str:
        self.signed += 1
        return sign(KEY, data)


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture
def store(signer: Signer) -> CredentialStore:
    return CredentialStore(quote(RESOURCE, safe=""), signer, 1000, lambda: signer.now)


async def test_a_hub_takes_the_token(store: CredentialStore, signer: Signer) -> None:
    held = await store.current()
    assert expiry(held.token, RESOURCE, KEY) == int(signer.now) + 1000 == held.expires_at
    assert held.trust.get_ca_certs()


async def test_credentials_are_kept_until_they_are_due(store: CredentialStore, signer: Signer) -> None:
    held = await store.current()
    assert store.seconds_left(held) == held.expires_at - 200 - signer.now
    signer.now += 799
    assert await store.current() is held
    signer.now += 2
    assert (await store.current()).token != held.token
    assert signer.signed == 2


async def test_the_old_token_is_used_while_there_is_no_new_one(
    store: CredentialStore, signer: Signer
) -> None:
    held = await store.current()
    signer.now, signer.away = signer.now + 900, True
    assert await store.current() is held
    assert store.seconds_left(held) == RETRY_SECONDS
    signer.now += 100
    with pytest.raises(WorkloadError):
        await store.current()


async def test_refused_credentials_are_made_anew(store: CredentialStore, signer: Signer) -> None:
    held = await store.current()
    store.discard()
    assert await store.current() is not held
    assert signer.signed == 2


async def test_a_trust_bundle_without_certificates_is_an_error(
    store: CredentialStore, signer: Signer
) -> None:
    signer.bundle = "nothing"
    with pytest.raises(WorkloadError, match="trust bundle"):
        await store.current()


def test_an_empty_trust_bundle_means_the_certificates_of_the_system() -> None:
    context = trust_context("")
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"

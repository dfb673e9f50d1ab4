from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.storage.blob import ContainerClient
from azure_emulator import configured
from azurite import ACCOUNT, KEY, BrittleLine, azurite, brittle_line
from npm_packages import RegistryUnreachableError, installed

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint, served_from_thread
from berth_sandbox.azure.simulation import Simulation
from berth_scoring.fetch.archive import UnpackLimits
from berth_scoring.fetch.artifact import Artifact, Fetcher
from berth_scoring.fetch.https import Downloader
from berth_scoring.fetch.storage import Storage
from berth_scoring.fetch.transfer import Patience

PATIENCE = Patience(deadline=30, connect=5, stall=5, first_pause=0.01, attempts=3)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Microsoft's client obeys proxies even on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture(scope="session")
def cloud() -> Azure:
    return configured(Azure(backing=Simulation(), clock=Clock(factor=0)))


@pytest.fixture(scope="session")
def entra(cloud: Azure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The emulated Entra, whose authority has signed Azurite's certificate too."""
    with served_from_thread(cloud, tmp_path_factory.mktemp("authority")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def storage_port(entra: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("azurite")
    authority = trustme.CA.from_pem(
        entra.ca_file.read_bytes(), entra.ca_file.with_name("ca.key").read_bytes()
    )
    certificate = folder / "azurite.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    with ExitStack() as running:
        try:
            modules = installed(Path(__file__).parent / "azurite", "azurite")
        except RegistryUnreachableError:
            pytest.skip("Azurite cannot be installed: the npm registry does not answer")
        yield running.enter_context(azurite(modules, folder, certificate))


@pytest.fixture
def container(
    storage_port: int, entra: Endpoint, request: pytest.FixtureRequest
) -> Iterator[ContainerClient]:
    """A container of the test's own."""
    name = f"test-{abs(hash(request.node.nodeid)):x}"
    client = ContainerClient(
        account_url(storage_port),
        name,
        {"account_name": ACCOUNT, "account_key": KEY},
        connection_verify=str(entra.ca_file),
        retry_total=0,
    )
    with client:
        client.create_container()
        yield client


@pytest.fixture
def line(storage_port: int) -> Iterator[BrittleLine]:
    with brittle_line(storage_port) as forwarding:
        yield forwarding


@pytest.fixture
def with_key(tmp_path: Path) -> Path:
    return secret(tmp_path / "with-key", accountKey=KEY)


@pytest.fixture
def make_secret(tmp_path: Path) -> Callable[..., Path]:
    return lambda **values: secret(tmp_path / "secret", **values)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "app/models/iris/3"


@pytest.fixture
def fetch(
    storage_port: int, entra: Endpoint, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Fetch with `credentials_dir` from a port that is Azurite's own, or a line to it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(entra.ca_file))

    def fetch(uri: str, port: int = storage_port, patience: Patience = PATIENCE, **more: Any) -> str:
        storage = Storage(patience, {ACCOUNT: account_url(port)})
        fetcher = Fetcher(Downloader(patience), storage, tmp_path / "app/.fetch", UnpackLimits())
        return fetcher.fetch(Artifact(uri=uri, target=target, **more))

    return fetch


def account_url(port: int) -> str:
    return f"https://127.0.0.1:{port}/{ACCOUNT}"


def secret(folder: Path, **values: str) -> Path:
    folder.mkdir()
    for name, value in values.items():
        (folder / name).write_text(value)
    return folder

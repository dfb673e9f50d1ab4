import csv
from pathlib import Path

import pytest
import yaml

from berth_sandbox.cluster import components
from berth_sandbox.cluster.components import Address, Credentials
from berth_sandbox.cluster.kubeconfig import Identity, read_token

ADDRESS = Address("10.1.0.2", 6443, 2379, 2380, "10.1.32.0/20", "10.1.32.1")
BINARIES = Path("/programs")


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    identities = [Identity("admin", ("system:masters",)), Identity("system:node:n", ("a", "b"))]
    return components.issue_credentials(tmp_path, ADDRESS, identities)


def test_the_token_file_has_a_line_for_each_identity(credentials: Credentials) -> None:
    with (credentials.folder / "tokens.csv").open() as file:
        rows = list(csv.reader(file))
    assert [(user, groups) for _, user, _, groups in rows] == [
        ("admin", "system:masters"),
        ("system:node:n", "a,b"),
    ]
    assert len({token for token, *_ in rows}) == 2


def test_a_kubeconfig_leads_to_the_api_server_with_the_token(credentials: Credentials) -> None:
    path = credentials.kubeconfig("system:node:n", ADDRESS)
    cluster = yaml.safe_load(path.read_text())["clusters"][0]["cluster"]
    assert cluster["server"] == "https://10.1.0.2:6443"
    assert read_token(path) == credentials.identities["system:node:n"].token
    assert path.stat().st_mode & 0o077 == 0


def test_tokens_are_not_shown_when_an_identity_is_printed() -> None:
    identity = Identity("admin")
    assert identity.token not in repr(identity)


def test_the_api_server_listens_only_where_it_is_told_to(credentials: Credentials) -> None:
    command = components.apiserver(BINARIES, credentials, ADDRESS, Path("/audit"))
    assert "--bind-address=10.1.0.2" in command
    assert "--secure-port=6443" in command
    assert "--authorization-mode=Node,RBAC" in command


def test_every_file_that_the_api_server_is_given_exists(credentials: Credentials) -> None:
    command = components.apiserver(BINARIES, credentials, ADDRESS, Path("/audit"))
    files = [value for _, _, value in (word.partition("=") for word in command) if "/" in value]
    inside = [Path(file) for file in files if file.startswith(str(credentials.folder))]
    assert len(inside) > 5
    assert all(file.exists() for file in inside)


def test_etcd_serves_its_own_address_alone() -> None:
    command = components.etcd(BINARIES, Path("/data"), ADDRESS)
    urls = [word.partition("=")[2] for word in command if word.startswith("--listen")]
    assert urls == ["http://10.1.0.2:2379", "http://10.1.0.2:2380"]

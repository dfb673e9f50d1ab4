"""Kubeconfig files and the tokens in them."""

import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Identity:
    """A user whom the API server knows by a token."""

    user: str
    groups: tuple[str, ...] = ()
    token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def token_line(self) -> str:
        """Return the user's line in the API server's token file."""
        groups = ",".join(self.groups)
        return f'{self.token},{self.user},{self.user},"{groups}"\n'


def write_kubeconfig(
    path: Path, *, server: str, authority: Path, identity: Identity, name: str = "berth"
) -> Path:
    """Write a kubeconfig that holds everything, the authority's certificate included."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": identity.user}}],
        "clusters": [{"name": name, "cluster": {"server": server, **_embedded(authority)}}],
        "users": [{"name": identity.user, "user": {"token": identity.token}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def _embedded(authority: Path) -> dict[str, str]:
    return {"certificate-authority-data": b64encode(authority.read_bytes()).decode()}


def read_token(path: Path) -> str:
    """Return the token of the first user of a kubeconfig."""
    token: str = yaml.safe_load(path.read_text())["users"][0]["user"]["token"]
    return token

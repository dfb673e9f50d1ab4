"""Where a URI of Azure storage leads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from berth_scoring.fetch.errors import FetchError
from berth_scoring.fetch.uri import path_of, shown

_CONTAINER = re.compile(r"\$?[a-z0-9-]{1,63}")
_HOST = re.compile(r"(?P<account>[a-z0-9-]+)\.(dfs|blob)\.(?P<cloud>[a-z0-9.-]+)")


@dataclass(frozen=True, slots=True)
class BlobLocation:
    """A blob, or the folder that a prefix of blob names makes."""

    account: str
    account_url: str
    container: str
    path: str
    shown: str
    """The URI as messages may tell it."""

    @classmethod
    def from_uri(cls, uri: str, endpoints: Mapping[str, str]) -> Self:
        """Read a URI of one of the schemes; `endpoints` has the blob URLs of some accounts."""
        parts = urlsplit(uri)
        container, _, host = parts.netloc.partition("@")
        found = _HOST.fullmatch(host)
        if not (found and _CONTAINER.fullmatch(container)):
            example = f"{parts.scheme}://CONTAINER@ACCOUNT.{_service(parts.scheme)}.core.windows.net/PATH"
            raise FetchError(f"{shown(uri)} is not of the form {example}")
        if parts.query or parts.fragment:
            raise FetchError(
                f"{shown(uri)} has a '?' or '#': write them as %3F and %23 in a name,"
                " and give a SAS token by credentialsSecretRef"
            )
        usual = f"https://{found['account']}.blob.{found['cloud']}"
        url = endpoints.get(found["account"], usual)
        path = "/".join(part for part in path_of(uri).parts if part != "/")
        return cls(found["account"], url, container, path, shown(uri))


def _service(scheme: str) -> str:
    return "blob" if scheme == "wasbs" else "dfs"

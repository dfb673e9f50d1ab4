"""Shared access signatures of modules."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote, unquote

PREFIX = "SharedAccessSignature "


def sign(key: bytes, data: bytes) -> str:
    """Return the HMAC-SHA256 in base64."""
    return base64.b64encode(hmac.new(key, data, hashlib.sha256).digest()).decode()


def expiry(token: str, resource: str, key: bytes) -> int | None:
    """Return when a token expires, in seconds since 1970, if it is a good one for the resource."""
    fields = dict(pair.partition("=")[::2] for pair in token.removeprefix(PREFIX).split("&"))
    if not token.startswith(PREFIX) or not _complete(fields) or unquote(fields["sr"]) != resource:
        return None
    signed = f"{quote(resource, safe='')}\n{fields['se']}".encode()
    genuine = hmac.compare_digest(sign(key, signed), unquote(fields["sig"]))
    return int(fields["se"]) if genuine else None


def _complete(fields: Mapping[str, str]) -> bool:
    return {"sr", "sig", "se"} <= fields.keys() and fields["se"].isdecimal()

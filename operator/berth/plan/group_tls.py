"""The certificate of a container group: how its server gets one, and by what the operator knows it."""

import re
import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from berth.plan.group_names import tags_of
from berth.plan.subject import Subject

CERTIFICATE, PRIVATE_KEY = "tls.crt", "tls.key"
FOLDER = "/var/berth/tls"

_TAG = "berth-certificate"
_SELF_SIGNED = "self-signed"
_DIGEST = re.compile("[0-9a-f]{64}")
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----\s.+?\s-----END CERTIFICATE-----", re.DOTALL)

Json = dict[str, Any]
Files = Mapping[str, bytes]


def certificate_digest(files: Files) -> str | None:
    """Return the SHA-256 of the certificate that a server with these files shows, if it is one."""
    first = _BLOCK.search(files[CERTIFICATE].decode(errors="replace"))
    try:
        return sha256(ssl.PEM_cert_to_DER_cert(first[0])).hexdigest() if first else None
    except ValueError:
        return None


def tls_config(subject: Subject, address: str | None) -> Json:
    """Tell the server where its certificate is, or for which name to make one."""
    tls = subject.spec.tls
    if tls is None:
        return {}
    if tls.self_signed:
        return {"tls": {"selfSignedFor": [tls.hostname or address or "localhost"]}}
    return {"tls": {"dir": FOLDER}}


def certificate_tag(subject: Subject, files: Files | None) -> dict[str, str]:
    """Return the tag that tells by which certificate the operator knows the group."""
    if subject.spec.tls is None:
        return {}
    digest = certificate_digest(files) if files else None
    return {_TAG: digest or _SELF_SIGNED}


def observed_certificate(group: Mapping[str, Any]) -> bytes | None:
    """Return the SHA-256 of the certificate that a group must show; None where any will do."""
    digest = tags_of(group).get(_TAG, "")
    return bytes.fromhex(digest) if _DIGEST.fullmatch(digest) else None

"""The certificate of a container group: how its server gets one, and by what the operator knows it."""

import re
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

from berth.plan.group_names import tags_of
from berth.plan.subject import Subject

CERTIFICATE, PRIVATE_KEY = "tls.crt", "tls.key"
FOLDER = "/var/berth/tls"

_TAG = "berth-certificate"
_SELF_SIGNED = "self-signed"
_DIGEST = re.compile("[0-9a-f]{64}")

Json = dict[str, Any]
Files = Mapping[str, bytes]


def flaw(files: Files) -> str | None:
    """Say what keeps a server from showing this certificate, if anything does."""
    try:
        public = _shown(files).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return f"holds no certificate in {CERTIFICATE}"
    try:
        # Its public half is all that is used; to check the primes of an RSA key takes tenths of a second.
        private = load_pem_private_key(files[PRIVATE_KEY], None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, UnsupportedAlgorithm):
        return f"holds no private key in {PRIVATE_KEY}"
    except TypeError:
        return f"holds a private key in {PRIVATE_KEY} that asks for a password"
    if private.public_key() != public:
        return f"holds a private key in {PRIVATE_KEY} that is not that of the certificate in {CERTIFICATE}"
    return None


def certificate_digest(files: Files) -> str:
    """Return the SHA-256 of the certificate that a server with these files shows."""
    return _shown(files).fingerprint(SHA256()).hex()


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
    return {_TAG: certificate_digest(files) if files else _SELF_SIGNED}


def observed_certificate(group: Mapping[str, Any]) -> bytes | None:
    """Return the SHA-256 of the certificate that a group must show; None where any will do."""
    digest = tags_of(group).get(_TAG, "")
    return bytes.fromhex(digest) if _DIGEST.fullmatch(digest) else None


def _shown(files: Files) -> Certificate:
    """Return the first of a chain, which is the server's own."""
    return load_pem_x509_certificates(files[CERTIFICATE])[0]

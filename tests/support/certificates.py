"""Certificates with their keys, the same for a name each time: what is made from them can be compared."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both as PEM."""

    certificate: str
    key: str

    @property
    def digest(self) -> bytes:
        """The SHA-256 by which the certificate is known."""
        return sha256(
            x509.load_pem_x509_certificate(self.certificate.encode()).public_bytes(Encoding.DER)
        ).digest()

    @property
    def entries(self) -> dict[str, str]:
        """What a Secret of type kubernetes.io/tls holds."""
        return {"tls.crt": self.certificate, "tls.key": self.key}


def pair(name: str, seed: str = "") -> Pair:
    """Make the certificate of a name, for a key that follows from a seed: nobody has to keep one."""
    key = Ed25519PrivateKey.from_private_bytes(sha256(seed.encode()).digest())
    whose = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(whose, whose, key.public_key(), serial_number=1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2056, 1, 1, tzinfo=UTC))
        .sign(key, None)
    )
    told = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM).decode(), told.decode())

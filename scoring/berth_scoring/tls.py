"""HTTPS: the certificate of the server, taken anew when it changes."""

import datetime
import logging
import ssl
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from berth_scoring.config import TlsSource
from berth_scoring.startup import StartupError
from berth_scoring.watched import WatchedFiles

CERTIFICATE, KEY = "tls.crt", "tls.key"
SELF_SIGNED_DAYS = 90
"""Few enough that nobody comes to rely on it."""

logger = logging.getLogger(__name__)


def server_context(source: TlsSource) -> ssl.SSLContext:
    """Return the context of a server, which shows each new connection the certificate as it stands then."""
    if source.dir is not None:
        return WatchedCertificate(source.dir).context
    with tempfile.TemporaryDirectory() as folder:
        _make_certificate(Path(folder), source.self_signed_for)
        return _loaded(Path(folder))


class WatchedCertificate:
    """A folder with `tls.crt` and `tls.key`; those that fit together last stay until others do."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._files = WatchedFiles([folder / CERTIFICATE, folder / KEY], clock)
        self._current = self.context = _loaded(folder)
        self.context.sni_callback = self._choose

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext
    ) -> None:
        # Called at each handshake, with or without a name; connections that stand keep what they have.
        if self._files.changed():
            try:
                self._current = _loaded(self._folder)
            except StartupError as error:
                logger.warning("The old certificate stays: %s", error)
            else:
                logger.warning("The certificate has changed")
        connection.context = self._current


class CertificatePair:
    """A key and its certificate as texts, for a server that wants no context."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._files = WatchedFiles([folder / CERTIFICATE, folder / KEY], clock)
        self._current = _pair(folder)

    def read(self) -> tuple[bytes, bytes]:
        """Return key and certificate as they stand now, or the last that fitted together."""
        if self._files.changed():
            try:
                self._current = _pair(self._folder)
            except StartupError as error:
                logger.warning("The old certificate stays: %s", error)
        return self._current


def certificate_pair(source: TlsSource | None) -> CertificatePair | None:
    """Return the key and the certificate of a server, if it has any."""
    if source is None:
        return None
    if source.dir is not None:
        return CertificatePair(source.dir)
    with tempfile.TemporaryDirectory() as folder:
        _make_certificate(Path(folder), source.self_signed_for)
        return CertificatePair(Path(folder), lambda: 0.0)


def _pair(folder: Path) -> tuple[bytes, bytes]:
    _loaded(folder)
    return (folder / KEY).read_bytes(), (folder / CERTIFICATE).read_bytes()


def _loaded(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A key that wants a password would ask the terminal for it.
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY, password="")
    except (OSError, ValueError) as error:
        raise StartupError(
            "CertificateInvalid",
            f"{CERTIFICATE} and {KEY} in {folder} are no certificate and its key: {error}",
        ) from error
    return context


def _make_certificate(folder: Path, names: Sequence[str]) -> None:
    try:
        from cryptography import x509  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise StartupError(
            "CertificateInvalid",
            "tls.selfSignedFor needs the package cryptography, which comes with the extra azure:"
            " install it, or give tls.dir",
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = [
        x509.DNSName(name) if (address := _address(name)) is None else x509.IPAddress(address)
        for name in names
    ]
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "berth-scoring")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / CERTIFICATE).write_bytes(certificate.public_bytes(pem))
    (folder / KEY).write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def _address(name: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(name)
    return None

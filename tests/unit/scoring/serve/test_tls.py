"""HTTPS by the server itself: versions, certificates that change, and the same answers as without."""

import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from berth_scoring.config import TlsSource
from berth_scoring.startup import StartupError
from berth_scoring.tls import WatchedCertificate, server_context

ECHO = """
    def init(): ...
    def run(data): return data
"""


def trusting(*authorities: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for authority in authorities:
        authority.configure_trust(context)
    return context


def install(authority: trustme.CA, folder: Path) -> Path:
    """Lay certificate and key out as the kubelet does: a folder of its own, and a link that is swapped."""
    version = folder / f"..{time.monotonic_ns()}"
    version.mkdir(parents=True)
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(version / "tls.key")
    (version / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    swap(folder, version)
    return folder


def swap(folder: Path, version: Path) -> None:
    (folder / "..new").symlink_to(version.name)
    (folder / "..new").rename(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Let both talk until they agree; raises the client's error."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(5):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    return install(authority, tmp_path / "tls")


@pytest.fixture(scope="module")
def server(start_shared: Any, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = install(authority, tmp_path_factory.mktemp("certificate") / "tls")
    return start_shared(ECHO, trust=trusting(authority), tls={"dir": str(folder)})


def test_every_route_answers_over_https(server: Any) -> None:
    assert server.score("x" * 3_000_000) == "x" * 3_000_000
    assert server("GET", "/livez").status == 200
    assert server("GET", "/nowhere").status == 404


def test_a_connection_stays_for_more_requests(server: Any) -> None:
    connection = server.connect()
    for number in range(3):
        connection.request("POST", "/score", str(number))
        assert connection.getresponse().read() == f'"{number}"'.encode()
    connection.close()


def test_requests_in_one_piece_are_answered_in_their_order(server: Any) -> None:
    request = b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n"
    with secured(server) as line:
        line.sendall(b"".join(request + digit for digit in (b"1", b"2", b"3")))
        received = b""
        while received.count(b"HTTP/1.1 200") < 3 or not received.endswith(b'"3"'):
            received += line.recv(65536)
    assert [received.index(b'"%d"' % digit) for digit in (1, 2, 3)] == sorted(
        received.index(b'"%d"' % digit) for digit in (1, 2, 3)
    )


def test_a_head_that_is_too_large_is_told_before_the_end(server: Any) -> None:
    with secured(server) as line:
        line.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * 400_000)
        assert line.recv(65536).startswith(b"HTTP/1.1 431 ")


def test_who_does_not_speak_tls_is_left_and_nobody_else(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert not line.recv(100).startswith(b"HTTP")
    assert server.score("1") == "1"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_of_today_are_spoken(server: Any, authority: trustme.CA, version: ssl.TLSVersion) -> None:
    client = trusting(authority)
    client.minimum_version = client.maximum_version = version
    with secured(server, client) as line:
        assert line.version() == version.name.replace("_", ".")


def test_older_versions_are_refused(server: Any, authority: trustme.CA) -> None:
    client = trusting(authority)
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        secured(server, client)


def test_a_new_certificate_is_shown_to_new_connections_and_breaks_none(
    start: Any, folder: Path, authority: trustme.CA
) -> None:
    other = trustme.CA()
    server = start(ECHO, trust=trusting(authority), tls={"dir": str(folder)})
    standing = server.connect()
    standing.request("POST", "/score", "1")
    standing.getresponse().read()
    install(other, folder)
    time.sleep(1.1)
    server.trust = trusting(other)
    assert server.score("2") == "2"
    standing.request("POST", "/score", "3")
    assert standing.getresponse().read() == b'"3"'
    standing.close()


def test_what_stands_is_answered_when_the_server_is_told_to_stop(
    start: Any, folder: Path, authority: trustme.CA
) -> None:
    slow = """
        import time
        def init(): ...
        def run(data):
            time.sleep(0.5)
            return data
    """
    server = start(slow, trust=trusting(authority), tls={"dir": str(folder)})
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(server.score, "1")
        time.sleep(0.2)
        assert server.stop() == 0
        assert answer.result() == "1"


def test_a_client_that_keeps_its_connection_does_not_keep_the_server(
    start: Any, folder: Path, authority: trustme.CA
) -> None:
    server = start(ECHO, trust=trusting(authority), tls={"dir": str(folder)})
    with closing(server.connect()) as pooled:
        pooled.request("POST", "/score", "1")
        pooled.getresponse().read()
        stopped = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - stopped < 6


def test_a_self_signed_certificate_names_what_it_is_asked_to(start: Any) -> None:
    server = start(ECHO, ready=False, tls={"selfSignedFor": ["localhost", "127.0.0.1", "iris.example"]})
    server.trust = unchecked = ssl._create_unverified_context()
    server.wait_ready()
    shown = ssl.DER_cert_to_PEM_cert(certificate(server, unchecked))
    server.trust = ssl.create_default_context(cadata=shown)
    assert server.score("1") == "1"


def test_a_folder_without_certificate_ends_the_start(start: Any, tmp_path: Path) -> None:
    server = start(ECHO, ready=False, tls={"dir": str(tmp_path)})
    assert server.process.wait(20) == 3
    assert server.termination.startswith(f"CertificateInvalid: tls.crt and tls.key in {tmp_path} are no cert")


def test_halves_that_do_not_fit_leave_the_old_certificate(
    folder: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    watched = WatchedCertificate(folder, lambda: now[0])
    version = folder / "..torn"
    version.mkdir()
    (version / "tls.crt").write_bytes((folder / "tls.crt").read_bytes())
    trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(version / "tls.key")
    swap(folder, version)
    now[0] += 1
    handshake(watched.context, trusting(authority))
    assert "The old certificate stays" in caplog.text

    other = trustme.CA()
    install(other, folder)
    now[0] += 1
    handshake(watched.context, trusting(other))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(watched.context, trusting(authority))


def test_the_files_are_looked_at_once_a_second(folder: Path, authority: trustme.CA) -> None:
    now = [0.0]
    watched = WatchedCertificate(folder, lambda: now[0])
    install(trustme.CA(), folder)
    now[0] += 0.9
    handshake(watched.context, trusting(authority))


def test_files_that_vanish_leave_the_old_certificate(folder: Path, authority: trustme.CA) -> None:
    now = [0.0]
    watched = WatchedCertificate(folder, lambda: now[0])
    (folder / "tls.key").unlink()
    now[0] += 1
    handshake(watched.context, trusting(authority))


def test_a_key_with_a_password_is_refused_without_asking_for_it(folder: Path) -> None:
    key = load_pem_private_key((folder / "tls.key").read_bytes(), None)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    (folder / "tls.key").write_bytes(secret)
    with pytest.raises(StartupError, match="CertificateInvalid"):
        server_context(TlsSource(dir=folder))


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(
        StartupError, match="needs the package cryptography, which comes with the extra azure"
    ):
        server_context(TlsSource(self_signed_for=("localhost",)))


def secured(server: Any, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    line = socket.create_connection(("127.0.0.1", server.port), 10)
    try:
        return (context or server.trust).wrap_socket(line, server_hostname="127.0.0.1")
    except ssl.SSLError:
        line.close()
        raise


def certificate(server: Any, context: ssl.SSLContext) -> bytes:
    with secured(server, context) as line:
        shown = line.getpeercert(binary_form=True)
    assert shown
    return shown

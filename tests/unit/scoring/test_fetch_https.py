import hashlib
import os
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from berth_scoring.fetch.errors import FetchError
from berth_scoring.fetch.https import Downloader
from berth_scoring.fetch.transfer import Patience

CONTENT = os.urandom(300_000)
PATIENCE = Patience(deadline=10, connect=2, stall=2, first_pause=0.01, attempts=3)

Handler = BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


def send(handler: Handler, code: int, body: bytes, **headers: str) -> None:
    handler.send_response(code)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def whole(content: bytes = CONTENT, **headers: str) -> Answer:
    return lambda handler: send(handler, 200, content, **headers)


def status(code: int, **headers: str) -> Answer:
    return lambda handler: send(handler, code, b"", **headers)


def cut(sent: int, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        send(handler, 200, CONTENT[:sent], Content_Length=str(len(CONTENT)), **headers)
        hang_up(handler)

    return answer


def rest(handler: Handler) -> None:
    send_rest(handler, len(CONTENT))


def send_rest(handler: Handler, at_most: int) -> None:
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    length = str(len(CONTENT) - start)
    send(handler, 206, CONTENT[start : start + at_most], Content_Range=span, Content_Length=length)
    if start + at_most < len(CONTENT):
        hang_up(handler)


def hang_up(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"x")
        time.sleep(0.02)


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., str]:
    def fetch(url: str, authorization: str | None = None, patience: Patience = PATIENCE) -> str:
        return Downloader(patience).download(url, tmp_path / "file", authorization)

    return fetch


def test_a_file_arrives_with_its_digest(file_server: Any, fetch: Callable[..., str], tmp_path: Path) -> None:
    file_server.answers = [whole()]
    assert fetch(f"{file_server.url}/m.bin") == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("headers", [{"ETag": '"v1"'}, {"Last_Modified": formatdate(usegmt=True)}])
def test_a_cut_download_is_resumed_where_it_broke(
    file_server: Any, fetch: Callable[..., str], tmp_path: Path, headers: dict[str, str]
) -> None:
    file_server.answers = [cut(100_000, **headers), rest]
    assert fetch(f"{file_server.url}/m.bin") == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert file_server.requests[1]["Range"] == "bytes=100000-"
    assert file_server.requests[1]["If-Range"] == next(iter(headers.values()))


@pytest.mark.parametrize("first", [cut(100_000), cut(100_000, ETag='W/"v1"')], ids=["no tag", "weak tag"])
def test_without_proof_of_the_same_file_the_download_starts_over(
    file_server: Any, fetch: Callable[..., str], first: Answer
) -> None:
    file_server.answers = [first, whole()]
    assert fetch(f"{file_server.url}/m.bin") == hashlib.sha256(CONTENT).hexdigest()
    assert "Range" not in file_server.requests[1]


def test_a_file_that_changed_meanwhile_is_taken_anew(
    file_server: Any, fetch: Callable[..., str], tmp_path: Path
) -> None:
    file_server.answers = [cut(100_000, ETag='"v1"'), whole(b"version two", ETag='"v2"')]
    assert fetch(f"{file_server.url}/m.bin") == hashlib.sha256(b"version two").hexdigest()
    assert (tmp_path / "file").read_bytes() == b"version two"


@pytest.mark.parametrize("answer", [status(416), status(206, Content_Range="bytes 5-9/10")])
def test_a_server_that_cannot_resume_is_asked_from_the_start(
    file_server: Any, fetch: Callable[..., str], answer: Answer
) -> None:
    file_server.answers = [cut(100_000, ETag='"v1"'), answer, whole()]
    assert fetch(f"{file_server.url}/m.bin") == hashlib.sha256(CONTENT).hexdigest()
    assert "Range" not in file_server.requests[2]


def test_progress_renews_the_patience(file_server: Any, fetch: Callable[..., str]) -> None:
    file_server.answers = [cut(10_000, ETag='"v1"'), lambda handler: send_rest(handler, 60_000)]
    assert fetch(f"{file_server.url}/m.bin") == hashlib.sha256(CONTENT).hexdigest()
    assert len(file_server.requests) > PATIENCE.attempts


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again_after_the_time_it_names(
    file_server: Any, fetch: Callable[..., str], code: int
) -> None:
    file_server.answers = [status(code, Retry_After="1"), whole()]
    start = time.monotonic()
    fetch(f"{file_server.url}/m.bin")
    assert 1 <= time.monotonic() - start < 2


def test_a_server_that_stays_down_is_given_up(file_server: Any, fetch: Callable[..., str]) -> None:
    file_server.answers = [status(503)]
    with pytest.raises(FetchError, match=r"answers 503; gave up after 3 attempts"):
        fetch(f"{file_server.url}/m.bin")
    assert len(file_server.requests) == 3


def test_a_wait_beyond_the_deadline_is_not_begun(file_server: Any, fetch: Callable[..., str]) -> None:
    file_server.answers = [status(503, Retry_After="3600")]
    start = time.monotonic()
    with pytest.raises(FetchError, match="answers 503; gave up at the deadline of 10 s"):
        fetch(f"{file_server.url}/m.bin")
    assert time.monotonic() - start < 1


def test_a_server_that_drips_is_given_up_at_the_deadline(file_server: Any, fetch: Callable[..., str]) -> None:
    file_server.answers = [drip]
    start = time.monotonic()
    with pytest.raises(FetchError, match=r"bytes have arrived; gave up at the deadline of 0.5 s"):
        fetch(f"{file_server.url}/m.bin", patience=Patience(deadline=0.5))
    assert time.monotonic() - start < 1.5


def test_a_server_that_stalls_is_tried_again(file_server: Any, fetch: Callable[..., str]) -> None:
    file_server.answers = [lambda _: time.sleep(1), whole()]
    patience = Patience(deadline=10, stall=0.2, first_pause=0.01)
    assert fetch(f"{file_server.url}/m.bin", patience=patience) == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (401, "credentials"),
        (403, "refuses access"),
        (404, "not found"),
        (410, "no longer"),
        (400, "answers 400"),
    ],
)
def test_a_refusal_ends_the_download_at_once(
    file_server: Any, fetch: Callable[..., str], code: int, message: str
) -> None:
    file_server.answers = [status(code)]
    with pytest.raises(FetchError, match=message):
        fetch(f"{file_server.url}/m.bin")
    assert len(file_server.requests) == 1


def test_an_unknown_authority_is_refused_at_once(
    start_server: Callable[[], Any], fetch: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    server = start_server()
    with pytest.raises(FetchError, match=r"certificate of the server is not trusted: .*issuer"):
        fetch(f"{server.url}/m.bin")
    assert server.requests == []


def test_a_certificate_of_another_host_is_refused(file_server: Any, fetch: Callable[..., str]) -> None:
    with pytest.raises(FetchError, match=r"not trusted: .*mismatch"):
        fetch(file_server.url.replace("localhost", "127.0.0.1") + "/m.bin")


def test_a_host_that_has_no_address_is_named(trusted: None, fetch: Callable[..., str]) -> None:
    with pytest.raises(FetchError, match=r"the name models\.invalid cannot be resolved"):
        fetch("https://models.invalid/m.bin")


def test_a_host_where_no_one_listens_is_given_up(trusted: None, fetch: Callable[..., str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="nothing answers at localhost; gave up after 3 attempts"):
            fetch(f"https://localhost:{unused.getsockname()[1]}/m.bin")


def test_credentials_go_to_the_named_host_only(
    start_server: Callable[[], Any], file_server: Any, fetch: Callable[..., str]
) -> None:
    elsewhere = start_server()
    elsewhere.answers = [whole()]
    file_server.answers = [status(302, Location="/moved"), status(307, Location=f"{elsewhere.url}/m?sig=s")]
    fetch(f"{file_server.url}/m.bin", "Bearer secret")
    assert [request["Authorization"] for request in file_server.requests] == [
        "Bearer secret",
        "Bearer secret",
    ]
    assert "Authorization" not in elsewhere.requests[0]
    assert elsewhere.requests[0][":path"] == "/m?sig=s"


def test_a_redirect_to_plain_http_is_refused(file_server: Any, fetch: Callable[..., str]) -> None:
    file_server.answers = [status(302, Location="http://localhost/m.bin?sig=secret")]
    with pytest.raises(FetchError, match=r"leads to http://localhost/m.bin, which is not https"):
        fetch(f"{file_server.url}/m.bin")


@pytest.mark.parametrize("location", ["https://[::1/m.bin", "https://localhost:99999/", "https://h:x/"])
def test_a_redirect_to_no_address_is_refused(
    file_server: Any, fetch: Callable[..., str], location: str
) -> None:
    file_server.answers = [status(302, Location=location)]
    with pytest.raises(FetchError, match=r"/m\.bin redirects to an address that is none"):
        fetch(f"{file_server.url}/m.bin?sig=s", "Bearer secret")


def test_an_address_without_a_host_is_refused_at_once(trusted: None, fetch: Callable[..., str]) -> None:
    with pytest.raises(FetchError, match="is not a valid address"):
        fetch("https:///m.bin")


def test_a_circle_of_redirects_is_left(file_server: Any, fetch: Callable[..., str]) -> None:
    file_server.answers = [status(302, Location="/m.bin")]
    with pytest.raises(FetchError, match="redirects more than 5 times"):
        fetch(f"{file_server.url}/m.bin")


def test_a_compressed_answer_is_refused_rather_than_stored(
    file_server: Any, fetch: Callable[..., str]
) -> None:
    file_server.answers = [whole(Content_Encoding="gzip")]
    with pytest.raises(FetchError, match="insists on Content-Encoding gzip"):
        fetch(f"{file_server.url}/m.bin")


def test_messages_hold_neither_signature_nor_user(file_server: Any, fetch: Callable[..., str]) -> None:
    file_server.answers = [status(403)]
    with pytest.raises(FetchError) as caught:
        fetch(file_server.url.replace("//", "//user:pass@") + "/m.bin?sv=s3cret", "Bearer t0ken")
    assert not any(secret in str(caught.value) for secret in ("sv=", "s3cret", "user", "pass", "t0ken"))

"""HTTP on the wire: whole requests take the short way, all others uvicorn's, and no client can tell."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

SCRIPT = "def init(): pass\ndef run(data): return len(data)"


@pytest.fixture(scope="module")
def server(start_shared: Any) -> Any:
    return start_shared(
        SCRIPT, env={"BERTH_MAX_BODY_BYTES": "300000"}, requests={"maxQueueWaitMilliseconds": 5000}
    )


@pytest.fixture
def wire(server: Any) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        yield connection


def post(body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST /score HTTP/{version}", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_answer(wire: socket.socket, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = wire.recv(1)
        assert byte, f"closed after {head!r}"
        head += byte
    status, *lines = head.decode().strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    body = b""
    while has_body and (missing := int(headers["content-length"]) - len(body)):
        body += wire.recv(missing)
    return int(status.split()[1]), headers, body


def test_a_connection_serves_many_requests(wire: socket.socket) -> None:
    for length in range(5):
        wire.sendall(post(b"x" * length))
        assert read_answer(wire)[2] == str(length).encode()


def test_a_request_in_pieces_is_put_together(wire: socket.socket) -> None:
    for byte in post(b"hello"):
        wire.sendall(bytes([byte]))
    assert read_answer(wire)[2] == b"5"
    wire.sendall(post(b"whole"))
    assert read_answer(wire)[2] == b"5"


def test_a_large_body_is_read_to_its_end(wire: socket.socket) -> None:
    wire.sendall(post(b"x" * 250_000))
    assert read_answer(wire)[2] == b"250000"


def test_a_body_in_chunks_is_read(wire: socket.socket) -> None:
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.sendall(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert read_answer(wire)[2] == b"5"


@pytest.mark.parametrize("count", [2, 5])
def test_pipelined_requests_are_answered_in_order(wire: socket.socket, count: int) -> None:
    wire.sendall(b"".join(post(b"x" * length) for length in range(count)))
    assert [read_answer(wire)[2] for _ in range(count)] == [str(length).encode() for length in range(count)]


def test_a_client_may_wait_for_the_word_to_continue(wire: socket.socket) -> None:
    head, body = post(b"hello", "Expect: 100-continue").split(b"hello")[0], b"hello"
    wire.sendall(head)
    assert wire.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.sendall(body)
    assert read_answer(wire)[2] == b"5"


@pytest.mark.parametrize(
    ("version", "headers"),
    [("1.1", ["Connection: close"]), ("1.0", []), ("1.0", ["Connection: keep-alive"])],
)
def test_a_connection_that_shall_not_last_is_closed(
    wire: socket.socket, version: str, headers: list[str]
) -> None:
    wire.sendall(post(b"x", *headers, version=version))
    assert read_answer(wire)[1]["connection"] == "close"
    assert wire.recv(1) == b""


def test_an_answer_to_head_has_no_body(wire: socket.socket) -> None:
    wire.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    status, headers, _ = read_answer(wire, has_body=False)
    assert (status, headers["content-length"]) == (200, "7")
    wire.sendall(post(b"x"))
    assert read_answer(wire)[0] == 200


def test_a_path_may_be_quoted_and_have_a_query(wire: socket.socket) -> None:
    wire.sendall(b"GET /%73core?a=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert read_answer(wire)[0] == 200


def test_what_is_no_http_is_400(wire: socket.socket) -> None:
    wire.sendall(b"nonsense\r\n\r\n")
    assert wire.recv(12) == b"HTTP/1.1 400"


def test_a_body_over_the_limit_is_refused_before_it_is_sent(wire: socket.socket) -> None:
    wire.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 300001\r\n\r\n")
    status, headers, body = read_answer(wire)
    assert (status, headers["connection"]) == (413, "close")
    assert "larger than 300000 bytes" in json.loads(body)["message"]


def test_a_refusal_reaches_a_client_that_sends_its_whole_body_first(wire: socket.socket) -> None:
    wire.sendall(post(b"x" * 8_000_000))
    assert read_answer(wire)[0] == 413
    assert wire.recv(1) == b""


@pytest.mark.parametrize("method", [b"PUT", b"GET"])
def test_a_connection_lasts_when_a_large_body_was_not_read(wire: socket.socket, method: bytes) -> None:
    wire.sendall(post(b"x" * 250_000).replace(b"POST", method))
    assert read_answer(wire)[0] in {405, 200}
    wire.sendall(post(b"hello"))
    assert read_answer(wire)[2] == b"5"


OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")


@pytest.mark.parametrize("pause", [0, 0.05])
def test_an_offer_to_upgrade_is_ignored_and_a_request_in_its_body_stays_one(
    wire: socket.socket, pause: float
) -> None:
    inner = post(b"smuggled")
    whole = post(inner, *OFFER)
    wire.sendall(whole[: -len(inner)])
    time.sleep(pause)
    wire.sendall(whole[-len(inner) :])
    assert read_answer(wire)[2] == str(len(inner)).encode()
    wire.sendall(post(b"next", *OFFER))
    assert read_answer(wire)[2] == b"4"


def test_who_offers_to_upgrade_while_it_waits_is_not_kept(wire: socket.socket) -> None:
    wire.sendall(post(b"x") + post(b"xx", *OFFER) * 3000)
    assert read_answer(wire)[2] == b"1"
    assert wire.recv(1) == b""


def test_what_was_asked_before_the_nonsense_is_answered(wire: socket.socket) -> None:
    wire.sendall(post(b"x") + b"nonsense\r\n" + b"x" * 8_000_000)
    assert read_answer(wire)[2] == b"1"
    assert wire.recv(1) == b""


def test_a_tunnel_is_refused(wire: socket.socket) -> None:
    wire.sendall(b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert read_answer(wire)[0] == 400
    assert wire.recv(1) == b""


def test_a_trailer_is_no_header(wire: socket.socket) -> None:
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.sendall(head + b"3\r\nabc\r\n0\r\nx-request-id: from-the-trailer\r\n\r\n")
    _, headers, body = read_answer(wire)
    assert (body, headers["x-request-id"] == "from-the-trailer") == (b"3", False)


@pytest.mark.parametrize("before", [b"GET / HTTP/1.1\r\nx: ", b"GET /", post(b"")[:-4] + b"\r\nx: "])
def test_a_head_without_end_is_refused(wire: socket.socket, before: bytes) -> None:
    wire.sendall(before)
    wire.sendall(b"x" * 1_000_000)
    assert read_answer(wire)[0] == 431
    assert wire.recv(1) == b""


def test_a_trailer_without_end_is_refused(wire: socket.socket) -> None:
    wire.sendall(b"POST /score HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: ")
    wire.sendall(b"x" * 1_000_000)
    assert read_answer(wire)[0] == 431
    assert wire.recv(1) == b""


def test_a_client_that_leaves_does_not_disturb_the_next(server: Any) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as wire:
            wire.sendall(post(b"x"))
    time.sleep(0.1)
    assert server.score("abc") == 3


def test_requests_are_counted_by_route_and_code(server: Any) -> None:
    server("POST", "/nowhere")
    text = server("GET", "/metrics").body.decode()
    assert 'berth_scoring_requests_total{code="404",route="none"} 1.0' in text
    assert 'berth_scoring_requests_total{code="200",route="/score"}' in text
    for name in (
        "request_duration_seconds_bucket",
        "queue_depth 0.0",
        "in_flight 0.0",
        "log_lines_dropped 0.0",
        "batch_size_count",
    ):
        assert f"berth_scoring_{name}" in text

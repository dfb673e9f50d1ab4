import json

import pytest

from berth.api.conditions import Reason
from berth.core.errors import Conflict, Gone, ReconcileError, Terminal, Transient
from berth.kube.failures import Expired, failure

STATUS = json.dumps({"kind": "Status", "reason": "Because", "message": "spec.x: is wrong"}).encode()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (409, Conflict),
        (404, Gone),
        (410, Expired),
        (400, Terminal),
        (403, Terminal),
        (422, Terminal),
        (401, Transient),
        (408, Transient),
        (429, Transient),
        (500, Transient),
        (503, Transient),
        (504, Transient),
    ],
)
def test_each_code_has_its_kind_and_keeps_the_servers_words(code: int, kind: type[ReconcileError]) -> None:
    error = failure(code, STATUS, {})
    assert type(error) is kind
    assert "spec.x: is wrong" in str(error)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("spec.x: is wrong", Reason.REJECTED),
        ('services "iris" is forbidden: exceeded quota: team', Reason.QUOTA_EXCEEDED),
    ],
)
def test_a_refusal_has_a_reason_of_ours_and_is_looked_at_again(message: str, reason: Reason) -> None:
    error = failure(403, json.dumps({"reason": "Forbidden", "message": message}).encode(), {})
    assert isinstance(error, Terminal)
    assert (error.reason, error.message, error.retry_after) == (reason, message, 60)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("", None), ("Sat, 21 Nov 2026", None)])
def test_the_servers_wish_to_wait_is_kept(header: str, seconds: float | None) -> None:
    error = failure(429, STATUS, {"Retry-After": header} if header else {})
    assert isinstance(error, Transient)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "HTTP 502"),
        (b"<html>bad gateway</html>", "<html>bad gateway</html>"),
        (b"[]", "[]"),
        (b'{"kind": "Status"}', '{"kind": "Status"}'),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_an_answer_that_is_no_status_is_quoted(body: bytes, message: str) -> None:
    assert str(failure(502, body, {})) == message


def test_a_long_answer_is_cut() -> None:
    assert len(str(failure(502, b"x" * 10_000, {}))) == 200

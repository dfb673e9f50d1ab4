"""The same requests to the server that Azure ML ships and to ours, with the same scripts.

Code, body and headers must be the same, but for the differences that are listed with their reason; one that
is listed and does not occur is an error too.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from exchanges import Exchange, ask

JSON = (("Content-Type", "application/json"),)
LONG = "i" * 101


def score(
    name: str, script: str, body: bytes | None = b"", *headers: tuple[str, str], **more: Any
) -> Exchange:
    return Exchange(name, script, body=body, headers=headers or JSON, **more)


def get(name: str, script: str, path: str, *headers: tuple[str, str], method: str = "GET") -> Exchange:
    return Exchange(name, script, method, path, headers)


def with_ids(name: str, *headers: tuple[str, str]) -> Exchange:
    return score(name, "plain", b"x", *headers)


VALUES = (
    "none", "true", "integer", "float", "not a number", "string", "unicode", "list", "object", "number keys",
    "tuple", "encoded", "empty string", "bytes", "array", "array as list", "numpy scalar", "set", "raise",
    "sleep", "unknown key",
)  # fmt: skip
RESPONSES = (
    "text", "bytes", "json", "json text", "none", "no content", "bad request", "server error", "unavailable",
    "failed", "repeated", "own id", "no content but text", "chunked", "closing", "teapot",
)  # fmt: skip

EXCHANGES = [
    # the body of a plain script
    score("a JSON body", "plain", b'{"data": [[1, 2]]}'),
    score("an empty body", "plain"),
    score("no body at all", "plain", None),
    score("UTF-8", "plain", "Grüße 你好".encode()),
    score("not UTF-8", "plain", b"\xff\xfe\x00"),
    score("octets", "plain", b"abc", ("Content-Type", "application/octet-stream")),
    score("text", "plain", b"abc", ("Content-Type", "text/plain; charset=latin-1")),
    score("no content type", "plain", b"abc", ("Accept", "*/*")),
    score(
        "a form, as curl -d sends it", "plain", b"a=1", ("Content-Type", "application/x-www-form-urlencoded")
    ),
    score("a large body", "plain", b"x" * 3_000_000),
    score("a chunked body", "plain", [b"ab", b"cd"]),  # type: ignore[arg-type]
    score("a query beside the body", "plain", b"abc", path="/score?a=1"),
    # the query of a plain script
    get("no query", "plain", "/score"),
    get("a query of JSON values", "plain", "/score?a=1&b=[1,2]&c=a&d=null"),
    get("a repeated key", "plain", "/score?foo=bar1&x=y&foo=2"),
    get("an encoded query", "plain", "/score?a=1%2B1+x&%C3%BC=%C3%A4"),
    get("keys without values", "plain", "/score?a=&b&=c"),
    get("a query that is not UTF-8", "plain", "/score?a=%ff"),
    # methods and routes
    get("options", "plain", "/score", method="OPTIONS"),
    get("put", "plain", "/score", method="PUT"),
    get("delete", "plain", "/score", method="DELETE"),
    get("patch", "plain", "/score", method="PATCH"),
    get("head", "plain", "/score", method="HEAD"),
    get("health", "plain", "/"),
    get("health with an id", "plain", "/", ("x-request-id", "abc"), ("TraceId", "t")),
    get("health by post", "plain", "/", method="POST"),
    get("health by head", "plain", "/", method="HEAD"),
    get("an unknown route", "plain", "/nowhere"),
    get("an unknown route with an id", "plain", "/nowhere", ("x-request-id", "abc")),
    get("a trailing slash", "plain", "/score/"),
    # ids
    with_ids("a request id", ("x-request-id", "abc")),
    with_ids("a client id", ("x-ms-client-request-id", "abc")),
    with_ids("a deprecated id", ("x-ms-request-id", "abc")),
    with_ids("both client ids", ("x-ms-client-request-id", "abc"), ("x-ms-request-id", "def")),
    with_ids("all ids", ("x-request-id", "a"), ("x-ms-client-request-id", "b"), ("x-ms-request-id", "c")),
    with_ids("an empty id", ("x-request-id", "")),
    with_ids("an id of 100 characters", ("x-request-id", "i" * 100)),
    with_ids("a request id too long", ("x-request-id", LONG)),
    with_ids("a client id too long", ("x-ms-client-request-id", LONG)),
    with_ids("a deprecated id too long", ("x-ms-request-id", LONG)),
    get("an id too long for health", "plain", "/", ("x-request-id", LONG)),
    with_ids("a trace id", ("TraceId", "4bf92f35")),
    # origins
    score("an allowed origin", "cors", b"x", ("Origin", "https://two.example")),
    score("a foreign origin", "cors", b"x", ("Origin", "https://evil.example")),
    score("no origin", "cors", b"x"),
    get(
        "a preflight",
        "cors",
        "/score",
        ("Origin", "https://one.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
        method="OPTIONS",
    ),
    get(
        "a foreign preflight",
        "cors",
        "/score",
        ("Origin", "https://evil.example"),
        ("Access-Control-Request-Method", "POST"),
        method="OPTIONS",
    ),
    get("an allowed origin for health", "cors", "/", ("Origin", "https://one.example")),
    # what a script returns
    *(score(f"value: {value}", "values", value.encode()) for value in VALUES),
    *(score(f"response: {response}", "responses", response.encode()) for response in RESPONSES),
    # headers that a script sees
    score(
        "headers",
        "headers",
        b"x",
        ("x-mixed-CASE", "Value"),
        ("X-Twice", "1"),
        ("X-Twice", "2"),
        ("x-request-id", "r"),
        ("Authorization", "Bearer k"),
    ),
    get("headers of a query", "headers", "/score?a=1"),
    # raw HTTP
    score("raw JSON", "raw", b'{"a": [1]}', *JSON, ("x-mixed-CASE", "v"), ("Cookie", "k=v; l=w")),
    score("raw octets", "raw", b"\xff\x00", ("Content-Type", "application/octet-stream")),
    score("raw text with a charset", "raw", b"abc", ("Content-Type", "text/plain; charset=utf-8")),
    score("raw form", "raw", b"a=1&a=2&b=c+d", ("Content-Type", "application/x-www-form-urlencoded")),
    score(
        "raw multipart",
        "raw",
        b'--B\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n\r\nhello\r\n--B--\r\n',
        ("Content-Type", "multipart/form-data; boundary=B"),
    ),
    score("raw without body", "raw", None),
    get("raw query", "raw", "/score?a=1&a=2&b=%20"),
    get("raw options", "raw", "/score", method="OPTIONS"),
    get("raw put", "raw", "/score", method="PUT"),
    get("raw head", "raw", "/score", method="HEAD"),
    get("raw that raises", "raw", "/score?fail=1"),
    # schemas
    score("schema", "schema", b'{"data": [[1, 2], [3, 4]], "scale": 3}'),
    score("schema default", "schema", b'{"data": [[1, 2]]}'),
    score("schema with an extra key", "schema", b'{"data": [[1, 2]], "more": 1}'),
    score("schema without its data", "schema", b'{"scale": 3}'),
    score("schema of another type", "schema", b'{"data": "text"}'),
    score("schema of a ragged array", "schema", b'{"data": [[1], [2, 3]]}'),
    score("schema with a wrong scale", "schema", b'{"data": [[1, 2]], "scale": "x"}'),
    score("schema as text", "schema", b"{}", ("Content-Type", "text/plain")),
    score("schema without content type", "schema", b"{}", ("Accept", "*/*")),
    score(
        "schema with a charset",
        "schema",
        b'{"data": [[1, 2]]}',
        ("Content-Type", "application/json; charset=utf-8"),
    ),
    score(
        "schema as a JSON dialect",
        "schema",
        b'{"data": [[1, 2]]}',
        ("Content-Type", "application/vnd.x+json"),
    ),
    score("schema of broken JSON", "schema", b'{"data": '),
    score("schema of nothing", "schema"),
    score("schema of a list", "schema", b"[1, 2]"),
    score("schema of null", "schema", b"null"),
    score("schema not UTF-8", "schema", b'{"data": "\xff"}'),
    score("schema of UTF-16", "schema", '{"data": [[1, 2]]}'.encode("utf-16")),
    get("schema by query", "schema", "/score?data=[[1,2]]&scale=2"),
    get("schema by an empty query", "schema", "/score"),
    get("schema by put", "schema", "/score", method="PUT"),
    get("schema by options", "schema", "/score", method="OPTIONS"),
    # swagger
    get("swagger", "plain", "/swagger.json"),
    *(
        get(f"swagger {v}", "plain", f"/swagger.json?version={v}")
        for v in ("2", "2.0", "3", "3.0", "3.1", "9", "")
    ),
    *(get(f"schema swagger {v}", "schema", f"/swagger.json?version={v}") for v in ("2", "3", "3.1")),
    *(get(f"own swagger {v}", "own_swagger", f"/swagger.json?version={v}") for v in ("2", "3", "3.1")),
    get("swagger by post", "plain", "/swagger.json", method="POST"),
    get("swagger with an id", "plain", "/swagger.json", ("x-ms-client-request-id", "abc")),
]


@dataclass(frozen=True)
class Difference:
    """How our answer to some requests is meant to differ, and why."""

    reason: str
    exchanges: tuple[str, ...]
    ours: dict[str, Any]
    """What our answer has, by aspect; None for nothing."""


TRACEABLE = "an answer without an id cannot be traced in the logs"
ALLOW = (
    "HTTP demands the header Allow with a 405, and the message says what is wrong; the id makes it traceable"
)
SCORE_METHODS = "OPTIONS, GET, POST"
SWAGGERS_2 = ("swagger", "swagger 2", "swagger 2.0", "schema swagger 2", "swagger with an id")
SWAGGERS_3 = (
    "swagger 3", "swagger 3.0", "swagger 3.1", "schema swagger 3", "schema swagger 3.1", "own swagger 3.1",
)  # fmt: skip
HEALTH = "/paths//api/v1/service/iris//get"
SPEC = "/paths//api/v1/service/iris/swagger.json/get/responses/200"
SCHEME = "/components/securitySchemes/Bearer"


def message(text: str) -> str:
    return json.dumps({"message": text})


def not_allowed(method: str, allowed: str) -> dict[str, Any]:
    text = f"Method {method} is not allowed here, but {allowed}"
    return {"body": message(text), "allow": [allowed], "x-request-id": ["<id>"]}


DIFFERENCES = [
    Difference(
        "curl -d sends this type; a script that gets nothing then is a riddle to its user",
        ("a form, as curl -d sends it",),
        {"body": json.dumps({"type": "str", "length": 3, "start": "a=1"})},
    ),
    Difference(
        "a byte that is no UTF-8 is replaced, as JSON cannot hold it; the peer leaves it percent-encoded",
        ("a query that is not UTF-8",),
        {"body": json.dumps({"type": "str", "length": 15, "start": json.dumps({"a": "\ufffd"})})},
    ),
    Difference(
        "503 and 504 tell a gateway what to try again; 500 is for a script that failed",
        ("value: sleep",),
        {"status": 504, "body": message("Scoring timeout after 700 ms (timeoutMilliseconds)")},
    ),
    Difference(
        "a body that is not UTF-8 is the client's error, not the server's",
        ("schema not UTF-8",),
        {
            "status": 400,
            "body": message(
                "POST body could not be decoded as JSON: "
                "'utf-8' codec can't decode byte 0xff in position 10: invalid start byte"
            ),
        },
    ),
    Difference(TRACEABLE, ("an unknown route", "a trailing slash"), {"x-request-id": ["<id>"]}),
    Difference(TRACEABLE, ("an unknown route with an id",), {"x-request-id": ["abc"]}),
    Difference(TRACEABLE, ("an empty id",), {"x-request-id": ["<id>"], "x-ms-request-id": ["<id>"]}),
    Difference(
        "an id that is too long is refused before any route is entered, which adds the version",
        ("a request id too long", "an id too long for health"),
        {"x-ms-server-version": None},
    ),
    Difference(ALLOW, ("put", "raw put", "schema by put"), not_allowed("PUT", SCORE_METHODS)),
    Difference(ALLOW, ("delete",), not_allowed("DELETE", SCORE_METHODS)),
    Difference(ALLOW, ("patch",), not_allowed("PATCH", SCORE_METHODS)),
    Difference(ALLOW, ("health by post", "swagger by post"), not_allowed("POST", "GET")),
    Difference(
        "HTTP demands HEAD of whoever answers GET",
        ("head",),
        {"status": 200, "x-ms-run-fn-exec-ms": ["<ms>"]},
    ),
    Difference(
        "these headers are for browsers, and browsers send Origin",
        ("no origin",),
        {"access-control-allow-origin": None, "vary": None},
    ),
    Difference(
        "a browser asks before it has a key: it gets what it asked for and nothing of the service",
        ("a preflight",),
        {
            "content-type": None,
            "x-ms-run-function-failed": None,
            "x-ms-server-version": None,
            "x-ms-request-id": None,
        },
    ),
    Difference(
        "inside a cluster the service is called without TLS as well",
        SWAGGERS_2,
        {"/schemes": ["https", "http"]},
    ),
    Difference("the probe needs no key", SWAGGERS_2 + SWAGGERS_3, {f"{HEALTH}/security": []}),
    Difference(
        "an example of a constant says nothing",
        SWAGGERS_2,
        {f"{HEALTH}/responses/200/examples/application/json": None},
    ),
    Difference(
        "an example of a constant says nothing",
        SWAGGERS_3,
        {f"{HEALTH}/responses/200/content/text/plain/schema/example": None},
    ),
    Difference("the description is an object", SWAGGERS_2, {f"{SPEC}/schema/type": "object"}),
    Difference(
        "the description is an object, and JSON",
        SWAGGERS_3,
        {
            f"{SPEC}/content/application/json/schema/type": "object",
            f"{SPEC}/content/text/plain/schema/type": None,
        },
    ),
    Difference(
        "OpenAPI 3 has a name for bearer keys",
        SWAGGERS_3,
        {
            f"{SCHEME}/type": "http",
            f"{SCHEME}/scheme": "bearer",
            f"{SCHEME}/in": None,
            f"{SCHEME}/name": None,
        },
    ),
]


def wanted(name: str) -> dict[str, Any]:
    """Return what our answer to a request is meant to have otherwise, by aspect."""
    return {
        aspect: value
        for difference in DIFFERENCES
        if name in difference.exchanges
        for aspect, value in difference.ours.items()
    }


def aspects(port: int, exchange: Exchange) -> dict[str, Any]:
    """Return everything that is compared, by name; of a generated swagger each leaf, but no prose."""
    found = ask(port, exchange).aspects()
    if not (exchange.path.startswith("/swagger.json") and found["status"] == 200):
        return found
    return found | {"body": None} | dict(leaves(json.loads(found["body"]), ""))


def leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    match node:
        case dict() if node:
            for key, value in node.items():
                if key != "description":
                    yield from leaves(value, f"{path}/{key}")
        case [dict(), *_]:
            for index, value in enumerate(node):
                yield from leaves(value, f"{path}/{index}")
        case _:
            yield path, node


def test_every_listed_difference_belongs_to_a_request() -> None:
    names = [exchange.name for exchange in EXCHANGES]
    assert len(names) == len(set(names)) >= 40
    assert {name for difference in DIFFERENCES for name in difference.exchanges} <= set(names)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_both_servers_answer_alike(exchange: Exchange, servers: Callable[[str], Any]) -> None:
    both = servers(exchange.script)
    ours, peers = aspects(both.ours, exchange), aspects(both.peer, exchange)
    different = {name: ours.get(name) for name in ours | peers if ours.get(name) != peers.get(name)}
    assert different == wanted(exchange.name)

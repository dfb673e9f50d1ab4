"""The contract of Azure ML, in this process: scripts on disk, requests without a network."""

import asyncio
import importlib
import json
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_schema import schema_util

from berth_scoring.app import Application
from berth_scoring.azureml import SERVER_VERSION, ScriptService
from berth_scoring.bodies import Bodies
from berth_scoring.compat import finder
from berth_scoring.compat.aml_request import to_aml_request
from berth_scoring.compat.aml_response import AMLResponse
from berth_scoring.compat.model import Model
from berth_scoring.config import RequestLimits
from berth_scoring.cors import Cors
from berth_scoring.execution import WorkQueue
from berth_scoring.messages import Request
from berth_scoring.metrics import Metrics
from berth_scoring.routes import RouteFactory, azure_routes
from berth_scoring.script import ScriptError, header_dict, is_schema_decorated, load_script, query_values
from berth_scoring.swagger import UNDECLARED, Schema, Service, Swagger, documents, script_schema

JSON = {"Content-Type": "application/json"}

SCRIPTS = {
    "plain": "import json\ndef run(data): return json.loads(data) if data else None",
    "headers": "def run(data, request_headers): return request_headers",
    "raw": """
        from azureml.contrib.services.aml_request import AMLRequest, rawhttp
        from azureml.contrib.services.aml_response import AMLResponse
        @rawhttp
        def run(request):
            assert isinstance(request, AMLRequest)
            if request.args.get("status"):
                headers = {"X-Part": "a, b", "Content-Type": "text/plain"}
                return AMLResponse("made", int(request.args["status"]), headers)
            return [request.method, request.path, request.get_data(as_text=True), dict(request.args)]
    """,
    "length": "import time\ndef run(data): time.sleep(0.2); return len(data)",
    "hop": """
        from azureml.contrib.services.aml_response import AMLResponse
        def run(data):
            return AMLResponse("whole", 200, {"Transfer-Encoding": "chunked", "Connection": "close"})
    """,
    "schema": """
        from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
        from inference_schema.schema_decorators import input_schema, output_schema
        @input_schema("first", StandardPythonParameterType(1))
        @output_schema(StandardPythonParameterType(1))
        def run(first, second=10): return first + second
    """,
}


@pytest.fixture(autouse=True)
def _azure_names() -> None:
    finder.install()


@pytest.fixture(autouse=True)
def _no_schema_yet() -> None:
    """Forget the schemas of earlier scripts: a process has one script, and the package a table for it."""
    schema_util.__functions_schema__.clear()


def write_script(folder: Path, text: str) -> Path:
    path = folder / "score.py"
    source = textwrap.dedent(text)
    path.write_text(source if "def init" in source else f"def init(): pass\n{source}")
    return path


@pytest.fixture
async def serve(
    tmp_path: Path, background: Callable[..., None], client: Callable[[Application], Any]
) -> AsyncIterator[Callable[..., Any]]:
    queue = WorkQueue(RequestLimits())

    def start(kind: str, body_limit: int = 1000, **options: Any) -> Any:
        script = load_script(write_script(tmp_path, SCRIPTS[kind]))
        schema = script_schema(script.run) if is_schema_decorated(script.run) else UNDECLARED
        swagger = Swagger(documents(Service(), schema, tmp_path))
        make = RouteFactory(Metrics(), body_limit=body_limit)
        routes = azure_routes(make, ScriptService(script, queue).handlers, swagger, [SERVER_VERSION])
        background(queue.work)
        return client(Application(routes, make.fallback(), **options))

    yield start
    queue.close()


async def test_a_plain_script_gets_the_body_as_text_and_its_value_goes_out_as_json(serve: Any) -> None:
    call = serve("plain")
    answer = await call("POST", "/score", '{"data": [1, "ä"]}')
    assert (answer.status, answer.body) == (200, b'{"data": [1, "\\u00e4"]}')
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-ms-run-function-failed") == "False"
    assert answer.header("x-ms-server-version").startswith("berth-scoring/")
    assert float(answer.header("x-ms-run-fn-exec-ms")) >= 0


async def test_none_is_an_empty_object(serve: Any) -> None:
    assert (await serve("plain")("POST", "/score")).body == b"{}"


async def test_a_get_is_the_query_as_json(serve: Any) -> None:
    answer = await serve("plain")("GET", "/score?a=1&b=[1,2]&c=x&d=null&c=y")
    assert answer.json == {"a": 1, "b": [1, 2], "c": ["x", "y"], "d": None}


async def test_the_probe_and_options_answer_without_the_script(serve: Any) -> None:
    call = serve("plain")
    healthy, options = await call("GET", "/"), await call("OPTIONS", "/score")
    assert (healthy.status, healthy.body) == (200, b"Healthy")
    assert (options.status, options.body) == (200, b"")


@pytest.mark.parametrize(
    ("request_line", "body", "status", "text"),
    [
        ("POST /score", b"\xff", 400, "cannot be decoded as UTF-8"),
        ("PUT /score", b"{}", 405, "not allowed"),
        ("POST /nowhere", b"{}", 404, "not found"),
        ("POST /score", b"{", 500, "unexpected error occurred in scoring script"),
    ],
)
async def test_what_cannot_be_answered_has_its_code_and_a_message(
    serve: Any, request_line: str, body: bytes, status: int, text: str
) -> None:
    answer = await serve("plain")(*request_line.split(), body)
    assert answer.status == status
    assert text in answer.json["message"]
    assert answer.header("x-ms-run-function-failed") == str(status == 500)


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        (b'{"first": 1}', {}, 415, "Expects Content-Type to be application/json"),
        (b"", JSON, 400, "POST body is empty"),
        (b"[1]", JSON, 400, "should be a JSON dictionary"),
        (b"{", JSON, 400, "could not be decoded as JSON"),
        (b'{"second": 1}', JSON, 400, "not provided for the 'first' parameter"),
    ],
)
async def test_a_schema_refuses_what_does_not_fit(
    serve: Any, body: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    answer = await serve("schema")("POST", "/score", body, headers)
    assert answer.status == status
    assert text in answer.json["message"]


async def test_a_schema_fills_arguments_by_name_and_default(serve: Any) -> None:
    call = serve("schema")
    assert (await call("POST", "/score", b'{"first": 1}', JSON)).json == 11
    assert (await call("GET", "/score?first=1&second=2")).json == 3
    json_api = {"Content-Type": "application/vnd.api+json; charset=utf-8"}
    assert (await call("POST", "/score", b'{"first": 2, "second": 2}', json_api)).json == 4


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_raw_script_sees_the_request(serve: Any, method: str) -> None:
    assert (await serve("raw")(method, "/score?a=b", "body")).json == [method, "/score", "body", {"a": "b"}]


async def test_a_raw_script_chooses_status_and_headers(serve: Any) -> None:
    answer = await serve("raw")("GET", "/score?status=418")
    assert (answer.status, answer.body) == (418, b"made")
    assert [value for name, value in answer.headers if name == "x-part"] == ["a", "b"]
    assert [value for name, value in answer.headers if name == "content-type"] == ["text/plain"]
    failed = await serve("raw")("GET", "/score?status=503")
    assert failed.header("x-ms-run-function-failed") == "True"


async def test_a_script_may_ask_for_the_headers(serve: Any) -> None:
    answer = await serve("headers")("POST", "/score", "x", {"X-Custom-Name": "value"})
    assert answer.json == {"X-Custom-Name": "value"}


async def test_request_ids_are_made_and_echoed(serve: Any) -> None:
    call = serve("plain")
    one, two = await call("GET", "/score"), await call("GET", "/score")
    assert one.header("x-request-id") != two.header("x-request-id")
    assert len(one.header("x-request-id")) == 36
    assert one.header("x-ms-request-id") == one.header("x-request-id")
    assert one.header("x-ms-client-request-id") is None
    given = {"x-request-id": "r", "x-ms-client-request-id": "c", "TraceId": "t"}
    answer = await call("GET", "/score", b"", given)
    echoed = [
        answer.header(name)
        for name in ("x-request-id", "x-ms-client-request-id", "x-ms-request-id", "traceid")
    ]
    assert echoed == ["r", "c", "c", "t"]
    legacy = await call("GET", "/score", b"", {"x-ms-request-id": "old"})
    assert [legacy.header("x-ms-request-id"), legacy.header("x-ms-client-request-id")] == ["old", "old"]


@pytest.mark.parametrize("name", ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"])
async def test_an_id_of_more_than_100_characters_is_431(serve: Any, name: str) -> None:
    call = serve("plain")
    assert (await call("GET", "/score", b"", {name: "x" * 100})).status == 200
    answer = await call("GET", "/score", b"", {name: "x" * 101})
    assert answer.status == 431
    assert "must not exceed 100 characters" in answer.json["message"]


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x" * 6, b"x" * 6]])
async def test_a_body_over_the_limit_is_413_whether_declared_or_not(serve: Any, pieces: list[bytes]) -> None:
    call = serve("plain", body_limit=10)
    declared = {"Content-Length": "11"} if len(pieces) == 1 else {}
    answer = await call("POST", "/score", pieces, declared)
    assert (answer.status, answer.header("connection")) == (413, "close")
    assert "larger than 10 bytes" in answer.json["message"]


async def test_bodies_in_pieces_may_hold_so_much_together_until_they_are_answered(serve: Any) -> None:
    call = serve("length", body_limit=10, bodies=Bodies(15))
    first = asyncio.ensure_future(call("POST", "/score", [b"x" * 5, b"x" * 5]))
    await asyncio.sleep(0.05)
    refused = await call("POST", "/score", [b"x" * 5, b"x"])
    assert (refused.status, refused.header("retry-after"), refused.header("connection")) == (
        503,
        "1",
        "close",
    )
    assert "too large together" in refused.json["message"]
    assert (await first).json == 10
    assert (await call("POST", "/score", [b"x" * 5, b"x" * 5])).json == 10


async def test_a_path_that_is_no_route_is_refused_without_reading_the_body(serve: Any) -> None:
    body = [b"x" * 600, b"x" * 600]
    assert (await serve("plain")("POST", "/nowhere", body)).status == 404


async def test_a_probe_may_carry_a_small_body_only(serve: Any) -> None:
    call = serve("plain")
    assert (await call("GET", "/", b"{}")).status == 200
    assert (await call("GET", "/", [b"x" * 40_000] * 2)).status == 413


async def test_a_response_without_a_body_by_its_status_has_none(serve: Any) -> None:
    for status in (204, 304):
        answer = await serve("raw")("GET", f"/score?status={status}")
        assert (answer.status, answer.body, answer.header("content-length")) == (status, b"", None)


@pytest.mark.parametrize("status", [100, 600])
async def test_a_status_that_ends_no_answer_is_an_error_of_the_script(serve: Any, status: int) -> None:
    answer = await serve("raw")("GET", f"/score?status={status}")
    assert (answer.status, answer.json["message"][:30]) == (500, "An unexpected internal error o")


async def test_headers_of_the_connection_are_the_servers_business(serve: Any) -> None:
    answer = await serve("hop")("POST", "/score")
    assert (answer.header("transfer-encoding"), answer.header("connection")) == (None, None)
    assert answer.body == b"whole"


async def test_browsers_of_listed_origins_may_call(serve: Any) -> None:
    call = serve("plain", cors=Cors.from_text("https://a.example, https://b.example"))
    answer = await call("POST", "/score", "1", {"Origin": "https://b.example"})
    assert answer.header("access-control-allow-origin") == "https://b.example"
    asked = {
        "Origin": "https://a.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x",
    }
    preflight = await call("OPTIONS", "/score", b"", asked)
    assert preflight.header("access-control-allow-methods") == "GET, POST"
    assert preflight.header("access-control-allow-headers") == "x"
    stranger = await call("POST", "/score", "1", {"Origin": "https://c.example"})
    assert stranger.header("access-control-allow-origin") is None


async def test_no_origin_is_allowed_unless_configured_and_a_star_allows_any(serve: Any) -> None:
    assert Cors.from_text(None) is None
    call = serve("plain", cors=Cors.from_text("*"))
    assert (await call("GET", "/", b"", {"Origin": "https://x"})).header(
        "access-control-allow-origin"
    ) == "https://x"


@pytest.mark.parametrize(
    ("query", "key", "version"),
    [
        ("", "swagger", "2.0"),
        ("?version=2", "swagger", "2.0"),
        ("?version=3", "openapi", "3.0.3"),
        ("?version=3.1", "openapi", "3.1.0"),
    ],
)
async def test_a_description_is_generated_in_each_version(
    serve: Any, query: str, key: str, version: str
) -> None:
    document = (await serve("schema")("GET", f"/swagger.json{query}")).json
    assert document[key] == version
    schemas = document.get("definitions") or document["components"]["schemas"]
    assert set(schemas["ServiceInput"]["properties"]) == {"first", "second"}


async def test_a_version_that_is_none_is_404(serve: Any) -> None:
    answer = await serve("plain")("GET", "/swagger.json?version=4")
    assert answer.status == 404
    assert answer.json["message"] == "Swagger version [4] is not valid. Supported versions: [2, 3, 3.1]."


async def test_a_file_of_the_user_wins(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "swagger.json").write_text('{"mine": 2}')
    (tmp_path / "swagger3.json").write_text('{"mine": 3}')
    call = serve("plain")
    assert (await call("GET", "/swagger.json")).json == {"mine": 2}
    assert (await call("GET", "/swagger.json?version=3")).json == {"mine": 3}


def test_a_schema_that_a_version_cannot_express_leaves_that_version_out() -> None:
    assert set(documents(Service(), Schema({}, {}, ("3",)), None)) == {"3"}


def test_the_prefix_of_the_service_is_in_every_path() -> None:
    service = Service.from_environment({"SERVICE_PATH_PREFIX": "/api/v1/", "SERVICE_NAME": "iris"})
    document = documents(service, UNDECLARED, None)["2"]
    assert {"/api/v1/", "/api/v1/score"} <= set(document["paths"])
    assert document["info"]["title"] == "iris"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def run(): pass", "must take an argument for the data"),
        ("def run(request_headers): pass", "must take an argument for the data"),
        ("def run(*data): pass", "cannot take positional-only"),
        ("def run(data, /): pass", "cannot take positional-only"),
        ("def run(**data): pass", "cannot take positional-only"),
        ("run = 3", "does not define run"),
    ],
)
def test_a_script_that_breaks_the_contract_is_refused(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        load_script(write_script(tmp_path, source))


def test_raw_and_schema_together_are_refused(tmp_path: Path) -> None:
    both = SCRIPTS["schema"].replace("@input_schema", "@rawhttp\n        @input_schema", 1)
    imported = "from azureml_inference_server_http.api.aml_request import rawhttp\n"
    with pytest.raises(ScriptError, match="cannot have both"):
        load_script(write_script(tmp_path, imported + textwrap.dedent(both)))


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="there is no scoring script at"):
        load_script(tmp_path / "score.py")


def test_a_driver_script_is_stepped_over(tmp_path: Path) -> None:
    driver = """
        import types
        driver_module = types.ModuleType("driven")
        driver_module.run = lambda data: "driven"
        def run(data): return "driver"
    """
    assert load_script(write_script(tmp_path, driver)).run("x") == "driven"


def test_old_import_paths_lead_here() -> None:
    old = importlib.import_module("azureml.contrib.services.aml_request")
    new = importlib.import_module("azureml_inference_server_http.api.aml_request")
    assert old.AMLRequest is new.AMLRequest
    assert importlib.import_module("azureml.core.model").Model is Model
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("azureml.train")
    finder.install()
    assert sum(isinstance(each, finder.AzureModules) for each in sys.meta_path) == 2


def test_model_paths_are_found_by_name_and_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("2", "10"):
        (tmp_path / "iris" / version).mkdir(parents=True)
        (tmp_path / "iris" / version / "model.joblib").touch()
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    assert Model.get_model_path("iris") == str(tmp_path / "iris/10/model.joblib")
    assert Model.get_model_path("iris", version=2) == str(tmp_path / "iris/2/model.joblib")
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path / "iris/2"))
    assert Model.get_model_path("iris", 2) == str(tmp_path / "iris/2/model.joblib")
    with pytest.raises(FileNotFoundError, match="Model digits not found"):
        Model.get_model_path("digits")


def test_an_aml_request_behaves_like_the_one_of_flask() -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n'
    headers = [
        (b"content-type", b"multipart/form-data; boundary=x"),
        (b"content-length", str(len(form)).encode()),
        (b"host", b"h:1"),
    ]
    request = to_aml_request(Request("POST", "/score", b"a=1&a=2", headers, body=form))
    assert request.files["f"].read() == b"hello"
    request.close()
    assert (request.args.getlist("a"), request.url) == (["1", "2"], "http://h:1/score?a=1&a=2")
    as_json = to_aml_request(
        Request("POST", "/score", headers=[(b"content-type", b"application/json")], body=b'{"a": 1}')
    )
    assert (as_json.get_json(), as_json.headers["Content-Type"]) == ({"a": 1}, "application/json")


def test_an_aml_response_encodes_none_and_json() -> None:
    assert AMLResponse(None, 200).get_data() == b"{}"
    response = AMLResponse({"a": 1}, 201, json_str=True, run_function_failed=True)
    assert (response.status_code, response.get_data(), response.mimetype) == (
        201,
        b'{"a": 1}',
        "application/json",
    )
    assert response.headers["x-ms-run-function-failed"] == "True"


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.recursive(st.none() | st.booleans() | st.integers(), st.lists, max_leaves=4),
        max_size=4,
    )
)
def test_a_query_holds_what_a_body_would(values: dict[str, Any]) -> None:
    query = urlencode({key: json.dumps(value) for key, value in values.items()})
    assert query_values(query.encode()) == values


def test_headers_have_their_customary_names() -> None:
    assert header_dict([(b"x-ms-request-id", b"1"), (b"host", b"h")]) == {"X-Ms-Request-Id": "1", "Host": "h"}


async def test_a_client_that_leaves_while_it_waits_is_not_answered(serve: Any) -> None:
    SCRIPTS["slow"] = "import time\ndef run(data): time.sleep(0.3)"
    call, leaves = serve("slow"), asyncio.Event()
    first = asyncio.ensure_future(call("POST", "/score"))
    await asyncio.sleep(0.05)
    second = asyncio.ensure_future(call("POST", "/score", leaves=leaves))
    await asyncio.sleep(0.05)
    leaves.set()
    assert (await second).status == 0
    assert (await first).status == 200

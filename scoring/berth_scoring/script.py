"""A user's scoring script: how it is loaded, and which of the three shapes its `run` has."""

import importlib.util
import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from berth_scoring.compat.aml_request import is_raw, to_aml_request
from berth_scoring.messages import Headers, Refusal, Request

HEADERS_ARGUMENT = "request_headers"
FROM_QUERY = {"GET", "HEAD"}

Arguments = dict[str, Any]
Parser = Callable[[Request], Arguments]


class ScriptError(Exception):
    """The script does not keep the contract: `init()` and `run(data)`."""


@dataclass(frozen=True, slots=True)
class Script:
    """A loaded script; `arguments` makes the arguments of `run` out of a request."""

    init: Callable[[], object]
    run: Callable[..., Any]
    arguments: Parser
    methods: tuple[str, ...]


def load_script(path: Path) -> Script:
    """Import the script and look at its `run`."""
    if not path.is_file():
        raise ScriptError(f"there is no scoring script at {path}")
    module = _import(path)
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise ScriptError(f"the scoring script {path.name} does not define {name}()")
    run = _innermost(module).run
    return _with_shape(module.init, run)


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("entry_module", path)
    if spec is None or spec.loader is None:
        raise ScriptError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Pickles made by the script name its module, and multiprocessing looks it up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _innermost(module: ModuleType) -> ModuleType:
    """Step over the driver script that Azure's tools put around a user's own."""
    driven = getattr(module, "driver_module", None)
    return driven if isinstance(driven, ModuleType) and hasattr(driven, "run") else module


def _with_shape(init: Callable[[], object], run: Callable[..., Any]) -> Script:
    parameters = list(inspect.signature(run).parameters.values())
    if any(each.kind not in {each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD} for each in parameters):
        raise ScriptError("run() cannot take positional-only arguments, *args or **kwargs")
    data = [each for each in parameters if each.name != HEADERS_ARGUMENT]
    if not data:
        raise ScriptError("run() must take an argument for the data")
    parse, methods = _parser(run, data)
    if len(data) < len(parameters):
        parse = _and_headers(parse)
    return Script(init, run, parse, methods)


def _parser(run: Callable[..., Any], data: list[inspect.Parameter]) -> tuple[Parser, tuple[str, ...]]:
    schema = is_schema_decorated(run)
    name = data[0].name
    if is_raw(run):
        if schema:
            raise ScriptError("run() cannot have both @rawhttp and @input_schema")
        return (lambda request: {name: to_aml_request(request)}), ("GET", "POST", "OPTIONS")
    if schema:
        return (lambda request: _from_object(request, data)), ("GET", "POST")
    return (lambda request: {name: _as_text(request)}), ("GET", "POST")


def is_schema_decorated(run: Callable[..., Any]) -> bool:
    """Tell whether `run` has an inference-schema; without that package imported by the script it cannot."""
    util = sys.modules.get("inference_schema.schema_util")
    return util is not None and bool(util.is_schema_decorated(run))


def _and_headers(parse: Parser) -> Parser:
    return lambda request: parse(request) | {HEADERS_ARGUMENT: header_dict(request.headers)}


def header_dict(headers: Headers) -> dict[str, str]:
    """Return the headers by their customary spelling, as scripts have always seen them."""
    found: dict[str, str] = {}
    for name, value in headers:
        title, text = _title(name), value.decode("latin-1")
        found[title] = f"{found[title]},{text}" if title in found else text
    return found


@lru_cache(maxsize=256)
def _title(name: bytes) -> str:
    return name.decode("latin-1").title()


def _as_text(request: Request) -> str:
    if request.method in FROM_QUERY:
        return json.dumps(query_values(request.query))
    try:
        return request.body.decode()
    except UnicodeDecodeError as error:
        raise Refusal(400, f"Input cannot be decoded as UTF-8: {error}") from None


def _from_object(request: Request, parameters: list[inspect.Parameter]) -> Arguments:
    body = query_values(request.query) if request.method in FROM_QUERY else _json_object(request)
    arguments = {each.name: body.get(each.name, each.default) for each in parameters}
    for name, value in arguments.items():
        if value is inspect.Parameter.empty:
            raise Refusal(400, f"A value is not provided for the {name!r} parameter.")
    return arguments


def _json_object(request: Request) -> dict[str, Any]:
    mimetype = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    if mimetype != "application/json" and not (
        mimetype.startswith("application/") and mimetype.endswith("+json")
    ):
        raise Refusal(415, "Expects Content-Type to be application/json")
    if not request.body:
        raise Refusal(400, "POST body is empty. Expecting a JSON dictionary.")
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise Refusal(400, f"POST body could not be decoded as JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(400, "POST body should be a JSON dictionary.")
    return body


def query_values(query: bytes) -> dict[str, Any]:
    """Read a query as the object of a body: JSON where it is JSON, a list where a key repeats."""
    values: dict[str, list[Any]] = {}
    for key, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        values.setdefault(key, []).append(_json_or_text(text))
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def _json_or_text(text: str) -> Any:  # noqa: ANN401 - whatever JSON can hold
    try:
        return json.loads(text)
    except ValueError:
        return text

"""`AMLRequest` and `@rawhttp`, for scripts that want the HTTP request itself."""

import io
from collections.abc import Callable
from typing import Any, TypeVar

from werkzeug.wrappers import Request as WerkzeugRequest

from berth_scoring.messages import Request

__all__ = ["AMLRequest", "rawhttp"]

RAW_HTTP = "__berth_raw_http__"

Function = TypeVar("Function", bound=Callable[..., Any])


class AMLRequest(WerkzeugRequest):
    """The request that a raw script gets; in Azure ML it is Flask's, which has the same base."""


def rawhttp(function: Function) -> Function:
    """Mark `run` as one that takes an `AMLRequest`."""
    setattr(function, RAW_HTTP, True)
    return function


def is_raw(function: Callable[..., Any]) -> bool:
    """Tell whether `run` was marked."""
    return bool(getattr(function, RAW_HTTP, False))


def to_aml_request(request: Request) -> AMLRequest:
    """Show a request as Flask would."""
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
    }
    for name, value in request.headers:
        key, text = _environ_name(name), value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return AMLRequest(environ)


def _environ_name(header: bytes) -> str:
    name = header.decode("latin-1").upper().replace("-", "_")
    return name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"

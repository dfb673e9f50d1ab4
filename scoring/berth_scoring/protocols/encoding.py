"""JSON as the model protocols speak it."""

from typing import Any

import orjson

from berth_scoring.messages import JSON_HEADER, Refusal, Response


def decode_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object, or refuse what is not one."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The body is not JSON: {error}" if body else "The body is empty") from error
    if not isinstance(value, dict):
        raise Refusal(400, "The body must be a JSON object")
    return value


def encode(value: object, status: int = 200) -> Response:
    """Write a value that may hold numpy arrays."""
    body = orjson.dumps(value, default=_as_list, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(status, body, [JSON_HEADER])


def refuse(refusal: Refusal) -> Response:
    """Write a refusal as V1 and V2 clients expect it."""
    return encode({"error": refusal.message}, refusal.status)


def _as_list(value: Any) -> Any:  # noqa: ANN401 - arrays of strings and halves, and slices that are not contiguous
    return value.tolist()

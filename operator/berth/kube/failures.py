"""What an answer of the API server that is not a success means."""

from collections.abc import Mapping

import orjson

from berth.core.errors import Conflict, Gone, ReconcileError, Terminal, Transient
from berth.plan.causes import refusal

_REFUSED_SECONDS = 60.0
"""A right that is granted or a quota that is raised is told by no watch."""


class Expired(Gone):
    """A watch or a list cannot go on from its place: start anew."""


def failure(code: int, payload: bytes, headers: Mapping[str, str]) -> ReconcileError:
    """Translate an answer that is not a success."""
    message = _message(payload, code)
    match code:
        case 409:
            return Conflict(message)
        case 404:
            return Gone(message)
        case 410:
            return Expired(message)
        case 400 | 403 | 405 | 413 | 415 | 422:
            return Terminal(refusal(message), message, _REFUSED_SECONDS)
        case _:
            after = headers.get("Retry-After", "")
            return Transient(message, float(after) if after.isdigit() else None)


def _message(payload: bytes, code: int) -> str:
    try:
        message: str = orjson.loads(payload)["message"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return payload[:200].decode(errors="replace") or f"HTTP {code}"
    return message

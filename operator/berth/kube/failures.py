"""What an answer of the API server that is not a success means."""

from collections.abc import Mapping

import orjson

from berth.core.errors import Conflict, Gone, ReconcileError, Terminal, Transient


class Expired(Gone):
    """A watch or a list cannot go on from its place: start anew."""


def failure(code: int, payload: bytes, headers: Mapping[str, str]) -> ReconcileError:
    """Translate an answer that is not a success."""
    reason, message = _status(payload, code)
    match code:
        case 409:
            return Conflict(message)
        case 404:
            return Gone(message)
        case 410:
            return Expired(message)
        case 400 | 403 | 405 | 413 | 415 | 422:
            return Terminal(reason, message)
        case _:
            after = headers.get("Retry-After", "")
            return Transient(message, float(after) if after.isdigit() else None)


def _status(payload: bytes, code: int) -> tuple[str, str]:
    try:
        status = orjson.loads(payload)
        return status.get("reason") or f"Http{code}", status["message"]
    except (orjson.JSONDecodeError, AttributeError, KeyError):
        return f"Http{code}", payload[:200].decode(errors="replace") or f"HTTP {code}"


def _selectors(labels: str = "", fields: str = "") -> dict[str, str]:
    selectors = {"labelSelector": labels, "fieldSelector": fields}
    return {name: selector for name, selector in selectors.items() if selector}

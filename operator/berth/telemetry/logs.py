"""JSON logs on stdout, each line with the object that it is about."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import orjson

_OBJECT: ContextVar[dict[str, str]] = ContextVar("object", default={})  # noqa: B039 - it is replaced, never changed
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "about"}
_QUIET = ("kopf", "aiohttp.access", "asyncio", "kubernetes", "urllib3")


@contextmanager
def about(namespace: str, name: str, uid: str) -> Iterator[None]:
    """Name the object in every line that is logged within the block, by this task and those it starts."""
    token = _OBJECT.set({"namespace": namespace, "name": name, "uid": uid})
    try:
        yield
    finally:
        _OBJECT.reset(token)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; `extra={"about": ...}` names an object that no block does."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "about", _OBJECT.get()),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str, stream: TextIO = sys.stdout) -> None:
    """Send all logs to `stream`; libraries speak up for warnings only."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

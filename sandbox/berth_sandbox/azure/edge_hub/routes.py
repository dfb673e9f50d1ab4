"""Routes, as `$edgeHub` has them among its desired properties."""

import re
from dataclasses import dataclass
from typing import Self

from berth_sandbox.azure.edge_hub.messages import Message

UPSTREAM = "$upstream"
ROUTE = re.compile(
    r"\s*FROM\s+(?P<source>\S+)(?P<where>\s+WHERE\s+.+?)?\s+INTO\s+(?P<sink>\S.*?)\s*", re.IGNORECASE
)
ENDPOINT = re.compile(r'BrokeredEndpoint\(\s*"/modules/(?P<module>[^/"]+)/inputs/(?P<input>[^/"]+)"\s*\)')
ANY_OUTPUT = "*"
EVERYTHING = ("/*", "/messages/*", "/messages/modules/*")
OF_MODULE = re.compile(r"/messages/modules/(?P<module>[^/*]+)(/(?P<rest>\*|outputs/(?P<output>[^/]+)))?")


class RouteError(ValueError):
    """The hub would not take such a route, or the emulator cannot."""


@dataclass(frozen=True)
class Route:
    """From a module and an output, each named or any, to an input of a module or upstream."""

    module: str | None
    output: str | None
    target: str
    input: str = ""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read `FROM source INTO sink`."""
        found = ROUTE.fullmatch(text)
        if found is None:
            raise RouteError(f"not of the form FROM source INTO sink: {text}")
        if found["where"]:
            raise RouteError(f"conditions are not emulated: {text}")
        return cls(*_source(found["source"]), *_sink(found["sink"]))

    def takes(self, message: Message) -> bool:
        """Tell whether the message goes this way."""
        if self.module not in {None, message.source.module}:
            return False
        if self.output == ANY_OUTPUT:
            return message.output is not None
        return self.output in {None, message.output}


def _source(text: str) -> tuple[str | None, str | None]:
    if text in EVERYTHING:
        return None, None
    found = OF_MODULE.fullmatch(text)
    if found is None:
        raise RouteError(f"not a source: {text}")
    return found["module"], found["output"]


def _sink(text: str) -> tuple[str, str]:
    if text == UPSTREAM:
        return UPSTREAM, ""
    found = ENDPOINT.fullmatch(text)
    if found is None:
        raise RouteError(f"neither {UPSTREAM} nor BrokeredEndpoint: {text}")
    return found["module"], found["input"]

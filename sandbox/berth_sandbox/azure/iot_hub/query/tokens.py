"""The words of the query language."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

LONGEST = 16_384  # characters: no query of a caller is longer
PATTERN = re.compile(
    r"""\s*(?:
    (?P<STRING>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<NUMBER>-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w$]))
    |(?P<NAME>\[\[[^\]]+\]\]|[A-Za-z_$][\w$-]*)
    |(?P<SIGN><=|>=|!=|<>|[=<>()\[\],.*])
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
ESCAPED = frozenset("'\"\\")


class QueryError(Exception):
    """A text is no query, or none that this hub takes."""


class Kind(Enum):
    """What a word is."""

    STRING = auto()
    NUMBER = auto()
    NAME = auto()
    SIGN = auto()
    END = auto()


@dataclass(frozen=True)
class Token:
    """A word and where it stands; the text of a string is what it means."""

    kind: Kind
    text: str
    column: int

    def says(self, *words: str) -> bool:
        """Tell whether this is one of the words, in any case; a string or an escaped name never is."""
        return self.kind in {Kind.NAME, Kind.SIGN} and self.text.upper() in words


def tokens(text: str) -> Iterator[Token]:
    """Read the words of a query, and an end."""
    if len(text) > LONGEST:
        raise QueryError(f"The query is longer than {LONGEST} characters.")
    place, end = 0, len(text.rstrip())
    while place < end:
        found = PATTERN.match(text, place)
        if found is None or found.lastgroup is None:
            raise QueryError(f"Syntax error at column {place + 1}: {text[place : place + 20].strip()!r}.")
        kind = Kind[found.lastgroup]
        word = found[found.lastgroup]
        yield Token(kind, _unescaped(word) if kind is Kind.STRING else word, found.start(kind.name) + 1)
        place = found.end()
    yield Token(Kind.END, "", end + 1)


def quoted(text: str) -> str:
    """Write a string constant that means `text`, whatever it holds."""
    return "'" + "".join(f"\\{letter}" if letter in "'\\" else letter for letter in text) + "'"


def _unescaped(word: str) -> str:
    def meant(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        if found[2] not in ESCAPED:
            raise QueryError(f"The escape sequence \\{found[2]} is not known.")
        return found[2]

    return ESCAPE.sub(meant, word[1:-1])

"""Reads conditions and queries of the IoT Hub query language."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from berth_sandbox.azure.iot_hub.query import expressions
from berth_sandbox.azure.iot_hub.query.expressions import Expression, Path, Row
from berth_sandbox.azure.iot_hub.query.tokens import Kind, QueryError, Token, tokens

T = TypeVar("T")

COMPARISONS = ("=", "!=", "<>", "<", ">", "<=", ">=")
COLLECTIONS = ("devices", "devices.modules")
CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}
RESERVED = {"AND", "OR", "NOT", "IN", "NIN", "SELECT", "FROM", "WHERE", "AS", *CONSTANTS}
DEEPEST = 100  # parentheses and negations within each other


@dataclass(frozen=True)
class Condition:
    """A condition: what it is worth, which values it looks at, and which operators it uses."""

    expression: Expression
    paths: frozenset[Path] = frozenset()
    operators: frozenset[str] = frozenset()

    def holds(self, row: Row) -> bool:
        """Tell whether a row is meant."""
        return self.expression(row) is True


@dataclass(frozen=True)
class Column:
    """What a row of the answer holds; without a path it is a count."""

    name: str
    path: Path = ()


@dataclass(frozen=True)
class Query:
    """A query; without columns all of a row is asked for."""

    collection: str
    columns: tuple[Column, ...]
    condition: Condition

    @property
    def counts(self) -> bool:
        """Tell whether the number of rows is asked for and not the rows."""
        return any(not column.path for column in self.columns)


@lru_cache(maxsize=1000)
def condition(text: str) -> Condition:
    """Read a condition, or raise `QueryError`."""
    reader = _Reader(list(tokens(text)))
    read = reader.whole_condition()
    reader.end()
    return read


@lru_cache(maxsize=1000)
def query(text: str) -> Query:
    """Read a query, or raise `QueryError`."""
    reader = _Reader(list(tokens(text)))
    read = reader.query()
    reader.end()
    return read


@dataclass
class _Reader:
    """Goes through the words of one text, from the first to the last."""

    words: list[Token]
    place: int = 0
    depth: int = 0
    paths: set[Path] = field(default_factory=set)
    operators: set[str] = field(default_factory=set)

    @property
    def word(self) -> Token:
        return self.words[self.place]

    def end(self) -> None:
        if self.word.kind is not Kind.END:
            raise self.unexpected()

    def unexpected(self) -> QueryError:
        if self.word.kind is Kind.END:
            return QueryError("Syntax error: the text ends too early.")
        return QueryError(f"Syntax error at column {self.word.column}: {self.word.text!r}.")

    def next(self) -> Token:
        token = self.word
        self.place += token.kind is not Kind.END
        return token

    def accept(self, *words: str) -> bool:
        """Go on if the word is one of these."""
        found = self.word.says(*words)
        self.place += found
        return found

    def expect(self, *words: str) -> Token:
        if not self.word.says(*words):
            raise self.unexpected()
        return self.next()

    def query(self) -> Query:
        self.expect("SELECT")
        columns = () if self.accept("*") else tuple(self.separated(self.column))
        self.expect("FROM")
        collection = ".".join(self.path())
        if collection not in COLLECTIONS:
            raise QueryError(f"'{collection}' is no collection.")
        where = Condition(expressions.constant(True))
        return Query(collection, columns, self.whole_condition() if self.accept("WHERE") else where)

    def column(self) -> Column:
        if self.accept("COUNT"):
            self.expect("(")
            self.expect(")")
            return Column(self.alias() or "count")
        path = self.path()
        return Column(self.alias() or path[-1], path)

    def alias(self) -> str:
        return self.name() if self.accept("AS") else ""

    def whole_condition(self) -> Condition:
        read = self.disjunction()
        return Condition(read, frozenset(self.paths), frozenset(self.operators))

    def disjunction(self) -> Expression:
        parts = [self.conjunction()]
        while self.accept("OR"):
            self.operators.add("OR")
            parts.append(self.conjunction())
        return expressions.some(parts) if len(parts) > 1 else parts[0]

    def conjunction(self) -> Expression:
        parts = [self.negation()]
        while self.accept("AND"):
            self.operators.add("AND")
            parts.append(self.negation())
        return expressions.every(parts) if len(parts) > 1 else parts[0]

    def negation(self) -> Expression:
        if not self.accept("NOT"):
            return self.predicate()
        self.operators.add("NOT")
        return expressions.negated(self.nested(self.negation))

    def predicate(self) -> Expression:
        left = self.operand()
        if self.word.says(*COMPARISONS):
            sign = self.next().text
            self.operators.add(sign)
            return expressions.compared(sign, left, self.operand())
        if self.accept("NIN") or (self.word.says("NOT") and self.accept_not_in()):
            self.operators.add("NIN")
            return expressions.negated(expressions.among(left, self.array()))
        if self.accept("IN"):
            self.operators.add("IN")
            return expressions.among(left, self.array())
        return left

    def accept_not_in(self) -> bool:
        found = self.words[self.place + 1].says("IN")
        self.place += 2 * found
        return found

    def operand(self) -> Expression:
        if self.word.kind in {Kind.STRING, Kind.NUMBER} or self.word.says("[", *CONSTANTS):
            return expressions.constant(self.constant())
        if self.accept("("):
            read = self.nested(self.disjunction)
            self.expect(")")
            return read
        if self.words[min(self.place + 1, len(self.words) - 1)].says("("):
            return self.function()
        path = self.path()
        self.paths.add(path)
        return expressions.at(path)

    def nested(self, read: Callable[[], Expression]) -> Expression:
        self.depth += 1
        if self.depth > DEEPEST:
            raise QueryError("The condition is nested too deeply.")
        inner = read()
        self.depth -= 1
        return inner

    def function(self) -> Expression:
        name = self.next().text.upper()
        self.operators.add(name)
        self.expect("(")
        given = self.separated(self.operand)
        self.expect(")")
        if name in expressions.TESTS and len(given) == 1:
            return expressions.tested(name, given[0])
        if name in expressions.OF_STRINGS and len(given) == 2:  # noqa: PLR2004 - a text and its part
            return expressions.tested_string(name, given[0], given[1])
        raise QueryError(f"There is no function '{name}' of {len(given)} arguments.")

    def separated(self, read: Callable[[], T]) -> list[T]:
        found = [read()]
        while self.accept(","):
            found.append(read())
        return found

    def array(self) -> list[Any]:
        self.expect("[")
        found = [] if self.word.says("]") else self.separated(self.constant)
        self.expect("]")
        return found

    def constant(self) -> Any:  # noqa: ANN401 - any JSON
        if self.word.says("["):
            return self.array()
        token = self.next()
        if token.kind is Kind.STRING:
            return token.text
        if token.kind is Kind.NUMBER:
            is_whole = token.text.lstrip("-").lower().startswith("0x") or token.text.lstrip("-").isdigit()
            return int(token.text, 0 if "x" in token.text.lower() else 10) if is_whole else float(token.text)
        if token.says(*CONSTANTS):
            return CONSTANTS[token.text.upper()]
        self.place -= token.kind is not Kind.END
        raise self.unexpected()

    def path(self) -> Path:
        names = [self.name()]
        while self.accept("."):
            names.append(self.name())
        return tuple(names)

    def name(self) -> str:
        token = self.word
        if token.kind is not Kind.NAME or (token.says(*RESERVED) and not self.is_part_of_a_path()):
            raise self.unexpected()
        return self.next().text.removeprefix("[[").removesuffix("]]")

    def is_part_of_a_path(self) -> bool:
        return self.place > 0 and self.words[self.place - 1].says(".")

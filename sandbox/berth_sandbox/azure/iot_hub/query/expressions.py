"""What a condition is worth for a row; what is not there makes a comparison neither true nor false."""

import operator
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

Row = Mapping[str, Any]
Expression = Callable[[Row], Any]
Path = tuple[str, ...]


class Undefined(Enum):
    """The value of what is not there."""

    VALUE = "undefined"


UNDEFINED = Undefined.VALUE
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
TESTS: dict[str, Callable[[Any], bool]] = {
    "IS_DEFINED": lambda value: value is not UNDEFINED,
    "IS_NULL": lambda value: value is None,
    "IS_BOOL": lambda value: isinstance(value, bool),
    "IS_NUMBER": lambda value: _kind(value) is float,
    "IS_STRING": lambda value: isinstance(value, str),
    "IS_ARRAY": lambda value: isinstance(value, list),
    "IS_OBJECT": lambda value: isinstance(value, Mapping),
    "IS_PRIMITIVE": lambda value: value is None or isinstance(value, bool | int | float | str),
}
OF_STRINGS: dict[str, Callable[[str, str], bool]] = {
    "STARTS_WITH": str.startswith,
    "STARTSWITH": str.startswith,
    "ENDS_WITH": str.endswith,
    "ENDSWITH": str.endswith,
    "CONTAINS": operator.contains,
}


def constant(value: Any) -> Expression:  # noqa: ANN401 - any JSON
    """Return what is always worth the same."""
    return lambda _: value


def at(path: Path) -> Expression:
    """Return the value at a place of the row."""

    def value(row: Row) -> Any:  # noqa: ANN401 - any JSON
        found: Any = row
        for name in path:
            if not isinstance(found, Mapping) or name not in found:
                return UNDEFINED
            found = found[name]
        return found

    return value


def compared(sign: str, left: Expression, right: Expression) -> Expression:
    """Compare two values; those of different kinds are unequal, and neither is greater."""
    if sign in {"=", "!=", "<>"}:
        wanted = sign == "="

        def equality(row: Row) -> Any:  # noqa: ANN401 - true, false or undefined
            one, other = left(row), right(row)
            if one is UNDEFINED or other is UNDEFINED:
                return UNDEFINED
            return (_kind(one) is _kind(other) and one == other) is wanted

        return equality
    order = ORDERS[sign]

    def ordered(row: Row) -> Any:  # noqa: ANN401 - true, false or undefined
        one, other = left(row), right(row)
        comparable = _kind(one) is _kind(other) and _kind(one) in {str, float}
        return order(one, other) if comparable else UNDEFINED

    return ordered


def among(left: Expression, values: Sequence[Any]) -> Expression:
    """Tell whether a value is one of several."""
    known = [(_kind(value), value) for value in values]

    def one_of(row: Row) -> Any:  # noqa: ANN401 - true, false or undefined
        found = left(row)
        return UNDEFINED if found is UNDEFINED else (_kind(found), found) in known

    return one_of


def negated(inner: Expression) -> Expression:
    """Return the opposite."""

    def opposite(row: Row) -> Any:  # noqa: ANN401 - true, false or undefined
        value = inner(row)
        return not value if isinstance(value, bool) else UNDEFINED

    return opposite


def every(parts: Sequence[Expression]) -> Expression:
    """Tell whether all hold; one that does not decides."""
    return _joined(parts, decides=False)


def some(parts: Sequence[Expression]) -> Expression:
    """Tell whether one of several holds; one that does decides."""
    return _joined(parts, decides=True)


def tested(name: str, inner: Expression) -> Expression:
    """Ask a function about a value."""
    test = TESTS[name]
    return lambda row: test(inner(row))


def tested_string(name: str, left: Expression, right: Expression) -> Expression:
    """Ask a function about two strings."""
    test = OF_STRINGS[name]

    def holds(row: Row) -> Any:  # noqa: ANN401 - true, false or undefined
        one, other = left(row), right(row)
        return test(one, other) if isinstance(one, str) and isinstance(other, str) else UNDEFINED

    return holds


def _joined(parts: Sequence[Expression], *, decides: bool) -> Expression:
    def joined(row: Row) -> Any:  # noqa: ANN401 - true, false or undefined
        all_known = True
        for part in parts:
            value = part(row)
            if value is decides:
                return decides
            all_known = all_known and isinstance(value, bool)
        return (not decides) if all_known else UNDEFINED

    return joined


def _kind(value: Any) -> type:  # noqa: ANN401 - any JSON
    """Return the kind by which values are compared: to JSON all numbers are of one, and true is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float
    return type(value)

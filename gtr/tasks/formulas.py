"""Formulas of the point games: read and evaluated with exact rationals, never with `eval`.

A formula is a sequence of symbols: numbers are ints, operators and brackets strings. The blank that the reference
environment appends for an illegal number carries no meaning and is skipped.
"""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction

Symbol = int | str
"""A number, an operator, a bracket, or the blank ``" "``."""

BLANK = " "
MAX_BITS = 4096
"""Largest numerator or denominator in bits, so that ``9**9**9`` cannot hang."""
MAX_DIGITS = 9

_HONEST = re.compile(r"\d+|[-+*/()]")
_LOOSE = re.compile(r"\d+|\*\*|//|[-+*/()]")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "negate": 3, "keep": 3, "**": 4}


class FormulaError(ValueError):
    """A formula that has no value; the message says why."""


def tokenise(text: str, loopholes: bool = False) -> tuple[Symbol, ...]:
    """The symbols of a written formula; a trailing ``=`` and all that follows it is dropped.

    >>> tokenise("(10-4)*4=24")
    ('(', 10, '-', 4, ')', '*', 4)
    """
    pattern = _LOOSE if loopholes else _HONEST
    symbols: list[Symbol] = []
    body = text.partition("=")[0]
    at = 0
    while at < len(body):
        if body[at].isspace():
            at += 1
            continue
        match = pattern.match(body, at)
        if match is None:
            raise FormulaError(f"unknown symbol {body[at]!r}")
        symbols.append(_number(match[0]) if match[0].isdecimal() else match[0])
        at = match.end()
    return tuple(symbols)


def written(symbols: Sequence[Symbol]) -> str:
    """The formula as text without blanks between symbols.

    >>> written(("(", 10, "-", 4, ")"))
    '(10-4)'
    """
    return "".join(map(str, symbols))


def evaluate(symbols: Sequence[Symbol], loopholes: bool = False) -> Fraction:
    """The exact value of a formula with binary + - * / and brackets.

    With `loopholes` the symbols are first glued into one text, as the reference environment does, which lets in
    ``**``, ``//``, glued digits and leading signs with Python's precedence.

    Raises:
        FormulaError: not a formula, a division by zero, or a value beyond `MAX_BITS` bits.

    >>> evaluate(("(", 10, "-", 4, ")", "*", 4))
    Fraction(24, 1)
    """
    if loopholes:
        symbols = tokenise(written(symbols), loopholes=True)
    values: list[Fraction] = []
    operators: list[str] = []
    operand_next = True
    for symbol in symbols:
        if symbol == BLANK:
            continue
        if operand_next:
            operand_next = _take_operand(symbol, values, operators, loopholes)
        else:
            operand_next = _take_operator(symbol, values, operators)
    if operand_next:
        raise FormulaError("the formula ends where a number should follow")
    _reduce(values, operators, lambda top: top != "(")
    if operators:
        raise FormulaError("a bracket is never closed")
    return values[0]


def _number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise FormulaError(f"a number of {len(digits)} digits")
    return int(digits)


def _take_operand(symbol: Symbol, values: list[Fraction], operators: list[str], signs: bool) -> bool:
    """Reads a symbol where a number is due; whether a number is still due afterwards."""
    if isinstance(symbol, int):
        values.append(Fraction(symbol))
        return False
    if symbol == "(":
        operators.append(symbol)
    elif signs and symbol in ("+", "-"):
        operators.append("negate" if symbol == "-" else "keep")
    else:
        raise FormulaError(f"{symbol!r} stands where a number should")
    return True


def _take_operator(symbol: Symbol, values: list[Fraction], operators: list[str]) -> bool:
    """Reads a symbol where an operator is due; whether a number is due afterwards."""
    if symbol == ")":
        _reduce(values, operators, lambda top: top != "(")
        if not operators:
            raise FormulaError("a bracket is closed that was never opened")
        operators.pop()
        return False
    if isinstance(symbol, int) or symbol not in _PRECEDENCE:
        raise FormulaError(f"{symbol!r} stands where an operator should")
    rank = _PRECEDENCE[symbol]
    right = symbol == "**"
    _reduce(values, operators, lambda top: top != "(" and _PRECEDENCE[top] >= rank + right)
    operators.append(symbol)
    return True


def _reduce(values: list[Fraction], operators: list[str], goes: Callable[[str], bool]) -> None:
    """Applies operators from the top of the stack while `goes` holds for them."""
    while operators and goes(operators[-1]):
        operator = operators.pop()
        right = values.pop()
        if operator in ("negate", "keep"):
            values.append(-right if operator == "negate" else right)
        else:
            values.append(_bounded(apply(operator, values.pop(), right)))


def apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    """One binary operation; FormulaError for a division by zero or an impossible power."""
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "**":
        return _power(left, right)
    if right == 0:
        raise FormulaError("division by zero")
    return left / right if operator == "/" else Fraction(left // right)


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise FormulaError("a value too large to follow")
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    """``base ** exponent`` where it is rational and not too large."""
    if base == 0 and exponent < 0:
        raise FormulaError("division by zero")
    root = Fraction(_root(base.numerator, exponent.denominator), _root(base.denominator, exponent.denominator))
    times = exponent.numerator
    bits = max(root.numerator.bit_length(), root.denominator.bit_length())
    if abs(root) != 1 and root != 0 and bits * abs(times) > MAX_BITS:
        raise FormulaError("a power too large to follow")
    if abs(root) == 1:
        times %= 2
    return Fraction(root**times)


def _root(value: int, degree: int) -> int:
    """The exact root of an integer by bisection."""
    if degree == 1 or value in (0, 1):
        return value
    low, high = 1, value if value > 0 and degree < value.bit_length() else 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    if low**degree != value:
        raise FormulaError("a power that is not a rational number")
    return low

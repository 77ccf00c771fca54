"""How a formula that was begun can still be completed, in any legal writing.

The begun formula is read into one frame per open bracket. A frame waiting for an operand stands for
``total + scale * x`` or ``total + scale / x``; one waiting for an operator for ``total + term``, whose term may still
be multiplied. The search then closes frames from the inside out, and remembers for every state (numbers left, total,
term) only its shortest continuation. Where an operand takes all numbers that are left, its value is known from the
target, so it is looked up instead of tried.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from gtr.tasks.formulas import BLANK, Symbol, tokenise
from gtr.tasks.solver import OPERATORS, Numbers, expressions, solvable

Text = tuple[Symbol, ...]


class Waiting(NamedTuple):
    """A frame where an operand is due."""

    total: Fraction = Fraction(0)
    scale: Fraction = Fraction(1)
    divides: bool = False


class Ready(NamedTuple):
    """A frame where an operator is due, and the numbers not used yet."""

    rest: Numbers
    total: Fraction
    term: Fraction


class Wanted(NamedTuple):
    """What a frame that uses up all numbers must be worth: one value, anything (None), or nothing will do."""

    value: Fraction | None
    possible: bool = True


class Begun(NamedTuple):
    """A begun formula: the frames around the innermost one, which is `last` or, where an operator is due, `ready`."""

    outer: tuple[Waiting, ...]
    last: Waiting
    ready: Ready | None
    rest: Numbers


def complete(
    numbers: Sequence[int],
    target: int,
    prefix: Sequence[Symbol],
    operators: str = OPERATORS,
    limit: int = 64,
) -> Text | None:
    """The shortest formula that begins with `prefix`, uses every number once and has the target's value.

    Any legal writing counts, not only canonical ones; blanks in the prefix are skipped. None if there is none of at
    most `limit` symbols.

    >>> complete([3, 4], 12, (3,))
    (3, '*', 4)
    """
    begun = tuple(symbol for symbol in prefix if symbol != BLANK)
    if len(begun) > limit or not solvable(numbers, target, operators):
        return None
    return _complete(tuple(sorted(numbers)), target, begun, operators, limit)


@lru_cache(maxsize=65536)
def _complete(numbers: Numbers, target: int, prefix: Text, operators: str, limit: int) -> Text | None:
    begun = read(numbers, prefix, operators)
    if begun is None or _least(begun, prefix) > limit:
        return None
    wanted = [Wanted(Fraction(target))]
    for frame in begun.outer:
        wanted.append(_operand_wanted(frame, wanted[-1]))
    goal = wanted.pop()
    first: dict[Ready, Text] = {}
    if begun.ready is not None:
        first[begun.ready] = ()
    else:
        first = _shortest(_operands(begun.last, begun.rest, goal, operators))
    states = _continued(first, goal, operators)
    for frame in reversed(begun.outer):
        states = _continued(_closed(frame, states), wanted.pop(), operators)
    endings = [text for state, text in states.items() if not state.rest and state.total + state.term == target]
    best = min(endings, key=_length_then_text, default=None)
    return prefix + best if best is not None and len(prefix) + len(best) <= limit else None


def read(numbers: Numbers, prefix: Text, operators: str = OPERATORS) -> Begun | None:
    """A begun formula as frames; None where no formula over these numbers begins so."""
    outer: list[Waiting] = []
    last = Waiting()
    ready: Ready | None = None
    rest = numbers
    for symbol in prefix:
        if ready is None and isinstance(symbol, int) and symbol in rest:
            rest = _without(rest, (symbol,))
            ready = _applied(last, Fraction(symbol), rest)
        elif ready is None and symbol == "(":
            outer.append(last)
            last = Waiting()
        elif ready is not None and symbol == ")" and outer:
            last = outer.pop()
            ready = _applied(last, ready.total + ready.term, rest)
            if ready is None:
                return None
        elif ready is not None and isinstance(symbol, str) and symbol in operators:
            last, ready = _after(ready, symbol), None
        else:
            return None
    return Begun(tuple(outer), last, ready, rest)


def _least(begun: Begun, prefix: Text) -> int:
    """A lower bound of the length of any completion, brackets left open included."""
    return len(prefix) + 2 * len(begun.rest) - (begun.ready is None) + len(begun.outer)


def _applied(frame: Waiting, operand: Fraction, rest: Numbers) -> Ready | None:
    """The frame once its operand is there; None for a division by zero."""
    if not frame.divides:
        return Ready(rest, frame.total, frame.scale * operand)
    return Ready(rest, frame.total, frame.scale / operand) if operand else None


def _operand_wanted(frame: Waiting, goal: Wanted) -> Wanted:
    """What the last operand of a frame must be for the frame to be worth the goal."""
    if goal.value is None:
        return goal
    missing = goal.value - frame.total
    if frame.scale == 0:
        return Wanted(None, possible=missing == 0)
    if frame.divides:
        return Wanted(frame.scale / missing) if missing else Wanted(None, possible=False)
    return Wanted(missing / frame.scale)


def _after(state: Ready, operator: str) -> Waiting:
    """The frame once an operator follows."""
    if operator in "+-":
        return Waiting(state.total + state.term, Fraction(1 if operator == "+" else -1))
    return Waiting(state.total, state.term, operator == "/")


def _operands(frame: Waiting, rest: Numbers, goal: Wanted, operators: str) -> Iterator[tuple[Ready, Text]]:
    """Every operand that some of the remaining numbers can form here; formulas of several are put in brackets.

    Of those that take all numbers, only ones that lead to the goal.
    """
    for size in range(1, len(rest)):
        for part in sorted(set(combinations(rest, size))):
            after = _without(rest, part)
            for value, text in _forms(part, operators).items():
                state = _applied(frame, value, after)
                if state is not None:
                    yield state, text
    if len(rest) > 1 and frame == Waiting():
        return  # Brackets around all that is left add nothing at a frame's start.
    wanted = _operand_wanted(frame, goal)
    forms = _forms(rest, operators)
    for value in forms if wanted.value is None else (wanted.value,):
        state = _applied(frame, value, ()) if wanted.possible and value in forms else None
        if state is not None:
            yield state, forms[value]


@lru_cache(maxsize=8192)
def _forms(part: Numbers, operators: str) -> dict[Fraction, Text]:
    """The values that some numbers can take, each with its shortest text as an operand."""
    if len(part) == 1:
        return {Fraction(part[0]): (part[0],)}
    return {value: ("(", *tokenise(text), ")") for value, text in expressions(part, operators).items()}


def _continued(states: dict[Ready, Text], goal: Wanted, operators: str) -> dict[Ready, Text]:
    """All states reachable within the frame, the given ones included, by appending operators and operands."""
    reached: dict[Ready, Text] = {}
    waves = _shortest(states.items())
    while waves:
        reached = _shortest([*reached.items(), *waves.items()])
        steps = (
            (after, (*text, operator, *operand))
            for state, text in waves.items()
            if state.rest
            for operator in operators
            for after, operand in _operands(_after(state, operator), state.rest, goal, operators)
        )
        waves = _shortest(steps)
    return reached


def _closed(frame: Waiting, states: dict[Ready, Text]) -> dict[Ready, Text]:
    """The surrounding frame after the inner one is closed in each of its states."""
    closings = (
        (after, (*text, ")"))
        for state, text in states.items()
        if (after := _applied(frame, state.total + state.term, state.rest)) is not None
    )
    return _shortest(closings)


def _shortest(candidates: Iterable[tuple[Ready, Text]]) -> dict[Ready, Text]:
    """The shortest text of each state."""
    best: dict[Ready, Text] = {}
    for state, text in candidates:
        known = best.get(state)
        if known is None or _length_then_text(text) < _length_then_text(known):
            best[state] = text
    return best


def _length_then_text(text: Text) -> tuple[int, tuple[str, ...]]:
    return len(text), tuple(map(str, text))


def _without(numbers: Numbers, used: Numbers) -> Numbers:
    left = list(numbers)
    for number in used:
        left.remove(number)
    return tuple(left)

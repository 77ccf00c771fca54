"""Every way to reach a target with some numbers.

Two formulas count as one when they differ only by commuting or regrouping: sums are kept flat as (added, subtracted)
terms and products as (multiplied, divided) factors, both sorted, so that each class has one written form.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from gtr.tasks.formulas import tokenise

Numbers = tuple[int, ...]
"""Card values in ascending order."""

OPERATORS = "+-*/"


class Node(NamedTuple):
    """One canonical formula: a number, or operands joined by one kind of operation."""

    kind: str
    """``n`` for a number, ``+`` for a sum, ``*`` for a product."""
    plus: tuple["Node", ...]
    """Added terms or multiplied factors."""
    minus: tuple["Node", ...]
    """Subtracted terms or divisors."""
    value: Fraction
    text: str


def solvable(numbers: Sequence[int], target: int, operators: str = OPERATORS) -> bool:
    """Whether some formula uses every number once and has the target's value; about 0.1 ms.

    >>> solvable([2, 4, 4, 10], 24), solvable([1, 1, 1, 1], 24)
    (True, False)
    """
    hand = tuple(sorted(numbers))
    if len(hand) == 1:
        return hand[0] == target
    goal = Fraction(target)
    halves = _splits(hand)
    return any(_meets(_values(left, operators), _values(right, operators), goal, operators) for left, right in halves)


def solutions(numbers: Sequence[int], target: int, operators: str = OPERATORS) -> tuple[str, ...]:
    """Every canonical formula for a hand, best first: fewest symbols, then fewest ``/`` and ``-``, then by text.

    >>> solutions([3, 4], 12, "+*")
    ('4*3',)
    """
    return _solutions(tuple(sorted(numbers)), target, operators)


@lru_cache(maxsize=8192)
def expressions(numbers: Numbers, operators: str = OPERATORS) -> Mapping[Fraction, str]:
    """Each value that some numbers (ascending) can take, with its simplest formula.

    >>> expressions((3, 4), "+*")[Fraction(12)]
    '4*3'
    """
    best: dict[Fraction, str] = {}
    for node in sorted(_nodes(numbers, operators), key=lambda node: _simplicity(node.text)):
        best.setdefault(node.value, node.text)
    return best


def _splits(hand: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Every way to part a hand into two non-empty halves, equal halves once."""
    seen = set()
    for size in range(1, len(hand) // 2 + 1):
        for chosen in combinations(range(len(hand)), size):
            left = tuple(hand[i] for i in chosen)
            right = tuple(hand[i] for i in range(len(hand)) if i not in chosen)
            pair = (left, right) if (size, left) <= (len(right), right) else (right, left)
            if pair not in seen:
                seen.add(pair)
                yield pair


def _meets(left: frozenset[Fraction], right: frozenset[Fraction], goal: Fraction, operators: str) -> bool:
    """Whether one operation on a value of each side gives the goal."""
    for a in left:
        if "+" in operators and goal - a in right:
            return True
        if "-" in operators and (a - goal in right or goal + a in right):
            return True
        if "*" in operators and (goal / a in right if a else goal == 0 and bool(right)):
            return True
        if "/" in operators and _divides(a, right, goal):
            return True
    return False


def _divides(a: Fraction, right: frozenset[Fraction], goal: Fraction) -> bool:
    """Whether ``a / b`` or ``b / a`` is the goal for some b of `right`."""
    if a == 0:
        return goal == 0 and any(right)
    return goal * a in right or (goal != 0 and a / goal in right)


@lru_cache(maxsize=8192)
def _values(hand: Numbers, operators: str) -> frozenset[Fraction]:
    """Every value that the hand can take."""
    return frozenset(node.value for node in _nodes(hand, operators))


@lru_cache(maxsize=8192)
def _nodes(hand: Numbers, operators: str) -> tuple[Node, ...]:
    """Every canonical formula over a hand, whatever its value."""
    if len(hand) == 1:
        return (Node("n", (), (), Fraction(hand[0]), str(hand[0])),)
    return tuple({node.text: node for node in _joined(hand, operators, None)}.values())


@lru_cache(maxsize=8192)
def _solutions(hand: Numbers, target: int, operators: str) -> tuple[str, ...]:
    if len(hand) == 1:
        return (str(hand[0]),) if hand[0] == target else ()
    return tuple(sorted({node.text for node in _joined(hand, operators, Fraction(target))}, key=_simplicity))


def _simplicity(text: str) -> tuple[int, int, int, str]:
    return len(tokenise(text)), text.count("/"), text.count("-"), text


def _joined(hand: Numbers, operators: str, goal: Fraction | None) -> Iterator[Node]:
    """Joins every formula of one half with every one of the other; only those of value `goal` if it is given."""
    for lefts, rights in _splits(hand):
        for a in _nodes(lefts, operators):
            for b in _nodes(rights, operators):
                yield from _pairs(a, b, operators, goal)


def _pairs(a: Node, b: Node, operators: str, goal: Fraction | None) -> Iterator[Node]:
    """Up to six formulas that join two."""
    x, y = a.value, b.value
    if "+" in operators and goal in (None, x + y):
        yield _join("+", a, b, False)
    if "*" in operators and goal in (None, x * y):
        yield _join("*", a, b, False)
    for first, second in ((a, b), (b, a)):
        if "-" in operators and goal in (None, first.value - second.value):
            yield _join("+", first, second, True)
        if "/" in operators and second.value and goal in (None, first.value / second.value):
            yield _join("*", first, second, True)


def _join(kind: str, a: Node, b: Node, inverted: bool) -> Node:
    """``a + b``, ``a - b``, ``a * b`` or ``a / b`` as one flat node."""
    plus, minus = (a.plus, a.minus) if a.kind == kind else ((a,), ())
    more, less = (b.plus, b.minus) if b.kind == kind else ((b,), ())
    if inverted:
        more, less = less, more
    return _node(kind, _sorted(plus + more), _sorted(minus + less))


def _sorted(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Largest value first, so that formulas read naturally."""
    return tuple(sorted(nodes, key=lambda node: (-node.value, node.text)))


def _node(kind: str, plus: tuple[Node, ...], minus: tuple[Node, ...]) -> Node:
    value = Fraction(0 if kind == "+" else 1)
    for node in plus:
        value = value + node.value if kind == "+" else value * node.value
    for node in minus:
        value = value - node.value if kind == "+" else value / node.value
    joiner, inverse = ("+", "-") if kind == "+" else ("*", "/")
    inner = [_operand_text(kind, node) for node in plus]
    text = joiner.join(inner) + "".join(inverse + _operand_text(kind, node) for node in minus)
    return Node(kind, plus, minus, value, text)


def _operand_text(kind: str, node: Node) -> str:
    return f"({node.text})" if kind == "*" and node.kind == "+" else node.text

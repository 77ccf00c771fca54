"""Formulas, solver and completion against Python's own parser and against brute force."""

import ast
import itertools
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtr.tasks.completion import complete
from gtr.tasks.formulas import BLANK, FormulaError, evaluate, tokenise, written
from gtr.tasks.hands import EZPOINTS, POINTS24, deal, hand_set, solvable_hands
from gtr.tasks.solver import expressions, solutions, solvable

SYMBOLS = [1, 2, 3, 10, "+", "-", "*", "/", "(", ")"]


class AsFractions(ast.NodeTransformer):
    """Puts ``F(...)`` around every number."""

    def visit_Constant(self, node):
        return ast.Call(ast.Name("F"), [node], [])


def python_value(text: str, honest: bool) -> Fraction | None:
    """The value by Python's own grammar over Fractions; None for no value, or one that honest play may not use."""
    try:
        tree = ast.parse(text.strip() or "(", mode="eval")
    except (SyntaxError, MemoryError, RecursionError):
        return None
    allowed = (ast.Expression, ast.BinOp, ast.Constant, ast.Add, ast.Sub, ast.Mult, ast.Div)
    loose = (*allowed, ast.UnaryOp, ast.USub, ast.UAdd, ast.FloorDiv)
    if not all(isinstance(node, allowed if honest else loose) for node in ast.walk(tree)):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and not isinstance(node.value, int):
            return None
    try:
        return Fraction(eval(ast.unparse(AsFractions().visit(tree)), {"F": Fraction}))
    except ZeroDivisionError:
        return None


def value_or_none(symbols, loopholes=False):
    try:
        return evaluate(symbols, loopholes)
    except FormulaError:
        return None


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(SYMBOLS), max_size=11))
def test_honest_values_are_those_of_python(symbols):
    glued = any(isinstance(a, int) and isinstance(b, int) for a, b in itertools.pairwise(symbols))
    expected = None if glued else python_value(" ".join(map(str, symbols)), honest=True)
    assert value_or_none(symbols) == expected


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, "+", "-", "*", "/", "/", "(", ")"]), max_size=9))
def test_loose_values_are_those_of_python(symbols):
    if "**" in written(symbols):
        return
    assert value_or_none(symbols, loopholes=True) == python_value(written(symbols), honest=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2**3**2", 512),
        ("-2**2", -4),
        ("2**-1", Fraction(1, 2)),
        ("4**(1/2)", 2),
        ("27**(2/3)", 9),
        ("7//2", 3),
        ("-7//2", -4),
        ("1**99999999", 1),
        ("0**3", 0),
        ("(0-1)**3", -1),
        ("--2", 2),
        ("12*2", 24),
    ],
)
def test_powers_and_signs_by_hand(text, value):
    assert evaluate(tokenise(text, loopholes=True), loopholes=True) == value


@pytest.mark.parametrize("text", ["9**9**9", "2**(1/2)", "0**-1", "1//0", "(0-4)**(1/2)", "9**(1/99999999)", "1" * 99])
def test_powers_that_have_no_usable_value(text):
    with pytest.raises(FormulaError):
        evaluate(tokenise(text, loopholes=True), loopholes=True)


def test_loopholes_are_shut_by_default():
    for symbols in ([2, "*", "*", 3], [1, 2, "*", 2], ["-", 2], [7, "/", "/", 2]):
        with pytest.raises(FormulaError):
            evaluate(symbols)
    assert evaluate([1, 2, "*", 2], loopholes=True) == 24
    assert evaluate([2, BLANK, "+", 3]) == 5


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "(" * 50_000 + "1" + ")" * 49_999, "1" + "+1" * 50_000 + ")", "-" * 99_999]
)
def test_monsters_end_in_a_clean_error(text):
    with pytest.raises(FormulaError):
        evaluate(tokenise(text, loopholes=True), loopholes=True)


def test_deep_but_balanced_brackets_have_a_value():
    assert evaluate(tokenise("(" * 50_000 + "7" + ")" * 50_000)) == 7


# -- solver -------------------------------------------------------------------------------------------------------
def brute_values(numbers):
    """Every value of a hand by repeatedly joining two of its numbers."""
    if len(numbers) == 1:
        return {numbers[0]}
    found = set()
    for i, j in itertools.permutations(range(len(numbers)), 2):
        rest = [numbers[k] for k in range(len(numbers)) if k not in (i, j)]
        a, b = numbers[i], numbers[j]
        for value in [a + b, a - b, a * b, *([a / b] if b else [])]:
            found |= brute_values([*rest, value])
    return found


def test_counts_of_solvable_hands():
    hands = set(solvable_hands(POINTS24, "ten"))
    assert len(hands) == 566
    deals = itertools.product([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10], repeat=4)
    dealt = sum(tuple(sorted(deal)) in hands for deal in deals)
    assert round(100 * dealt / 13**4, 2) == 73.09
    assert len(solvable_hands(POINTS24, "rank")) == 1362
    assert len(solvable_hands(EZPOINTS, "ten")) == 7


def test_solvable_agrees_with_brute_force():
    hands = list(itertools.combinations_with_replacement(range(1, 11), 4))[::71]
    for hand in hands:
        reachable = brute_values([Fraction(n) for n in hand])
        for goal in (24, 0, 7):
            assert solvable(hand, goal) == (goal in reachable), (hand, goal)
        assert set(expressions(hand)) == reachable


def test_every_solution_is_right_and_listed_once():
    for hand in solvable_hands(POINTS24, "ten")[::9]:
        found = solutions(hand, 24)
        assert found
        assert len(set(found)) == len(found)
        for text in found:
            assert python_value(text, honest=True) == 24
            assert sorted(symbol for symbol in tokenise(text) if isinstance(symbol, int)) == list(hand)


def trees(numbers, symbols):
    """(value, signature) of every expression tree; the signature is its value with each number replaced."""
    if len(numbers) == 1:
        yield numbers[0], symbols[0]
        return
    for mask in range(1, 2 ** len(numbers) - 1):
        sides = [[k for k in range(len(numbers)) if bool(mask >> k & 1) == side] for side in (True, False)]
        lefts, rights = (list(trees([numbers[k] for k in side], [symbols[k] for k in side])) for side in sides)
        for (a, x), (b, y) in itertools.product(lefts, rights):
            yield a + b, x + y
            yield a - b, x - y
            yield a * b, x * y
            if b and y:
                yield a / b, x / y


@pytest.mark.parametrize("hand", [(2, 3, 4, 6), (1, 5, 8, 10), (1, 2, 3, 4)])
def test_no_solution_is_missing(hand):
    other = [Fraction(p) for p in (1_000_003, 1_009_037, 1_299_709, 15_485_863)]
    expected = {sign for value, sign in trees([Fraction(n) for n in hand], other) if value == 24}
    meaning = dict(zip(hand, other, strict=True))
    listed = set()
    for text in solutions(hand, 24):
        names = "".join(f"v{symbol}" if isinstance(symbol, int) else symbol for symbol in tokenise(text))
        listed.add(eval(names, {f"v{number}": value for number, value in meaning.items()}))
    assert listed == expected


@pytest.mark.parametrize(("count", "classes"), [(1, 1), (2, 6), (3, 68), (4, 1170)])
def test_number_of_inequivalent_expressions(count, classes):
    """The known count of inequivalent expressions over n operands (OEIS A140606)."""
    generic = (1_000_003, 1_009_037, 1_299_709, 15_485_863)[:count]
    assert len(expressions(generic)) == classes


# -- completion ---------------------------------------------------------------------------------------------------
def writings(numbers, limit):
    """Every grammatical formula over all the numbers of at most `limit` symbols, redundant brackets included."""

    def grow(text, rest, depth, ready):
        least = len(text) + 2 * len(rest) - (not ready) + depth
        if least > limit:
            return
        if ready and not rest and not depth:
            yield tuple(text)
        if ready:
            for operator in "+-*/" if rest else "":
                yield from grow([*text, operator], rest, depth, False)
            if depth:
                yield from grow([*text, ")"], rest, depth - 1, True)
            return
        for number in sorted(set(rest)):
            left = list(rest)
            left.remove(number)
            yield from grow([*text, number], left, depth, True)
        yield from grow([*text, "("], rest, depth + 1, False)

    return grow([], list(numbers), 0, False)


@pytest.mark.parametrize(
    ("numbers", "goal", "limit"),
    [((2, 3, 4), 24, 9), ((1, 5, 6), 12, 9), ((2, 2, 3), 1, 9), ((3, 3, 7), 6, 9), ((1, 2, 3, 4), 24, 9)],
)
def test_completions_against_every_writing(numbers, goal, limit):
    shortest: dict[tuple, int] = {}
    prefixes = set()
    for text in writings(numbers, limit):
        starts = [text[:k] for k in range(len(text) + 1)]
        prefixes.update(starts)
        if value_or_none(text) == goal:
            for start in starts:
                shortest[start] = min(len(text), shortest.get(start, limit))
    assert len(shortest) > 5
    sample = sorted(prefixes, key=str)
    for prefix in sample if len(sample) < 1500 else sample[:: len(sample) // 1500]:
        found = complete(numbers, goal, prefix, limit=limit)
        assert (found and len(found)) == shortest.get(prefix), prefix
        if found:
            assert found[: len(prefix)] == prefix
            assert evaluate(found) == goal
            assert sorted(s for s in found if isinstance(s, int)) == sorted(numbers)


@pytest.mark.parametrize("prefix", [(")",), ("+",), (2, 3), (2, ")"), (9,), (2, "*", "*"), (2, "**"), ("-", 2)])
def test_no_formula_begins_so(prefix):
    assert complete((2, 3, 4, 10), 24, prefix) is None


def test_completion_skips_blanks_and_knows_its_limit():
    assert complete((3, 4), 12, (3, BLANK), "+*") == (3, "*", 4)
    assert complete((3, 4), 12, (3,), "+*", limit=2) is None
    assert complete((3, 4), 12, (3, "+"), "+*") is None


# -- hands --------------------------------------------------------------------------------------------------------
def test_hand_sets_are_nested_distinct_and_solvable():
    small, large = hand_set(POINTS24, "ten", 24), hand_set(POINTS24, "ten", 100)
    assert large[:24] == small
    assert len(set(large)) == 100
    assert set(large) <= set(solvable_hands(POINTS24, "ten"))


def test_ez_hands_can_always_be_solved():
    for faces in ("ten", "rank"):
        rng = np.random.default_rng(3)
        for _ in range(300):
            ranks = deal(rng, EZPOINTS, faces, None)
            values = [min(rank, 10) if faces == "ten" else rank for rank in ranks]
            assert sum(values) == 12 or prod(values) == 12

"""The words of a command line before they are understood: which belong to which flag."""

from collections.abc import Collection, Sequence


def peek(arguments: Sequence[str], flag: str) -> str | None:
    """The word after `flag`, or after ``flag=``; None where the flag is not there."""
    for index, word in enumerate(arguments):
        if word.startswith(flag + "="):
            return word.removeprefix(flag + "=")
        if word == flag:
            return arguments[index + 1] if index + 1 < len(arguments) else ""
    return None


def split_options(arguments: Sequence[str], own: Collection[str]) -> tuple[list[str], list[str]]:
    """The words that belong to the flags in `own`, leading words included, and all others.

    >>> split_options(["a", "b", "--seeds", "1", "2", "--ppo.clip", "-1"], ["--seeds"])
    (['a', 'b', '--seeds', '1', '2'], ['--ppo.clip', '-1'])
    """
    mine: list[str] = []
    others: list[str] = []
    current = mine
    for word in arguments:
        if is_flag(word):
            current = mine if word.partition("=")[0] in own else others
        current.append(word)
    return mine, others


def is_flag(word: str) -> bool:
    """Whether a word names a setting; ``-1`` and ``-.5`` are values."""
    return word.startswith("-") and not word[1:2].isdigit() and word[1:2] != "."


def leading(arguments: Sequence[str]) -> list[str]:
    """The words before the first flag."""
    first_flag = next((index for index, word in enumerate(arguments) if is_flag(word)), len(arguments))
    return list(arguments[:first_flag])

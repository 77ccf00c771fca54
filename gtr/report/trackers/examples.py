"""Which turns a tracker shows, and a turn in words."""

from collections.abc import Sequence

from gtr.report.text import visible
from gtr.types import Turn

EXAMPLES = 8
"""Turns per update at trackers that show several."""
COLUMNS = ("turn", "prompt", "reply", "judgement", "correction", "action", "reward", "ending")


def first_turns(turns: Sequence[Turn], count: int = EXAMPLES) -> list[Turn]:
    """The first turns of the first episodes; where no episode began, the first turn there is."""
    return [turn for turn in turns if turn.index == 0][:count] or list(turns[:1])


def row(turn: Turn) -> list[str | float | int]:
    """A turn under `COLUMNS`, its texts without what could steer a page."""
    verdict = turn.verdict
    judgement = "" if verdict is None else str(verdict.judgement)
    correction = "" if verdict is None or verdict.thought is None else str(dict(verdict.thought))
    texts = [turn.prompt.text, turn.reply.text, judgement, correction, turn.parsed.action or ""]
    return [turn.index, *map(visible, texts), turn.reward, str(turn.ending)]


def markdown(turn: Turn) -> str:
    """A turn in Markdown: what was asked, answered, judged and earned."""
    verdict = "no corrector" if turn.verdict is None else f"{turn.verdict.judgement}, {turn.verdict.thought or ''}"
    parts = [("prompt", turn.prompt.text), ("reply", turn.reply.text), ("verdict", verdict)]
    blocks = [f"**{title}**\n\n{_indented(visible(text))}" for title, text in parts]
    return "\n\n".join([*blocks, f"reward {turn.reward}, {turn.ending}"])


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())

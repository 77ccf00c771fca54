"""The run's curves in TensorBoard, with one picture and the thought written about it per update."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gtr.types import Turn

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """Writes event files; opened at the first write, because a resumed run must say from where it replaces curves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.purge_from: int | None = None
        """First update whose earlier points TensorBoard must forget; set before the first write of a resumed run."""
        self._writer: SummaryWriter | None = None

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """One point per metric; values that are not finite are left out."""
        for name, value in values.items():
            if math.isfinite(value):
                self._open().add_scalar(name, value, update)
        self._open().flush()

    def example(self, update: int, turns: Sequence[Turn]) -> None:
        """The first turn of an episode, as picture and text."""
        turn = next((one for one in turns if one.index == 0), turns[0])
        self._open().add_image("example/image", turn.prompt.image, update, dataformats="HWC")
        self._open().add_text("example/thought", example_text(turn), update)

    def close(self) -> None:
        """Flushes and closes the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.path), purge_step=self.purge_from)
        return self._writer


def example_text(turn: Turn) -> str:
    """A turn in Markdown: what was asked, answered, judged and earned."""
    verdict = "no corrector" if turn.verdict is None else f"{turn.verdict.judgement}, {turn.verdict.thought or ''}"
    parts = [("prompt", turn.prompt.text), ("reply", turn.reply.text), ("verdict", verdict)]
    blocks = [f"**{title}**\n\n" + "\n".join("    " + line for line in text.splitlines()) for title, text in parts]
    return "\n\n".join([*blocks, f"reward {turn.reward}, {turn.ending}"])

"""The run's curves in TensorBoard, with one picture and the thought written about it per update."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gtr.report.trackers.examples import first_turns, markdown
from gtr.types import Turn

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """Writes event files; opened at the first write, because a resumed run must say from where it replaces curves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._purge_from: int | None = None
        self._writer: SummaryWriter | None = None

    def rewind(self, update: int) -> None:
        self._purge_from = update + 1

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if math.isfinite(value):
                self._open().add_scalar(name, value, update)
        self._open().flush()

    def examples(self, update: int, turns: Sequence[Turn]) -> None:
        """One turn, as picture and text."""
        (turn,) = first_turns(turns, 1)
        self._open().add_image("example/image", turn.prompt.image, update, dataformats="HWC")
        self._open().add_text("example/thought", markdown(turn), update)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.path), purge_step=self._purge_from)
        return self._writer

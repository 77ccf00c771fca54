"""The run at Weights & Biases: curves, and a table of pictures and thoughts per update.

Online, or with ``WANDB_MODE=offline`` into the run's own ``wandb`` folder, from which ``wandb sync`` sends it later.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import wandb

from gtr.config import Config
from gtr.errors import RunError
from gtr.report.text import visible
from gtr.report.trackers.examples import COLUMNS, first_turns, row
from gtr.report.trackers.sent import Sent, public_settings
from gtr.types import Turn


class WeightsAndBiases:
    """One run there per run folder; a resumed run goes on with it."""

    def __init__(self, path: Path, config: Config) -> None:
        self._sent = Sent(path / "trackers" / "wandb.json")
        # Console capture would send along whatever else the process prints.
        quiet = wandb.Settings(console="off", save_code=False)
        try:
            self._run = wandb.init(
                project=config.report.project,
                id=self._sent.id,
                name=path.name,
                dir=path,
                config=public_settings(config),
                resume="allow",
                settings=quiet,
            )
        except wandb.errors.Error as error:
            raise RunError(
                f"Weights & Biases does not let us in ({error}): run `wandb login`, set WANDB_MODE=offline, or leave "
                "wandb out of --report.trackers"
            ) from error

    def rewind(self, update: int) -> None:
        """Nothing to take back: what was told is not told again."""

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        if self._sent.once("scalars", update):
            self._run.log({name: v for name, v in values.items() if math.isfinite(v)}, step=update, commit=True)

    def examples(self, update: int, turns: Sequence[Turn]) -> None:
        """A picture with its reply, and the first turns of some episodes as a table."""
        if not self._sent.once("examples", update):
            return
        shown = first_turns(turns)
        table = wandb.Table(columns=["picture", *COLUMNS])
        for turn in shown:
            table.add_data(wandb.Image(turn.prompt.image), *row(turn))
        picture = wandb.Image(shown[0].prompt.image, caption=visible(shown[0].reply.text))
        self._run.log({"example/image": picture, "example/thoughts": table}, step=update, commit=False)

    def close(self) -> None:
        self._run.finish()

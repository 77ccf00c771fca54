"""The run in trackio: curves, and each example turn as a trace with its picture. Kept on this machine by default."""

import contextlib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trackio

from gtr.config import Config
from gtr.report.text import visible
from gtr.report.trackers.examples import COLUMNS, first_turns, row
from gtr.report.trackers.sent import Sent, public_settings
from gtr.types import Turn


class Trackio:
    """One run there per run folder; a resumed run goes on with it."""

    def __init__(self, path: Path, config: Config) -> None:
        self._sent = Sent(path / "trackers" / "trackio.json")
        with contextlib.redirect_stdout(sys.stderr):
            self._run = trackio.init(
                project=config.report.project,
                name=f"{path.name}-{self._sent.id}",
                config=public_settings(config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def rewind(self, update: int) -> None:
        """Nothing to take back: what was told is not told again."""

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        if self._sent.once("scalars", update):
            self._run.log({name: v for name, v in values.items() if math.isfinite(v)}, step=update)

    def examples(self, update: int, turns: Sequence[Turn]) -> None:
        """The first turns of some episodes: each a trace of prompt, picture and reply, the verdict beside it."""
        if self._sent.once("examples", update):
            shown = first_turns(turns)
            traces = {f"example/{i}": trackio.Trace(_messages(turn), _about(turn)) for i, turn in enumerate(shown)}
            picture = trackio.Image(shown[0].prompt.image)
            self._run.log({"example/image": picture, **traces}, step=update)

    def close(self) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            trackio.finish()


def _messages(turn: Turn) -> list[dict[str, Any]]:
    asked = [trackio.Image(turn.prompt.image), {"type": "text", "text": visible(turn.prompt.text)}]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": visible(turn.reply.text)}]


def _about(turn: Turn) -> dict[str, Any]:
    said = dict(zip(COLUMNS, row(turn), strict=True))
    return {key: value for key, value in said.items() if key not in ("prompt", "reply")}

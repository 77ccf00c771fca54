"""Where a run's curves and thoughts are shown besides its own folder: chosen by ``report.trackers``.

Accelerate brings the trackers; here stands what it does not know: a resumed run goes on with the same curves and tells
nothing twice. A tracker's library is imported when it is chosen and never otherwise.
"""

import contextlib
import math
import re
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtr.config import Config
from gtr.config.io import config_to_dict
from gtr.errors import ConfigError, RunError, to_install
from gtr.report.files import encode, write_whole
from gtr.report.inside import Missing, Unreadable, parsed, read_inside
from gtr.report.records import whole
from gtr.report.text import visible
from gtr.types import Image, Turn

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

EXAMPLES = 8
"""Turns per update in a table of examples."""
COLUMNS = ("turn", "prompt", "reply", "judgement", "correction", "action", "reward", "ending")


class Tracker:
    """What a run tells one tracker, in the order of its updates.

    TensorBoard replaces what it was told of updates that are done again. The others cannot take points back: for them
    the run folder remembers its name there and the last update they were told of. What had not left a killed process
    is then missing there; ``metrics.jsonl`` has it.
    """

    def __init__(self, name: str, path: Path, config: Config) -> None:
        self.name, self.path, self.config = name, path, config
        self._purge_from: int | None = None
        self._open: GeneralTracker | None = None
        self._sent = None if name == "tensorboard" else Sent(path / "trackers" / f"{name}.json")
        if self._sent is not None:
            self._tracker()

    def rewind(self, update: int) -> None:
        """The run goes on after `update`: what it told of later ones comes again."""
        self._purge_from = update + 1

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """One point per metric; values that are not finite are left out."""
        if self._sent is None or self._sent.once("scalars", update):
            self._tracker().log({name: one for name, one in values.items() if math.isfinite(one)}, step=update)

    def examples(self, update: int, turns: Sequence[Turn]) -> None:
        """The picture of an update's first episode, and what was thought about it."""
        if self._sent is not None and not self._sent.once("examples", update):
            return
        shown = first_turns(turns)
        tracker: Any = self._tracker()
        image = shown[0].prompt.image
        if self.name == "tensorboard":
            tracker.log_images({"example/image": image[None]}, step=update, dataformats="NHWC")
            tracker.log({"example/thought": markdown(shown[0])}, step=update)
        elif self.name == "wandb":
            # Told together with the update's curves, which come last.
            tracker.log_images({"example/image": [image]}, step=update, commit=False)
            tracker.log_table("example/thoughts", list(COLUMNS), [row(one) for one in shown], step=update, commit=False)
        else:
            tracker.log({"example/image": _picture(image), "example/thought": markdown(shown[0])}, step=update)

    def close(self) -> None:
        """Hands over what is still on its way."""
        if self._open is not None:
            with contextlib.redirect_stdout(sys.stderr):
                _finish(self._open, self.name)
            self._open = None

    def _tracker(self) -> "GeneralTracker":
        """Accelerate's tracker, opened when first needed: TensorBoard must know from where it replaces curves."""
        if self._open is None:
            with contextlib.redirect_stdout(sys.stderr):
                self._open = self._opened()
        return self._open

    def _opened(self) -> "GeneralTracker":
        from accelerate import PartialState, tracking
        from accelerate.utils import parse_flag_from_env

        # Accelerate's trackers log through it; in training it is there already.
        PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
        about: dict[str, Any] = {"config": public_settings(self.config), "resume": "allow"}
        made: GeneralTracker
        if self._sent is None:
            made = tracking.TensorBoardTracker("tensorboard", self.path, purge_step=self._purge_from)
        elif self.name == "wandb":
            # Console capture would send along whatever else the process prints.
            quiet = {"console": "off", "save_code": False}
            own = {"id": self._sent.id, "name": self.path.name, "dir": self.path, "settings": quiet}
            made = tracking.WandBTracker(self.config.report.project, **about, **own)
        else:
            own = {"name": f"{self.path.name}-{self._sent.id}", "embed": False, "auto_log_gpu": False}
            made = tracking.TrackioTracker(self.config.report.project, **about, **own, auto_log_cpu=False)
        return _started(made, self.name)


def _started(tracker: "GeneralTracker", name: str) -> "GeneralTracker":
    if name != "wandb":
        tracker.start()
        return tracker
    import wandb

    try:
        tracker.start()
    except wandb.errors.Error as error:
        raise RunError(
            f"Weights & Biases does not let us in ({error}): run `wandb login`, set WANDB_MODE=offline, or leave "
            "wandb out of --report.trackers"
        ) from error
    return tracker


def _finish(tracker: "GeneralTracker", name: str) -> None:
    if name != "trackio":
        tracker.finish()
        return
    import trackio

    # The run's own method, which Accelerate calls, leaves it open to trackio, and it says goodbye again at the exit.
    trackio.finish()


def _picture(image: Image) -> Any:
    """Accelerate has no pictures for trackio."""
    import trackio

    return trackio.Image(image)


class Sent:
    """What a tracker that cannot take points back has been told, kept in the run folder."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._record: dict[str, Any] = {"id": uuid.uuid4().hex[:8]}
        try:
            self._record = {**self._record, **parsed(read_inside(file.parent, file.name))}
            if not re.fullmatch("[0-9a-f]{8}", self.id):
                raise ValueError(f"its id is {self.id[:80]!r}")
        except Missing:
            return
        except (Unreadable, TypeError, ValueError) as error:
            raise RunError(
                f"{file} is damaged ({error}): remove it, and the run begins anew at this tracker"
            ) from error

    @property
    def id(self) -> str:
        """Eight hexadecimal digits, the same for all resumes of a run."""
        return str(self._record["id"])

    def once(self, kind: str, update: int) -> bool:
        """Whether `kind` of `update` was not told yet; from now on it counts as told."""
        told = whole(self._record.get(kind))
        if told is not None and update <= told:
            return False
        self._record[kind] = update
        write_whole(self._file, encode(self._record))
        return True


def public_settings(config: Config) -> dict[str, Any]:
    """A run's settings as they may leave this machine: without a name and password in the corrector's address."""
    address = config.corrector.base_url
    shown = None if address is None else re.sub(r"(?<=//)[^/@]*@", "", address)
    return config_to_dict(replace(config, corrector=replace(config.corrector, base_url=shown)))


# -- examples ---------------------------------------------------------------------------------------------------------
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
    said = dict(zip(COLUMNS, row(turn), strict=True))
    blocks = [f"**{title}**\n\n{_indented(str(said[title]))}" for title in COLUMNS[1:5] if said[title]]
    return "\n\n".join([*blocks, f"reward {turn.reward}, {turn.ending}"])


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


# -- which ------------------------------------------------------------------------------------------------------------
def open_trackers(path: Path, config: Config) -> list[Tracker]:
    """The trackers of the run at `path`.

    Raises `ConfigError` where a package is missing, `RunError` where a tracker does not let us in.
    """
    require(config.report.trackers)
    return [Tracker(name, path, config) for name in config.report.trackers]


def require(names: Iterable[str]) -> None:
    """Raises `ConfigError` naming the first tracker whose package is not installed and what installs it."""
    for name in names:
        found = find_spec(name)
        # A folder of that name, such as W&B leaves behind, passes for a package without an origin.
        if found is None or found.origin is None:
            raise ConfigError(
                f"report.trackers {name} needs the package {name}, which is not installed: "
                f"{to_install(name)}, or leave {name} out of --report.trackers"
            )

"""What the page asks for, as JSON values: the same answers for a served page and for an exported one."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gtr.metrics.thought import written
from gtr.report import Run
from gtr.show.begun import Begun
from gtr.show.detail import checks, shown
from gtr.show.episodes import common_thoughts, parts
from gtr.show.overview import overview, version

PATIENCE_SECONDS = 0.3
"""An answer about episodes is given after so long, with the updates read by then; the page then asks on."""


class Source:
    """Answers about some runs, remembered while their files stay as they are. Safe to use from several threads."""

    def __init__(
        self,
        runs: Sequence[Run],
        patience: float = PATIENCE_SECONDS,
        study: Mapping[str, Any] | None = None,
        begun: Begun | None = None,
    ) -> None:
        self.runs = list(runs)
        self._begun = begun
        self.study = study
        """The table of the comparison that the runs are of (see `gtr.show.study`)."""
        self._patience = patience
        self._lock = threading.RLock()
        self._overview: tuple[str, dict[str, Any]] | None = None
        self._parts: dict[tuple[int, int], tuple[float, dict[str, Any]]] = {}
        self._missing: dict[int, set[str]] = {}

    def version(self) -> str:
        """Changes whenever a run has written something."""
        with self._lock:
            if self._begun is not None:
                known = {run.path.resolve() for run in self.runs}
                # Behind those that are known, whose numbers a page holds.
                self.runs += [run for run in self._begun.runs() if run.path.resolve() not in known]
            return version(self.runs) or " ".join(self._doing())

    def overview(self) -> dict[str, Any]:
        """See `gtr.show.overview.overview`."""
        with self._lock:
            now = self.version()
            if self._overview is None or self._overview[0] != now:
                # With the version it is of: what is written between two answers is then seen by the next one.
                self._overview = (now, overview(self.runs, self.study is not None, self._doing()) | {"version": now})
            return self._overview[1]

    def _doing(self) -> list[str]:
        return [] if self.runs or self._begun is None else self._begun.doing()

    def parts(self, run: int, after: int) -> dict[str, Any]:
        """Episodes and thoughts of the updates that follow `after`, as many as can be read in a moment.

        ``done`` says whether that was all, ``next`` what to ask on with, ``problems`` all that could not be read.
        """
        started = time.monotonic()
        found = []
        with self._lock:
            folder = self.runs[run]
            left = [update for update in folder.updates_with_turns() if update > after]
            for update in left:
                found.append(self._part(run, update))
                if time.monotonic() - started > self._patience:
                    break
            last = found[-1]["update"] if found else after
            problems = folder.problems
        return {"parts": found, "done": len(found) == len(left), "next": last, "problems": problems}

    def _part(self, run: int, update: int) -> dict[str, Any]:
        folder = self.runs[run]
        stamp = folder.written(update)
        held = self._parts.get((run, update))
        if held is None or held[0] != stamp:
            turns = folder.turns(update)
            part = {"update": update, "columns": parts(turns), "thoughts": common_thoughts(turns)}
            held = (stamp, part)
            self._parts[run, update] = held
            self._miss(run, turns)
        return held[1]

    def _miss(self, run: int, turns: Sequence[Mapping[str, Any]]) -> None:
        """Notes the pictures that turns name and the folder does not hold."""
        folder = self.runs[run]
        named = {turn["image"] for turn in turns if turn["image"]}
        missing = self._missing.setdefault(run, set())
        unknown = named - missing
        if unknown:
            missing |= folder.missing(unknown)
        count = len(missing)
        folder.files.note("images", "")
        if count:
            told = f"images: {count} of the pictures that its turns name are missing; the others are shown"
            folder.files.note("images", told)

    def turns(self, run: int, update: int, env: int, episode: int) -> list[dict[str, Any]]:
        """The turns of an episode that lie in an update, judged by the task where it can."""
        with self._lock:
            folder = self.runs[run]
            own = [turn for turn in folder.turns(update) if (turn["env"], turn["episode"]) == (env, episode)]
            return [shown(turn, folder) for turn in own]

    def panel(self, run: int, update: int) -> list[dict[str, Any]]:
        """How each episode of an evaluation ended, in the panel's order."""
        with self._lock:
            lasts = {turn["episode"]: turn for turn in self.runs[run].panel(update)}
        return [
            {"episode": episode, "success": last["success"], "turns": last["turn"] + 1}
            for episode, last in sorted(lasts.items())
        ]

    def panels(self, run: int) -> list[dict[str, Any]]:
        """The episodes of every evaluation as `parts` has them, environment ``e12`` that of the one after update 12."""
        with self._lock:
            folder = self.runs[run]
            found = [(update, parts(folder.panel(update))) for update in folder.evaluated_updates()]
        return [
            {"update": update, "columns": {**columns, "env": [f"e{update}"] * len(columns["env"])}}
            for update, columns in found
        ]

    def search(self, run: int, after: int, text: str) -> dict[str, Any]:
        """The episodes in whose replies a text stands, in any case: ``found``, as [environment, episode]; ``next`` and
        ``done`` as in `parts`. Evaluations are searched with the last update."""
        started, folder, wanted = time.monotonic(), self.runs[run], text.casefold()
        places: dict[tuple[int | str, int], None] = {}
        with self._lock:
            left = [update for update in folder.updates_with_turns() if update > after]
            last, searched = after, 0
            for update in left:
                places |= {(turn["env"], turn["episode"]): None for turn in folder.turns(update) if _says(turn, wanted)}
                last, searched = update, searched + 1
                if time.monotonic() - started > self._patience:
                    break
            done = searched == len(left)
            for update in folder.evaluated_updates() if done else ():
                turns = folder.panel(update)
                places |= {(f"e{update}", turn["episode"]): None for turn in turns if _says(turn, wanted)}
        return {"found": [list(place) for place in places], "next": last, "done": done}

    def play(self, run: int, update: int, episode: int) -> list[dict[str, Any]]:
        """The turns of one episode of an evaluation."""
        with self._lock:
            folder = self.runs[run]
            return [shown(turn, folder) for turn in folder.panel(update) if turn["episode"] == episode]

    def probe(self, run: int, update: int) -> dict[str, Any]:
        """The matrix of an update's probed thoughts against prompts, with each one's thought and picture."""
        with self._lock:
            folder = self.runs[run]
            record = folder.probe(update)
            turns = {(turn["env"], turn["episode"], turn["turn"]): turn for turn in folder.turns(update)}
        probed = [turns.get(tuple(place), {}) for place in record.get("turns", [])]
        return {
            "states": record.get("states", []),
            "scores": record.get("scores", []),
            "images": [turn.get("image", "") for turn in probed],
            "thoughts": [_thought(turn) for turn in probed],
            "checks": [checks(turn, folder) for turn in probed],
        }


def _says(turn: Mapping[str, Any], wanted: str) -> bool:
    return wanted in turn["reply"].casefold()


def _thought(turn: Mapping[str, Any]) -> str:
    fields = turn.get("fields", {})
    return "  ".join(written(value) for key, value in fields.items() if key != "action") or str(turn.get("reply", ""))

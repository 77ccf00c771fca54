"""The environment: one household task an episode, seen as a picture, played with text commands.

Reward of a turn: 50 when the goal is reached, plus the share of the goal's conditions that hold, minus 1 for a
command that is not admissible (which changes nothing). An episode is cut after `limit` commands, and when the same
command comes `repeats` times running (reference code; `cut_reward` is then the turn's reward).
"""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from PIL import Image as Pil

from gtr.errors import TaskError
from gtr.tasks.alfworld import render, text_state
from gtr.tasks.alfworld.draft import GameSpec
from gtr.tasks.alfworld.engine import Player, borrow
from gtr.tasks.alfworld.game_set import GameSet, Generated
from gtr.tasks.alfworld.games import Game
from gtr.tasks.alfworld.memory import Memory, after, look
from gtr.tasks.alfworld.world import conditions
from gtr.tasks.pictured import PictureEnv
from gtr.types import Image

WIN, ILLEGAL = 50.0, -1.0
LONGEST_COMMAND = 120
GAMES = 200
"""Generated games by default."""


class ALFWorldEnv(PictureEnv[str]):
    """One household task. Observation: an RGB picture (size, size, 3). Action: a command as text.

    ``reset(options={"game": 3})`` plays a game of the set by number, ``{"game": "path/game.tw-pddl"}`` a file.
    `info` has ``task``, ``kind``, ``game``, ``grammar``, ``feedback``, ``commands``, ``history``, ``room``, ``state``,
    ``memory``, ``conditions``, ``illegal``, ``won`` and ``success``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 2}  # noqa: RUF012
    options = ("game",)

    def __init__(
        self,
        games: GameSet | None = None,
        image_size: int = 300,
        style: str = "classic",
        labels: bool = True,
        limit: int = 40,
        repeats: int = 5,
        cut_reward: float | None = -3.0,
        cut_is: str = "truncation",
        player: Callable[[], Player] = borrow,
        render_mode: str | None = None,
    ) -> None:
        commands = gymnasium.spaces.Text(LONGEST_COMMAND, charset=_CHARACTERS)
        super().__init__(image_size, commands, render_mode)
        self.games = games if games is not None else Generated(GameSpec(), GAMES)
        self.style, self.labels = style, labels
        self.limit, self.repeats, self.cut_reward, self.cut_is = limit, repeats, cut_reward, cut_is
        self._make_player = player
        self._player: Player | None = None
        self._game: Game | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        """Begins a game: one of the set drawn with `seed`, or the one that `options` names."""
        options = self.begin(seed, options)
        chosen = options.get("game")
        if self._player is None:
            self._player = self._make_player()
        drawn = int(self.np_random.integers(len(self.games))) if chosen is None else chosen
        self._game = self.games.named(drawn, self._player)
        self._room, self._now = self._player.load(self._game)
        self._task = text_state.task_of(self._now.feedback)
        self._memory = look(Memory(), self._room, self._now.state)
        self._history: list[tuple[str, bool]] = []
        return self._picture(), self._info()

    def step(self, action: str) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        """Plays a command."""
        if self._game is None or self._player is None:
            raise TaskError("the environment must be reset before its first step")
        legal = action in self._now.commands
        self._history.append((action, legal))
        if legal:
            self._now = self._player.act(action)
            # A physical world may fail at what it allows; a command without effect leads nowhere.
            done = action if not self._now.feedback.startswith(text_state.NOTHING_HAPPENS) else ""
            self._memory = after(self._memory, self._room, self._now.state, done)
        won = self._now.won
        reward = WIN * won + self._rate() + (0.0 if legal else ILLEGAL)
        cut = not won and self._cut()
        if cut and self.cut_reward is not None:
            reward = self.cut_reward
        ended = won or (cut and self.cut_is == "termination")
        return self._picture(), reward, ended, cut and not ended, self._info()

    def _cut(self) -> bool:
        last = [command for command, _ in self._history[-self.repeats :]]
        return len(self._history) >= self.limit or (len(last) == self.repeats and len(set(last)) == 1)

    def _rate(self) -> float:
        """Share of the goal's conditions that hold; 1 exactly when the goal is reached."""
        if self._now.rate is not None:
            return self._now.rate
        met, of = conditions(self._room, self._now.state)
        return met / of

    def close(self) -> None:
        """Gives the engine back."""
        if self._player is not None:
            self._player.close()
            self._player = None

    def _picture(self) -> Image:
        if self._now.frame is not None:
            return resized(self._now.frame, self.size)
        facing = self._memory.facing
        return render.draw(self._room, self._now.state, facing, self.size, self.style, self.labels)

    def _info(self) -> dict[str, Any]:
        assert self._game is not None
        info: Mapping[str, Any] = {
            "task": self._task,
            "kind": self._game.kind.value,
            "game": self._game.name,
            "grammar": self._game.words,
            "feedback": self._now.feedback,
            "commands": self._now.commands,
            "history": tuple(self._history),
            "room": self._room,
            "state": self._now.state,
            "memory": self._memory,
            "conditions": self._rate(),
            "illegal": sum(not legal for _, legal in self._history),
            "won": self._now.won,
            "success": self._now.won,
        }
        return dict(info)


def resized(frame: Image, size: int) -> Image:
    """A photograph at another size, shape (size, size, 3)."""
    if frame.shape[:2] == (size, size):
        return frame
    return np.asarray(Pil.fromarray(frame).resize((size, size), Pil.Resampling.LANCZOS), dtype=np.uint8)


_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 /"

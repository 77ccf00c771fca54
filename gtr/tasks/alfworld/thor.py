"""AI2-THOR's rooms through ALFWorld's own ``AlfredThorEnv``: photographs in place of drawings, the same task.

It needs ``pip install 'alfworld[vis]'``, AI2-THOR's build, a display, and ALFWorld's games with their trajectories.
It plays as `Engine` does. AI2-THOR gives no facts, so room and state are read from its text (`text_state`).

What it does in its own way is contained here: frames come as BGR; a task's text and a game are drawn from Python's
own random numbers; commands that put something down are listed with "move" but only understood with "put".
"""

import contextlib
import io
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gtr.errors import TaskError
from gtr.report.inside import Unreadable, parsed, read_named
from gtr.tasks.alfworld import text_state
from gtr.tasks.alfworld.commands import read
from gtr.tasks.alfworld.engine import EngineError, EngineState
from gtr.tasks.alfworld.games import Game
from gtr.tasks.alfworld.world import Goal, Kind, Room
from gtr.types import Image

INSTALL = "pip install 'alfworld[vis]'"
SIDE = 300
"""Pixels of a frame's side."""
TRAJECTORY = "traj_data.json"
LONGEST = 1_000_000
"""Steps that it is told an episode may have: gtr counts them itself."""

Make = Callable[[dict[str, Any]], Any]
"""Makes an ``AlfredThorEnv`` from its settings."""


def alfred_thor_env(settings: dict[str, Any]) -> Any:
    """ALFWorld's own class; TaskError with the remedy where it cannot be imported."""
    try:
        from alfworld.agents.environment.alfred_thor_env import AlfredThorEnv
    except (ImportError, OSError) as error:
        raise TaskError(f"AI2-THOR's frames need more than is installed here ({error}): {INSTALL}") from error
    return AlfredThorEnv(settings, train_eval="eval_out_of_distribution")


class Thor:
    """Plays one game after another in AI2-THOR. Not safe to use from several threads."""

    def __init__(self, make: Make = alfred_thor_env) -> None:
        self._make = make
        self._env: Any = None
        self._state = text_state.initial()
        self._label = ""

    def load(self, game: Game) -> tuple[Room, EngineState]:
        """Begins a game.

        Raises:
            EngineError: the game has no usable trajectory, or AI2-THOR cannot start it.
        """
        self._label = game.label
        trajectory, goal = read_trajectory(game)
        with self._named("begin"):
            env = self._started(trajectory.parent)
            # It draws the game and the task's words; nothing else in this process may shift what it draws.
            before = random.getstate()
            random.seed(str(trajectory))
            env.json_file_list = [str(trajectory)]
            feedback, infos = env.reset()
            random.setstate(before)
        self._state = text_state.initial()
        return text_state.room_of(feedback[0], goal), self._engine_state(feedback[0], infos)

    def act(self, command: str) -> EngineState:
        """Plays one command."""
        asked = read(command)
        said = f"put {asked.thing} in/on {asked.where}" if asked.verb == "put" else command
        with self._named(command):
            feedback, _, _, infos = self._env.step([said])
        self._state = text_state.after(self._state, asked, feedback[0])
        return self._engine_state(feedback[0], infos)

    def close(self) -> None:
        """Ends AI2-THOR."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _started(self, folder: Path) -> Any:
        if self._env is None:
            self._env = self._make(settings(folder)).init_env(1)
        return self._env

    def _engine_state(self, feedback: str, infos: Mapping[str, Any]) -> EngineState:
        commands = tuple(sorted(set(infos["admissible_commands"][0])))
        rate = float(infos["goal_condition_success_rate"][0])
        return EngineState(feedback, commands, bool(infos["won"][0]), self._state, self._frame(), rate)

    def _frame(self) -> Image:
        """The view as RGB, shape (300, 300, 3)."""
        frames = np.asarray(self._env.get_frames())
        if frames.shape != (1, SIDE, SIDE, 3) or frames.dtype != np.uint8:
            raise EngineError(f"{self._label}: AI2-THOR gave frames {frames.shape} {frames.dtype}, not 300x300 bytes")
        return np.ascontiguousarray(frames[0, :, :, ::-1])

    @contextlib.contextmanager
    def _named(self, what: str) -> Any:
        """Names the game in what goes wrong, and keeps its chatter off the terminal."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except TaskError:
            raise
        except Exception as error:
            raise EngineError(f"{self._label}: AI2-THOR broke on {what!r}: {type(error).__name__}: {error}") from error


def settings(folder: Path) -> dict[str, Any]:
    """What ``AlfredThorEnv`` must be told; `folder` holds the first game."""
    return {
        "env": {
            "goal_desc_human_anns_prob": 0,
            "task_types": [1, 2, 3, 4, 5, 6],
            "thor": {
                "screen_width": SIDE,
                "screen_height": SIDE,
                "smooth_nav": False,
                "save_frames_to_disk": False,
                "save_frames_path": "",
            },
        },
        "controller": {"type": "oracle", "debug": False, "load_receps": True},
        "dataset": {
            "data_path": str(folder),
            "eval_id_data_path": str(folder),
            "eval_ood_data_path": str(folder),
            "num_train_games": 0,
            "num_eval_games": 0,
        },
        "general": {"training_method": "dqn"},
        "rl": {"training": {"max_nb_steps_per_episode": LONGEST}},
    }


def read_trajectory(game: Game) -> tuple[Path, Goal]:
    """The trajectory beside a game's file, and the goal it states.

    Raises:
        EngineError: there is none, or it lacks what AI2-THOR needs to lay the room out.
    """
    if game.path is None:
        raise EngineError(f"{game.label}: AI2-THOR plays ALFWorld's own games only: set task.data files")
    path = Path(game.path).with_name(TRAJECTORY)
    try:
        data = parsed(read_named(path))
        given, kind = data["pddl_params"], Kind(data["task_type"])
        poses = data["scene"]["object_poses"]
        thing, where = given["object_target"], given["toggle_target" if kind is Kind.LOOK else "parent_target"]
    except Unreadable as error:
        raise EngineError(f"{path}: {error}; AI2-THOR needs it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path}: is cut short or lacks what AI2-THOR needs: {error!r}") from error
    if not poses:
        raise EngineError(f"{path}: names no things to put into the room, which AI2-THOR needs")
    return path, Goal(kind, str(thing).lower(), str(where).lower())

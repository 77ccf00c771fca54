"""Settings of the household tasks. Importing them needs no engine."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen

from gtr.config.section import Reward
from gtr.tasks.looks import DeckSettings

KindName = Literal["pick", "look", "clean", "heat", "cool", "two"]


@dataclass(frozen=True)
class ALFWorldSettings(DeckSettings):
    """Which households are played, what is seen and told of them, and when an episode is cut."""

    data: Literal["generated", "files"] = "generated"
    """Games made on the spot, or ALFWorld's own below $ALFWORLD_DATA."""
    split: Literal["train", "seen", "unseen"] = "train"
    """Which games; seen and unseen are for evaluation."""
    kinds: Annotated[tuple[KindName, ...], MinLen(1)] = ("pick", "look", "clean", "heat", "cool", "two")
    """Kinds of task, any of pick, look, clean, heat, cool and two."""
    games: Annotated[int, Ge(1), Le(1_000_000)] | None = None
    """Number of games; None is 200 generated ones, or all files."""
    rooms: Annotated[int, Ge(1), Le(120)] | None = None
    """Rooms of each type, of generated games; None takes all."""
    space: Annotated[int, Ge(1), Le(1000)] | None = None
    """Most receptacles per room, of generated games: fewer make shorter searches; None leaves rooms as they are."""
    clutter: Annotated[int, Ge(0), Le(1000)] = 12
    """Things that nobody asks for, in generated games."""
    frames: Literal["drawn", "thor"] = "drawn"
    """Pictures drawn from the facts, or AI2-THOR's (needs its build, and data files)."""
    labels: bool = True
    """Whether names are written in the picture, where it is large enough to read them."""
    text: bool = False
    """Whether the scene's description is told (RL4VLM), or must be seen (paper)."""
    history: Annotated[int, Ge(0), Le(10_000)] = 5
    """Last commands, and whether they worked, told with the prompt."""
    hidden: bool = False
    """Whether the expert knows what the agent has not seen yet."""
    match: Literal["exact", "substring"] = "exact"
    """An action is read exactly, or in a form that fits only one command; or as the public code does (substring)."""
    limit: Annotated[int, Ge(1), Le(100_000)] = 40
    """Commands until an episode is cut."""
    repeats: Annotated[int, Ge(2), Le(100_000)] = 5
    """The same command this often running cuts it too."""
    cut: Literal["truncation", "termination"] = "truncation"
    """How GAE sees a cut."""
    cut_reward: Reward | None = -3.0
    """Reward of the turn that is cut (code: -3); None leaves the turn's own."""
    workers: bool = True
    """Play each game in a process of its own."""

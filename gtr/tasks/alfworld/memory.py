"""What the agent has seen of a room so far: all that an expert may use that does not leak hidden contents."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gtr.tasks.alfworld.commands import read
from gtr.tasks.alfworld.world import Room, State, reachable


@dataclass(frozen=True)
class Memory:
    """Example: ``Memory("drawer 1", {"drawer 1": ("pen 1",), "desk 1": ()})``."""

    facing: str | None = None
    """The receptacle in front; None in the middle of the room."""
    seen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Contents of each receptacle when last seen."""

    def where(self, thing: str) -> str | None:
        """Where a thing was last seen."""
        return next((name for name, contents in self.seen.items() if thing in contents), None)


def look(memory: Memory, room: Room, state: State) -> Memory:
    """The memory after looking: at all that stands open here, which is also what the admissible commands name."""
    here = {name: state.contents(name) for name in room.receptacles if reachable(room, state, name)}
    held = state.held
    elsewhere = {name: tuple(t for t in contents if t != held) for name, contents in memory.seen.items()}
    return replace(memory, seen={**elsewhere, **here})


def after(memory: Memory, room: Room, state: State, command: str) -> Memory:
    """The memory after a command that worked."""
    where = read(command).where
    return look(replace(memory, facing=where if where in room.receptacles else memory.facing), room, state)


def everything(room: Room, state: State) -> Mapping[str, tuple[str, ...]]:
    """The contents of all receptacles: what only an expert that may use hidden contents knows."""
    return {name: state.contents(name) for name in room.receptacles}

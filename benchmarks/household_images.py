"""What a picture of a household tells: a small probe learns to read it, and is examined in rooms it has never seen.

    python benchmarks/household_images.py [--labels off on] [--size 96] [--games 150] [--views 32] [--steps 1000]

The probe is a convolutional network of about 130,000 weights, trained on views in rooms of the training split. In
rooms of the unseen split it must name the receptacle in front with its number, say whether it is open, what is in the
hand, and the kinds of all things that lie in or on the receptacle; a view counts where that answer is wholly right.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gtr.tasks.alfworld import icons, render
from gtr.tasks.alfworld.draft import GameSpec
from gtr.tasks.alfworld.engine import Engine
from gtr.tasks.alfworld.generate import make
from gtr.tasks.alfworld.words import visual_labels
from gtr.tasks.alfworld.world import Room, State, kind_of, reachable

FRONTS, THINGS = len(icons.RECEPTACLES) + 1, len(icons.THINGS) + 1
NUMBERS, DOORS = 64, 3
NAMES = {kind: i + 1 for i, kind in enumerate(icons.THINGS)}
CHECKS = ("front", "number", "open", "hand", "things")


@dataclass(frozen=True)
class Views:
    """Pictures (n, 3, size, size) in 0..1, targets (n, 4), and which kinds of thing lie in front (n, THINGS)."""

    pictures: Tensor
    targets: Tensor
    things: Tensor


def main() -> None:
    """Prints one row of shares per setting of the labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", nargs="+", choices=("off", "on"), default=("off", "on"))
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--games", type=int, default=150)
    parser.add_argument("--views", type=int, default=32, help="views per game")
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for labels in given.labels:
        torch.manual_seed(0)
        started = time.process_time()
        known = views("train", given.games, given.views, given.size, labels == "on")
        fresh = views("unseen", max(1, given.games // 4), given.views, given.size, labels == "on")
        probe = train(known, given.steps)
        shares = examine(probe, fresh)
        row = "  ".join(f"{name} {share:.3f}" for name, share in shares.items())
        seconds = time.process_time() - started
        print(f"labels {labels:3}  {row}  ({len(fresh.targets)} views of unseen rooms, {seconds:.0f} s)", flush=True)


def views(split: str, games: int, count: int, size: int, labels: bool) -> Views:
    """Views of generated games: before any receptacle, open or closed, with anything in the hand."""
    engine, rng = Engine(), np.random.default_rng([0, len(split)])
    pictures, targets, things = [], [], []
    for number in range(games):
        room, now = engine.load(make(GameSpec(split), number))
        for _ in range(count):
            state, facing = placed(room, now.state, rng)
            pictures.append(render.draw(room, state, facing, size, labels=labels))
            targets.append(visual_labels(room, state, facing))
            seen = state.contents(facing) if facing is not None and reachable(room, state, facing) else ()
            things.append(np.isin(np.arange(THINGS), [NAMES[kind_of(thing)] for thing in seen]))
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return Views(stacked, torch.tensor(targets), torch.from_numpy(np.stack(things)).float())


def placed(room: Room, state: State, rng: np.random.Generator) -> tuple[State, str | None]:
    """The room with the agent somewhere else in it, and what is in front of it."""
    names = list(room.receptacles)
    facing = names[int(rng.integers(len(names)))] if rng.random() < 0.95 else None
    inside, held = dict(state.inside), None
    if rng.random() < 0.6:
        held = str(rng.choice(list(inside)))
        del inside[held]
    full = [name for name in names if any(name in where for where in inside.values())]
    if facing is not None and full and rng.random() < 0.5:
        facing = str(rng.choice(full))
    opened = frozenset(name for name in names if room.receptacles[name].openable and rng.random() < 0.6)
    marked = {mark: frozenset(t for t in [*inside, held] if t and rng.random() < 0.1) for mark in ("clean", "hot")}
    place = state.place if facing is None else room.receptacles[facing].place
    return replace(state, place=place, inside=inside, held=held, opened=opened, **marked), facing


class Probe(nn.Module):
    """Looks for icons everywhere in the three panels; what is found anywhere in a panel is there."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(*_layer(3, 32, 2), *_layer(32, 64, 2), *_layer(64, 96, 1))
        self.front = nn.Conv2d(96, FRONTS + NUMBERS + DOORS, 1)
        self.hand, self.things = nn.Conv2d(96, THINGS, 1), nn.Conv2d(96, THINGS, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Logits of front, number, door (n, classes each), hand (n, THINGS), things (n, THINGS)."""
        found = self.see(pictures.float() / 255)
        quarter = found.shape[-1] // 4
        top, middle = found[:, :, : quarter + 1], found[:, :, quarter - 1 : 3 * quarter + 1]
        front = self.front(top[..., : 2 * quarter]).amax((2, 3))
        hand, things = self.hand(top[..., 2 * quarter :]).amax((2, 3)), self.things(middle).amax((2, 3))
        return *front.split((FRONTS, NUMBERS, DOORS), 1), hand, things


def _layer(wide_in: int, wide_out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(wide_in, wide_out, 2 * stride + 1, stride, stride), nn.BatchNorm2d(wide_out), nn.ReLU()]


def train(known: Views, steps: int) -> Probe:
    """One cycle of the learning rate."""
    probe, order = Probe(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(known.targets), (32,), generator=order)
        *classes, things = probe(known.pictures[rows])
        losses = [nn.functional.cross_entropy(c, known.targets[rows, i]) for i, c in enumerate(classes)]
        losses.append(nn.functional.binary_cross_entropy_with_logits(things, known.things[rows]) * 20)
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        schedule.step()
    return probe.eval()


@torch.no_grad()
def examine(probe: Probe, fresh: Views) -> dict[str, float]:
    """Shares of views read rightly, by question, and all at once."""
    right: list[Tensor] = []
    for rows in torch.arange(len(fresh.targets)).split(64):
        *classes, things = probe(fresh.pictures[rows])
        answers = [c.argmax(1) == fresh.targets[rows, i] for i, c in enumerate(classes)]
        answers.append(((things > 0).float() == fresh.things[rows]).all(1))
        right.append(torch.stack(answers, 1))
    table = torch.cat(right)
    return dict(zip((*CHECKS, "all"), [*shares(table), float(table.all(1).float().mean())], strict=True))


def shares(table: Tensor) -> Sequence[float]:
    """The mean of each column."""
    return [float(column) for column in table.float().mean(0)]


if __name__ == "__main__":
    main()

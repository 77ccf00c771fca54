"""The critic: what a prompt is worth, by the hidden state of its last token."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ValueHead(nn.Module):
    """An MLP from the last prompt token's hidden state to one number (reference code: hidden-1024-512-1, with ReLU).

    Its units leak: at the learning rates that returns of 10 call for, plain ReLUs die, the critic predicts a constant,
    and in states without success every action is pushed down for good.
    """

    def __init__(self, width: int, hidden: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(width, size), nn.LeakyReLU(0.1)]
            width = size
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            out: Tensor = self.layers(hidden.float())
        return out.squeeze(-1)

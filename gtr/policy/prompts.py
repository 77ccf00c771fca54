"""Prompts as the model's own processor writes them, one at a time, then stacked: sampling and scoring share them.

Every prompt is encoded alone and padded afterwards, so that a turn's tokens never depend on the batch it is in.
"""

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional as F

from gtr.errors import PolicyError
from gtr.policy.pictures import image_hash
from gtr.policy.prefix import KINDS, SHARED, shared_length
from gtr.policy.templates import written
from gtr.tasks.think import OPEN
from gtr.types import Prompt

Encoded = Mapping[str, Tensor]
"""One prompt: `input_ids` (1, length), the picture's tensors, and whatever else the model's processor makes."""

CACHED_PROMPTS, CACHED_BYTES = 1024, 1 << 30
"""Most encoded prompts kept, and most bytes of them: an update visits each turn of a rollout once per epoch."""


class PromptEncoder:
    """Turns prompts into the model's inputs through its own processor and chat template."""

    def __init__(self, processor: Any, pad_id: int, pictures: Collection[int] = ()) -> None:
        self._processor = processor
        self._pad_id = pad_id
        self._pictures = pictures
        """Token ids of pictures."""
        self._cache: OrderedDict[tuple[str, str], Encoded] = OrderedDict()
        self._bytes = 0
        # Tokenisers are for one thread at a time.
        self._lock = Lock()
        self._worker = ThreadPoolExecutor(1, "prompts")

    def encode(self, prompt: Prompt) -> Encoded:
        """The inputs for one prompt, a batch of one."""
        key = (image_hash(prompt.image), prompt.text)
        with self._lock:
            if key not in self._cache:
                self._keep(key, self._encode(prompt))
            self._cache.move_to_end(key)
            return self._cache[key]

    def ahead(self, prompts: Sequence[Prompt]) -> None:
        """Begins to encode prompts that will be asked for soon, while others are learnt from."""
        self._worker.submit(lambda: [self.encode(prompt) for prompt in prompts])

    def _keep(self, key: tuple[str, str], encoded: Encoded) -> None:
        self._cache[key] = encoded
        self._bytes += size(encoded)
        while len(self._cache) > 1 and (len(self._cache) > CACHED_PROMPTS or self._bytes > CACHED_BYTES):
            self._bytes -= size(self._cache.popitem(last=False)[1])

    def _encode(self, prompt: Prompt) -> Encoded:
        text = self._written(prompt)
        try:
            special = begun(self._processor.tokenizer, text)
            made = self._processor(images=[Pillow.fromarray(prompt.image)], text=text, return_tensors="pt", **special)
        except Exception as error:
            # A processor is made of files of whoever made the model: it can fail in any way.
            raise PolicyError(
                f"policy.model: its processor cannot encode a prompt ({type(error).__name__}: {error}); its chat "
                "template, tokenizer and image processor must belong together"
            ) from error
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}

    def _written(self, prompt: Prompt) -> str:
        content = [{"type": "image"}, {"type": "text", "text": prompt.text}]
        return written(self._processor, [{"role": "user", "content": content}])

    @cached_property
    def opened(self) -> str:
        """What the chat template writes of a thought where the model's turn begins: its ``<think>``, or nothing."""
        found = re.search(rf"{OPEN}\s*\Z", self._written(Prompt(np.zeros((1, 1, 3), np.uint8), "")))
        return found[0] if found else ""

    def adds_special(self, prompt: Prompt) -> bool:
        """Whether the tokeniser adds a start token to what the chat template wrote."""
        return not begun(self._processor.tokenizer, self._written(prompt))

    def batch(self, prompts: Sequence[Prompt], share: bool = False) -> dict[str, Tensor]:
        """Inputs for several prompts: tokens padded on the left to one length, pictures joined along the first axis.

        `share` sets apart the text with which all of them begin (see `gtr.policy.prefix`).
        """
        rows = [self.encode(prompt) for prompt in prompts]
        length = shared_length([row["input_ids"] for row in rows], self._pictures) if share else 0
        if not length:
            return stack(rows, self._pad_id)
        rest = [{n: t[:, length:] if n in KINDS else t for n, t in row.items()} for row in rows]
        return {**stack(rest, self._pad_id), SHARED: rows[0]["input_ids"][:, :length]}


def size(encoded: Encoded) -> int:
    """Bytes of a prompt's tensors."""
    return sum(value.numel() * value.element_size() for value in encoded.values())


def begun(tokenizer: Any, text: str) -> Mapping[str, bool]:
    """How to encode a chat template's text: a template that writes the start token itself wants no second one."""
    wrote = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    return {"add_special_tokens": False} if wrote else {}


def stack(rows: Sequence[Encoded], pad_id: int) -> dict[str, Tensor]:
    """Encoded prompts as one batch; tensors as long as the tokens are padded like them, others are concatenated."""
    longest = max(row["input_ids"].shape[1] for row in rows)
    batch: dict[str, Tensor] = {}
    for name in rows[0]:
        parts = [row[name] for row in rows]
        if all(p.dim() == 2 and p.shape == row["input_ids"].shape for p, row in zip(parts, rows, strict=True)):
            fill = pad_id if name == "input_ids" else 0
            batch[name] = torch.cat([F.pad(p, (longest - p.shape[1], 0), value=fill) for p in parts])
        else:
            batch[name] = _join(parts)
    return batch


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenation along the first axis, the second one zero-padded where pictures have different numbers of tiles."""
    if len({p.shape[1:] for p in parts}) > 1:
        most = max(p.shape[1] for p in parts)
        parts = [F.pad(p, (0, 0) * (p.dim() - 2) + (0, most - p.shape[1])) for p in parts]
    return torch.cat(list(parts))

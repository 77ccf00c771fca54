"""Prompts as the model's own processor writes them, one at a time, then stacked: sampling and scoring share them.

Every prompt is encoded alone and padded afterwards, so that a turn's tokens never depend on the batch it is in.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
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
from gtr.types import Exchange, Image, Prompt

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
        self._cache: OrderedDict[tuple[str, ...], Encoded] = OrderedDict()
        self._bytes = 0
        # Tokenisers are for one thread at a time.
        self._lock = Lock()
        self._worker = ThreadPoolExecutor(1, "prompts")
        self._shows_several = False
        """Whether it has been seen that the model's processor shows several pictures."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "PromptEncoder":
        """One with nothing encoded yet: locks and threads are not copied."""
        return PromptEncoder(deepcopy(self._processor, memo), self._pad_id, self._pictures)

    def encode(self, prompt: Prompt) -> Encoded:
        """The inputs for one prompt, a batch of one."""
        key = tuple(part for one in prompt.shown for part in (image_hash(one.image), one.text))
        key += tuple(one.reply for one in prompt.past)
        with self._lock:
            if key not in self._cache:
                self._keep(key, self._encode(prompt))
            self._cache.move_to_end(key)
            return self._cache[key]

    def ahead(self, prompts: Sequence[Prompt]) -> None:
        """Begins to encode prompts that will be asked for soon, while others are learnt from."""
        self._worker.submit(lambda: [self.encode(prompt) for prompt in prompts])

    def _keep(self, key: tuple[str, ...], encoded: Encoded) -> None:
        self._cache[key] = encoded
        self._bytes += size(encoded)
        while len(self._cache) > 1 and (len(self._cache) > CACHED_PROMPTS or self._bytes > CACHED_BYTES):
            self._bytes -= size(self._cache.popitem(last=False)[1])

    def _encode(self, prompt: Prompt) -> Encoded:
        if prompt.past and not self._shows_several:
            self._check_several(prompt)
        text = self._written(prompt)
        pictures = [Pillow.fromarray(one.image) for one in prompt.shown]
        try:
            special = begun(self._processor.tokenizer, text)
            made = self._processor(images=pictures, text=text, return_tensors="pt", **special)
        except Exception as error:
            # A processor is made of files of whoever made the model: it can fail in any way.
            several = "set task.history_turns 0, if it takes one picture alone; " if prompt.past else ""
            raise PolicyError(
                f"policy.model: its processor cannot encode a prompt ({type(error).__name__}: {error}); {several}its "
                "chat template, tokenizer and image processor must belong together"
            ) from error
        # What PaliGemma's processor calls labels would have the model compute a loss of its own.
        return {name: value for name, value in made.items() if isinstance(value, Tensor) and name != "labels"}

    def _written(self, prompt: Prompt, pictured: bool = True) -> str:
        return written(self._processor, self.chat(prompt, lambda image: [{"type": "image"}] if pictured else []))

    def chat(self, prompt: Prompt, show: Callable[[Image], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """A prompt's turns as messages, oldest first; `show` says what stands for a picture in them."""
        found: list[dict[str, Any]] = []
        for one in prompt.shown:
            found.append({"role": "user", "content": [*show(one.image), {"type": "text", "text": one.text}]})
            if isinstance(one, Exchange):
                said = self.opened + self.spelt(one.reply)
                found.append({"role": "assistant", "content": [{"type": "text", "text": said}]})
        return found

    def spelt(self, reply: str) -> str:
        """A reply in which the letters of a special token are not read as that: an agent can write ``<image>``."""
        for token in self._special:
            reply = reply.replace(token, f"{token[0]} {token[1:]}")
        return reply

    @cached_property
    def _special(self) -> list[str]:
        tokenizer = self._processor.tokenizer
        added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
        return sorted((one for one in {*tokenizer.all_special_tokens, *added} if len(one) > 1), key=len, reverse=True)

    def _check_several(self, prompt: Prompt) -> None:
        """PolicyError where the chat template leaves earlier turns out, which a processor need not notice."""
        latest = prompt.past[-1]
        ends = [re.sub(r"\W+", "", text)[-20:] for text in (latest.text, latest.reply, prompt.text)]
        told = re.sub(r"\W+", "", self._written(prompt))
        alone = replace(prompt, past=())
        marks, mark = (len(self._written(one)) - len(self._written(one, pictured=False)) for one in (prompt, alone))
        if marks < mark * len(prompt.shown) or not all(one in told for one in ends):
            raise PolicyError(
                "task.history_turns: the chat template of policy.model leaves out pictures or words of earlier turns; "
                "set task.history_turns 0, or take a model whose template and processor show several pictures"
            )
        self._shows_several = True

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
    """Concatenation along the first axis, zero-padded at the end of the others: pictures have different numbers of
    tiles, and with some processors sizes of their own."""
    sizes = [max(size) for size in zip(*(p.shape[1:] for p in parts), strict=True)]
    lacking = [[most - size for most, size in zip(sizes, p.shape[1:], strict=True)] for p in parts]
    pads = [[pad for one in reversed(row) for pad in (0, one)] for row in lacking]
    return torch.cat([F.pad(p, pad) if any(pad) else p for p, pad in zip(parts, pads, strict=True)])

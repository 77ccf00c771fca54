"""The text that all prompts of a batch begin with is read once: its keys and values serve every row.

Tokens see only what stands before them, so up to a batch's first difference or picture all rows compute the same.
Gradients of all rows flow back through the one pass. Results differ from reading every row whole by rounding alone.
"""

from collections.abc import Collection, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

SHARED = "shared_ids"
"""Name of a batch's (1, k) leading token ids; its other tensors then hold what follows them."""
LEAST = 32
"""Tokens from which reading them apart is worth a pass of its own."""
KINDS = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"}
"""Tensors of a batch with a number for each token."""


def shared_length(rows: Sequence[Tensor], pictures: Collection[int]) -> int:
    """How many leading ids of (1, length) rows are equal and of no picture; 0 for a single row or fewer than `LEAST`.

    >>> shared_length([torch.tensor([[*range(50), 7]]), torch.tensor([[*range(50), 8, 9]])], {40})
    40
    """
    shortest = min(row.shape[1] for row in rows)
    if len(rows) < 2 or shortest <= LEAST:
        return 0
    ids = torch.cat([row[:, :shortest] for row in rows])
    alike = (ids == ids[:1]).all(0) & ~torch.isin(ids[0], torch.tensor(sorted(pictures), dtype=ids.dtype))
    length = int(alike.long().cumprod(0).sum())
    return length if LEAST <= length < shortest else 0


def opened(model: nn.Module, prompt: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], DynamicCache | None]:
    """A batch with its shared beginning before every row, and the cache of one pass over that; None where none is."""
    batch = dict(prompt)
    if SHARED not in batch:
        return batch, None
    first, rows = batch.pop(SHARED), len(batch["input_ids"])
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))  # type: ignore[union-attr, operator]
    model(
        input_ids=first, attention_mask=torch.ones_like(first), past_key_values=cache, use_cache=True, logits_to_keep=1
    )
    cache.batch_repeat_interleave(rows)
    before = {"input_ids": first, "attention_mask": torch.ones_like(first)}
    for name in KINDS & batch.keys():
        head = before.get(name, torch.zeros_like(first)).to(batch[name].dtype)
        batch[name] = torch.cat([head.expand(rows, -1), batch[name]], dim=1)
    return batch, cache


def after(model: nn.Module, batch: Mapping[str, Tensor], cache: DynamicCache, own_positions: bool) -> dict[str, Any]:
    """What the model is to be given to read a whole batch's tokens behind those in the cache."""
    done = cache.get_seq_length()
    inputs: dict[str, Any] = {name: value[:, done:] if name in KINDS else value for name, value in batch.items()}
    mask = batch["attention_mask"]
    positions = _own_positions(model, batch) if own_positions else (mask.cumsum(1) - 1).clamp(min=0)
    return {**inputs, "attention_mask": mask, "position_ids": positions[..., done:], "past_key_values": cache}


def _own_positions(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """(3, n, length) positions by the model's own rule, which it forgets where a cache is given."""
    found: list[Any] = [getattr(module, "get_rope_index", None) for module in model.modules()]
    (rule,) = [one for one in found if callable(one)]
    positions: Tensor = rule(**{name: batch[name] for name in signature(rule).parameters if name in batch})[0]
    return positions

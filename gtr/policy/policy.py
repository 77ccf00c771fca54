"""The agent: any Hugging Face image-text-to-text model, from prompts to replies and back to log-probabilities."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from gtr.config import PolicyConfig
from gtr.errors import PolicyError
from gtr.policy import sharding
from gtr.policy.network import Network, Scores
from gtr.policy.prompts import PromptEncoder
from gtr.policy.tokens import offsets, stacked
from gtr.tasks.think import OPEN
from gtr.types import Prompt, Reply, Span

VALUE_HEAD = "value_head.safetensors"
BATCH = 32
"""Replies scored at a time where no gradient is wanted."""


class Policy:
    """A network with its tokeniser, processor and sampling settings."""

    def __init__(self, network: Network, processor: Any, config: PolicyConfig, end_ids: Sequence[int]) -> None:
        self.network = network
        self.config = config
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.end_ids = tuple(end_ids)
        self.pad_id = pad_id(self.tokenizer, self.end_ids)
        self.prompts = PromptEncoder(processor, self.pad_id, network.pictures)
        self.scorer: nn.Module = network
        """What scoring passes with a gradient go through: the network, or its distributed wrapper."""
        self._pieces: dict[int, str] = {}
        self._spoke = False
        """Whether the model has sampled replies."""

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    # -- where its weights are ------------------------------------------------------------------------------------
    def gather(self) -> None:
        """Sharded, brings all weights to every process, for all that takes no gradient; every process must call it."""
        sharding.gather(self.network)

    def scatter(self) -> None:
        """Sharded, leaves every process with its share of the weights, for learning; every process must call it."""
        sharding.scatter(self.network)

    @property
    def whole(self) -> Network:
        """The network, for passes without a gradient; RuntimeError where this process holds a share of it only."""
        if sharding.is_sharded(self.network) and not sharding.is_gathered(self.network):
            raise RuntimeError("this process holds a share of the weights: all processes must call policy.gather first")
        return self.network

    # -- prompts to replies ---------------------------------------------------------------------------------------
    def generate(self, prompts: Sequence[Prompt], greedy: bool = False) -> list[Reply]:
        """One reply per prompt, in one batched pass; draws from torch's global generator unless greedy."""
        config = self.config
        self.network.eval()
        whole, inputs = self.whole, self.inputs(prompts)
        with self._first_use():
            samples = whole.sample(
                inputs,
                config.temperature,
                greedy,
                config.max_new_tokens,
                self.end_ids,
                config.repetition_penalty,
                config.penalised == "prompt_and_reply",
            )
        rows = zip(samples.tokens.tolist(), samples.logprobs.tolist(), samples.values.tolist(), strict=True)
        return [self._reply(tokens, logprobs, value) for tokens, logprobs, value in rows]

    @contextmanager
    def _first_use(self) -> Iterator[None]:
        """PolicyError where a model fails that has never said a word: its files do not belong together."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if self._spoke:
                raise
            raise PolicyError(
                f"policy.model cannot answer a prompt ({type(error).__name__}: {str(error)[:300]}): its weights, "
                "tokenizer and processor do not belong together, or are damaged"
            ) from error
        self._spoke = True

    def _reply(self, tokens: list[int], logprobs: list[float], value: float) -> Reply:
        ends = [i for i, token in enumerate(tokens) if token in self.end_ids]
        length = ends[0] + 1 if ends else len(tokens)
        kept = tuple(tokens[:length])
        return Reply(self.decode(kept), kept, tuple(logprobs[:length]), bool(ends), value)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of reply tokens as written, special tokens left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def offsets(self, tokens: Sequence[int]) -> list[Span]:
        """The characters of `decode(tokens)` that each token produced."""
        return offsets(tokens, self._decode_piece)

    def _decode_piece(self, tokens: Sequence[int]) -> str:
        """As `decode`; the texts of single tokens, asked for over and over, are remembered."""
        if len(tokens) != 1:
            return self.decode(tokens)
        if tokens[0] not in self._pieces:
            self._pieces[tokens[0]] = self.decode(tokens)
        return self._pieces[tokens[0]]

    def continued(self, text: str) -> str:
        """A whole reply without the sign that opens its thought, where the chat template has written that already."""
        opened = self.prompts.opened
        if not opened or not text.startswith(OPEN):
            return text
        rest = text.removeprefix(OPEN)
        return rest.lstrip("\n") if opened.endswith("\n") else rest

    def encode_reply(self, text: str) -> tuple[int, ...]:
        """The tokens of a reply that a teacher wrote, end token included; special tokens in it are spelt out."""
        # An agent can write the letters of "<image>": read as the token, they would break the next forward pass.
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return (*ids, self.end_ids[0])

    # -- replies back to numbers ----------------------------------------------------------------------------------
    def score(
        self,
        prompts: Sequence[Prompt],
        replies: Sequence[Sequence[int]],
        entropy: bool = False,
        temperatures: Sequence[float] | None = None,
        value_gradient: bool = True,
        token_values: bool = False,
        likely: Sequence[NDArray[np.int64] | None] | int = 0,
    ) -> Scores:
        """Log-probabilities of given reply tokens under the same prompts and distribution as in sampling.

        Gradients flow; wrap in ``torch.no_grad()`` where they are not wanted. `temperatures`, one per reply, replace
        the sampling one: supervised examples are scored at 1. `likely` are further tokens to score at each place,
        (tokens, k) of each reply, or how many of the likeliest.
        """
        reply, mask = self.pad(replies)
        rows = [self.config.temperature] * len(replies) if temperatures is None else list(temperatures)
        temperature = torch.tensor(rows, device=self.device)
        # Without a gradient there is nothing to exchange, and processes may differ in how many such passes they make.
        scorer = self.scorer if torch.is_grad_enabled() else self.whole
        asked: Tensor | int = likely if isinstance(likely, int) else self._stacked(likely, reply.shape[1])
        scores = scorer(self.inputs(prompts), reply, mask, temperature, entropy, value_gradient, token_values, asked)
        assert isinstance(scores, Scores)
        return scores

    def _stacked(self, rows: Sequence[NDArray[np.int64] | None], length: int) -> Tensor:
        return torch.from_numpy(stacked(rows, length, np.int64)).to(self.device)

    def pad(self, replies: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Token ids (n, L), padded on the right, and their mask (n, L)."""
        longest = max(1, *(len(reply) for reply in replies))
        ids = torch.full((len(replies), longest), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(replies), longest), dtype=torch.long)
        for i, reply in enumerate(replies):
            ids[i, : len(reply)] = torch.tensor(reply, dtype=torch.long)
            mask[i, : len(reply)] = 1
        return ids.to(self.device), mask.to(self.device)

    def values(self, prompts: Sequence[Prompt]) -> list[float]:
        """The critic's estimates for prompts alone."""
        self.network.eval()
        return [float(v) for v in self.whole.values(self.inputs(prompts))]

    def token_values(self, prompts: Sequence[Prompt], replies: Sequence[Sequence[int]]) -> list[list[float]]:
        """The critic's estimate before each token of given replies."""
        self.network.eval()
        found: list[list[float]] = []
        with torch.no_grad():
            for first in range(0, len(prompts), BATCH):
                part = replies[first : first + BATCH]
                scores = self.score(prompts[first : first + BATCH], part, token_values=True)
                rows = zip(scores.token_values.tolist(), part, strict=True)
                found += [row[: len(reply)] for row, reply in rows]
        return found

    def inputs(self, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
        """Prompts as one batch of the model's inputs, on its device and in its type."""
        dtype = self.network.dtype
        batch = self.prompts.batch(prompts, self._shares())
        return {
            name: value.to(self.device, dtype if value.is_floating_point() else None) for name, value in batch.items()
        }

    def _shares(self) -> bool:
        """Whether what a batch's prompts begin with is read once; with gradients, layers must stay as they are."""
        cut = self.config.gradient_checkpointing or sharding.is_sharded(self.network)
        return self.config.share_prefix and self.network.shares and not (cut and torch.is_grad_enabled())

    # -- disk -----------------------------------------------------------------------------------------------------
    def save(self, folder: Path, main: bool = True) -> None:
        """Writes model (or adapter), processor and value head; `load_policy` and transformers read it back.

        Sharded, every process must call it, and the `main` one writes.
        """
        model, head = self.network.model, self.network.value_head
        weights = self._full_weights() if sharding.is_sharded(self.network) else {}
        if not main:
            return
        folder.mkdir(parents=True, exist_ok=True)
        given = {"state_dict": weights["model"]} if weights else {}
        model.save_pretrained(folder, **given)  # type: ignore[operator]
        self.processor.save_pretrained(folder)
        save_file(weights["value_head"] if weights else head.state_dict(), folder / VALUE_HEAD)

    def _full_weights(self) -> dict[str, dict[str, Tensor]]:
        """By part of the network and name, its whole weights on the CPU; of a base that LoRA leaves alone, none."""
        found: dict[str, dict[str, Tensor]] = {"model": {}, "value_head": {}}
        for name, value in sharding.full_weights(self.network, self.config.finetune == "lora").items():
            part, _, inner = name.partition(".")
            found[part][inner] = value
        return found


def pad_id(tokenizer: Any, end_ids: Sequence[int]) -> int:
    """What fills rows up: the tokeniser's padding, or where it has none the first token that ends a reply."""
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end_ids[0])

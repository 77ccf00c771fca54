"""The trainable network: a Hugging Face image-text model and a value head, with sampling and scoring in one place.

Both use one distribution per token: softmax of ``logits / temperature`` with forbidden tokens at minus infinity. Both
compute in the same precision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

from gtr.errors import DivergenceError
from gtr.policy import prefix
from gtr.policy.families import Family, picture_ids
from gtr.policy.value import ValueHead


class Scores(NamedTuple):
    """What one scoring pass gives for a batch of n replies padded to L tokens.

    A tuple: wrappers that shard a network look for tensors in what its forward pass returns.
    """

    logprobs: Tensor
    """(n, L) log-probability in nats of each reply token; 0 on padding."""
    entropy: Tensor
    """(n, L) entropy in nats of the distribution at each reply token; 0 on padding."""
    values: Tensor
    """(n,) the critic's estimate for the prompt."""
    token_values: Tensor
    """(n, L) its estimate before each reply token, the first that for the prompt; (n, 0) if not asked for."""
    likely: Tensor
    """(n, L, k) log-probabilities of further tokens at each place, k being 0 if not asked for."""
    likely_ids: Tensor
    """(n, L, k) those tokens."""


@dataclass(frozen=True)
class Samples:
    """What one sampling pass gives."""

    tokens: Tensor
    """(n, L) sampled ids, padded on the right."""
    logprobs: Tensor
    """(n, L) log-probability of each sampled token."""
    values: Tensor
    """(n,)"""


class _Recorder(LogitsProcessor):
    """Shapes the sampling distribution and keeps each step's log-probabilities until the choice is known."""

    def __init__(
        self, network: "Network", temperature: float, greedy: bool, penalty: RepetitionPenaltyLogitsProcessor | None
    ) -> None:
        self._network, self._temperature, self._greedy, self._penalty = network, temperature, greedy, penalty
        self._last: Tensor | None = None
        self.chosen: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.settle(input_ids)
        scores = self._network.allowed(scores.float())
        first = self._last is None
        self._last = torch.log_softmax(scores / self._temperature, dim=-1)
        if first and bool(self._last.isnan().any()):
            raise DivergenceError("the agent's logits are not finite; lower train.lr, or set policy.dtype to float32")
        # The penalty is left out of what is recorded: scoring cannot know it, and the two must agree.
        penalised = self._penalty(input_ids, scores) if self._penalty else scores
        return penalised if self._greedy else penalised / self._temperature

    def settle(self, input_ids: Tensor) -> None:
        """Records the log-probability of the token that was appended since the last call."""
        if self._last is not None:
            self.chosen.append(self._last.gather(1, input_ids[:, -1:]).squeeze(1))


class Network(nn.Module):
    """A policy and its critic as one module, so that distributed wrappers see a single forward pass."""

    def __init__(
        self,
        model: nn.Module,
        value_head: ValueHead,
        forbidden: Sequence[int],
        family: Family,
        pad_id: int,
        mixed: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.value_head = value_head
        self._family = family
        self._pad_id = pad_id
        self._mixed = mixed
        """Compute in bfloat16 from weights in float32."""
        self.register_buffer("_forbidden", torch.tensor(sorted(forbidden), dtype=torch.long), persistent=False)
        self._hidden: Tensor | None = None
        head: nn.Module = self.model.get_output_embeddings()  # type: ignore[operator]
        head.register_forward_pre_hook(self._keep_hidden)

    def _keep_hidden(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Keeps the hidden states that enter the output layer: the value head reads them without a second pass."""
        self._hidden = inputs[0]

    def can_say(self, tokens: Sequence[int]) -> bool:
        """Whether a reply may hold these tokens: known ones, neither special nor of pictures."""
        known = self.model.get_output_embeddings().out_features  # type: ignore[operator]
        return all(0 <= one < known for one in tokens) and set(tokens).isdisjoint(self._forbidden.tolist())  # type: ignore[operator]

    def learning(self) -> None:
        """Ready for gradients, but without dropout, under which the scored distribution is not the sampled one."""
        self.eval()
        for module in self.modules():
            # Layers that recompute themselves do so in training mode only; what is inside them stays as it is.
            if getattr(module, "gradient_checkpointing", False):
                module.training = True

    def idle(self) -> None:
        """A forward pass that computes nothing (see `gtr.policy.sharding.gather`)."""

    def _precision(self) -> torch.autocast:
        return torch.autocast(next(self.parameters()).device.type, torch.bfloat16, enabled=self._mixed)

    @property
    def forbidden(self) -> list[int]:
        """Token ids that a reply may never hold."""
        return self._forbidden.tolist()  # type: ignore[operator]

    @property
    def shares(self) -> bool:
        """Whether a cache of its tokens may serve several rows."""
        return self._family.shares

    @property
    def pictures(self) -> frozenset[int]:
        """Ids of the tokens that stand for parts of pictures."""
        return picture_ids(self.model.config)

    @property
    def in_float32(self) -> bool:
        """Whether it computes in float32."""
        return not self._mixed and self.dtype == torch.float32

    @property
    def dtype(self) -> torch.dtype:
        """The type of the model's weights that are not packed."""
        return next(p.dtype for p in self.model.parameters() if p.is_floating_point())

    @property
    def vocabulary(self) -> int:
        """Rows of the output layer."""
        return int(self.model.get_output_embeddings().out_features)  # type: ignore[operator]

    def allowed(self, logits: Tensor) -> Tensor:
        """Logits with forbidden tokens at minus infinity."""
        return logits.index_fill(-1, self._forbidden, float("-inf"))  # type: ignore[arg-type]

    def forward(
        self,
        prompt: Mapping[str, Tensor],
        reply: Tensor,
        mask: Tensor,
        temperature: Tensor,
        entropy: bool = False,
        value_gradient: bool = True,
        token_values: bool = False,
        likely: Tensor | int = 0,
    ) -> Scores:
        """Scores given replies under given prompts.

        Args:
            prompt: a batch from `PromptEncoder.batch`, left-padded to P tokens.
            reply: (n, L) token ids, right-padded.
            mask: (n, L) 1 on reply tokens, 0 on padding.
            temperature: (n,) of each row: the one that was sampled with, or 1 for supervised examples.
            entropy: also compute entropies (zero otherwise).
            value_gradient: let the values' gradient reach the model below the head.
            token_values: also compute the critic's estimate before each reply token.
            likely: (n, L, k) further tokens to score at each place, or how many of the likeliest.
        """
        length = reply.shape[1]
        inputs, cache = self._opened(prompt)
        types = torch.full_like(reply, self._family.reply_type)
        tails = {"input_ids": reply, "attention_mask": mask, "token_type_ids": types}
        kinds = {n: t for n, t in inputs.items() if t.dim() == 2 and t.shape == inputs["input_ids"].shape}
        for name, value in kinds.items():
            tail = tails.get(name, torch.zeros_like(reply))
            inputs[name] = torch.cat([value, tail.to(value.dtype)], dim=1)
        logits = self._run(inputs, length + 1, cache)
        assert self._hidden is not None, "the output layer was not reached"
        hidden = self._hidden if value_gradient else self._hidden.detach()
        values = self._values(hidden, -(length + 1))
        logits = self.allowed(logits[:, -(length + 1) : -1].float()) / temperature[:, None, None]
        logprobs = torch.log_softmax(logits, dim=-1)
        keep = mask.bool()
        chosen = logprobs.gather(2, reply.unsqueeze(2)).squeeze(2).masked_fill(~keep, 0.0)
        entropies = torch.zeros_like(chosen)
        if entropy:
            terms = logprobs.exp() * logprobs.masked_fill(logprobs == float("-inf"), 0.0)
            entropies = -terms.sum(-1).masked_fill(~keep, 0.0)
        tokens = hidden[:, -(length + 1) : -1] if token_values else hidden[:, :0]
        ids = likely if isinstance(likely, Tensor) else _likeliest(logprobs.detach(), likely)
        return Scores(chosen, entropies, values, self.value_head(tokens), logprobs.gather(2, ids), ids)

    def _opened(self, prompt: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], DynamicCache | None]:
        with self._precision():
            return prefix.opened(self.model, prompt)

    def _run(self, inputs: dict[str, Any], keep: int, cache: DynamicCache | None) -> Tensor:
        """(n, keep, vocabulary) the logits of the last `keep` positions."""
        if cache is not None:
            inputs = prefix.after(self.model, inputs, cache, self._family.own_positions)
        elif not self._family.own_positions:
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
        with self._precision():
            logits: Tensor = self.model(**inputs, logits_to_keep=keep, use_cache=cache is not None).logits
        return logits

    def _values(self, hidden: Tensor | None, position: int) -> Tensor:
        assert hidden is not None, "the output layer was not reached"
        return self.value_head(hidden[:, position])  # type: ignore[no-any-return]

    @torch.no_grad()
    def values(self, prompt: Mapping[str, Tensor]) -> Tensor:
        """(n,) the critic's estimates for prompts alone."""
        inputs, cache = self._opened(prompt)
        self._run(inputs, 1, cache)
        return self._values(self._hidden, -1)

    @torch.no_grad()
    def sample(
        self,
        prompt: Mapping[str, Tensor],
        temperature: float,
        greedy: bool,
        max_new_tokens: int,
        end_ids: Sequence[int],
        repetition_penalty: float = 1.0,
        penalise_prompt: bool = True,
    ) -> Samples:
        """Samples one reply per prompt with a key-value cache, and the value of each prompt from the same pass."""
        inputs, cache = self._opened(prompt)
        longest = inputs["input_ids"].shape[1]
        penalty = RepetitionPenaltyLogitsProcessor(float(repetition_penalty), 0 if penalise_prompt else longest)
        recorder = _Recorder(self, temperature, greedy, penalty if repetition_penalty != 1.0 else None)
        first = _FirstHidden(self)
        settings: dict[str, Any] = {} if greedy else {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
        with self._precision():
            out: Tensor = self.model.generate(  # type: ignore[operator]
                **inputs,
                past_key_values=cache,
                # transformers would let processes with shards wait for one another; weights are gathered here.
                synced_gpus=False,
                logits_processor=LogitsProcessorList([first, recorder]),
                generation_config=GenerationConfig(
                    do_sample=not greedy,
                    max_new_tokens=max_new_tokens,
                    eos_token_id=list(end_ids),
                    pad_token_id=self._pad_id,
                    **settings,
                ),
            )
        recorder.settle(out)
        tokens = out[:, longest:]
        assert first.value is not None
        return Samples(tokens, torch.stack(recorder.chosen, dim=1), first.value)


def _likeliest(logprobs: Tensor, count: int) -> Tensor:
    """(n, L, k) so many of the likeliest tokens, or all that there are."""
    found = logprobs[..., :count] if count == 0 else logprobs.topk(min(count, logprobs.shape[-1])).indices
    return found.long()


class _FirstHidden(LogitsProcessor):
    """Reads the value off the first step of generation, where the last hidden state is the last prompt token's."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.value: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.value is None:
            self.value = self._network._values(self._network._hidden, -1)
        return scores

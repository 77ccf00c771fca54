"""A teacher that is another model: found by its path, and held against the agent's vocabulary before it scores."""

import hashlib
from dataclasses import replace

import torch

from gtr.config import PolicyConfig
from gtr.errors import GtrError, PolicyError
from gtr.policy.loading import load_policy
from gtr.policy.models import check_model, model_folder
from gtr.policy.policy import Policy

LOOKED_AT = 1024
"""Numbers of each weight that a model is told from others by."""


def load_teacher(path: str, agent: Policy, config: PolicyConfig) -> Policy:
    """The teacher at a path, adapters merged into it, on the agent's device; it must spell replies as that does.

    Raises `PolicyError` naming algo.teacher: nothing is there, or it is of another family or vocabulary.
    """
    half = agent.device.type == "cuda" and config.dtype != "float32"
    chosen = replace(
        config, finetune="full", load_in_4bit=False, freeze_vision=False, dtype="bfloat16" if half else "float32"
    )
    check_model(path, f"algo.teacher {path}")
    try:
        teacher = load_policy(model_folder(path), chosen, device=agent.device, critic=False)
    except GtrError as error:
        raise PolicyError(f"algo.teacher {path}: {error}") from error
    kinds = [str(one.network.model.config.model_type) for one in (teacher, agent)]  # type: ignore[union-attr]
    if kinds[0] != kinds[1]:
        raise PolicyError(f"algo.teacher {path} is of the family {kinds[0]}, the agent of {kinds[1]}: give one of that")
    theirs, ours = (one.tokenizer.get_vocab() for one in (teacher, agent))
    if theirs != ours or teacher.end_ids != agent.end_ids:
        apart = len(theirs.items() ^ ours.items())
        raise PolicyError(
            f"algo.teacher {path} has another vocabulary than the agent ({len(theirs)} tokens against {len(ours)}, "
            f"{apart} entries differ), so its log-probabilities are of other words: give a model that shares the "
            "agent's tokeniser, for example another run from the same start"
        )
    teacher.network.requires_grad_(False)
    return teacher


def digest(policy: Policy) -> str:
    """Tells a model's weights from others: a hash of some numbers of each, in half precision on any device."""
    found = hashlib.sha256()
    for name, weight in policy.network.model.state_dict().items():
        some = weight.flatten()[:: max(1, weight.numel() // LOOKED_AT)].to("cpu", torch.bfloat16)
        found.update(name.encode() + some.view(torch.int16).numpy().tobytes())
    return found.hexdigest()[:16]

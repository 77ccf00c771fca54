"""How far an agent has moved from its start: against a second agent that was kept as it was."""

from collections.abc import Callable

import pytest
import torch
from small import shaken

from gtr.policy.policy import Policy
from gtr.policy.reference import ReferencePolicy
from gtr.types import Prompt

MakePolicy = Callable[..., Policy]


@pytest.mark.parametrize("finetune", ["full", "lora"])
def test_the_agent_of_the_start_comes_and_goes(finetune: str, make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    chosen = {"policy.finetune": finetune, "policy.lora_rank": 4, "policy.freeze_vision": True}
    kept, policy = make_policy(**chosen), make_policy(**chosen)
    reference = ReferencePolicy(policy)
    shaken(policy)
    now = {name: value.clone() for name, value in policy.network.state_dict().items()}
    replies = [[50, 60, 70]] * len(prompts)
    for one in (kept, policy):
        one.network.eval()
    with torch.no_grad():
        wanted, moved = kept.score(prompts, replies).logprobs, policy.score(prompts, replies).logprobs
        with reference.swapped(policy):
            assert torch.equal(policy.score(prompts, replies).logprobs, wanted)
    assert not torch.allclose(moved, wanted, atol=1e-3)
    assert all(torch.equal(value, now[name]) for name, value in policy.network.state_dict().items())


def test_the_agent_of_now_comes_back_after_an_error(make_policy: MakePolicy) -> None:
    policy = make_policy()
    reference = ReferencePolicy(policy)
    before = [p.clone() for p in shaken(policy).network.parameters()]
    with pytest.raises(KeyboardInterrupt), reference.swapped(policy):
        raise KeyboardInterrupt
    assert all(torch.equal(a, b) for a, b in zip(before, policy.network.parameters(), strict=True))

"""SFT initialisation: where the agent stands before RL, made from expert episodes and stopped at measured competence.

A tiny model starts from random weights and goes through three stages; a pre-trained one needs only the last:

1. warm-up: vision tower and projector learn to classify what the picture shows (stands in for CLIP pre-training);
2. reading: the reply's first keys, those that say what is seen, under prompts of all lengths;
3. replies: whole replies, until the sampled success on held-out starts reaches `sft.target`.

Then its competence is measured on fresh starts, sampled and greedily, and held against the target.
"""

from gtr.sft.agents import agent_name, competence_of, initialise, starting_agent
from gtr.sft.experts import expert_examples

__all__ = ["agent_name", "competence_of", "expert_examples", "initialise", "starting_agent"]

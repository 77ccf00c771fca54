"""Algorithms: one idea, one small file, one row."""

ALGORITHMS = {
    "ppo": "gtr.algo.ppo:PPO",
    "grpo": "gtr.algo.grpo:GRPO",
    "rloo": "gtr.algo.rloo:RLOO",
    "reinforce_pp": "gtr.algo.reinforce_pp:ReinforcePP",
    "dapo": "gtr.algo.dapo:DAPO",
    "gigpo": "gtr.algo.gigpo:GiGPO",
    "hgpo": "gtr.algo.hgpo:HGPO",
    "starpo_s": "gtr.algo.starpo_s:StarPOS",
    "vl_dac": "gtr.algo.vl_dac:VLDAC",
    "bilevel_gae": "gtr.algo.bilevel_gae:BilevelGAE",
    "turn_ppo": "gtr.algo.turn_ppo:TurnPPO",
}
"""By the name that `algo.name` gives, where the class lives."""

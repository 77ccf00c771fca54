"""GTR (arXiv 2503.08525): PPO on the tokens of the action, and cloning of corrected thoughts at the same time.

The cloning is the guidance that any algorithm may have beside it (`guidance.*`, `gtr.algo.cloning`); that it is on, and
that PPO leaves the thought to it, is what makes GTR. The paper's ablations are settings of the two halves.
"""

from gtr.algo.ppo import PPO


class GTR(PPO):
    """PPO on actions beside the cloning of corrected thoughts."""

    guided = True

"""Metrics that had another name in earlier versions: whoever reads old runs asks here, and nobody else knows."""

from collections.abc import Mapping

RENAMED: Mapping[str, str] = {
    "update/clip_share": "update/clip_frac",
    "update/sampling_gap": "update/logprob_mismatch",
    "policy/kl_start": "policy/kl_ref",
    "guidance/hopeless": "guidance/unsolvable",
}
"""Old name -> the one it has now."""
PANEL = "panel/"
"""Before the name of a metric that was measured on the fixed panel."""


def current_name(name: str) -> str:
    """The name that a metric has now.

    >>> current_name("policy/kl_start"), current_name("panel/policy/kl_start"), current_name("episode/success")
    ('policy/kl_ref', 'panel/policy/kl_ref', 'episode/success')
    """
    own = name.removeprefix(PANEL)
    return name[: len(name) - len(own)] + RENAMED.get(own, own)

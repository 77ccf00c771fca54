"""Metrics that were once logged under another name, so that old runs can still be read."""

from collections.abc import Mapping

RENAMED: Mapping[str, str] = {
    "update/clip_share": "update/clip_frac",
    "update/sampling_gap": "update/logprob_mismatch",
    "policy/kl_start": "policy/kl_ref",
    "guidance/hopeless": "guidance/unsolvable",
}
"""Old name -> new name."""


def current_name(name: str) -> str:
    """The name under which a metric is logged today.

    >>> current_name("policy/kl_start"), current_name("policy/kl_ref")
    ('policy/kl_ref', 'policy/kl_ref')
    """
    return RENAMED.get(name, name)

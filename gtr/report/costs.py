"""What a model behind an API has cost so far, in one line for a person."""

from collections.abc import Mapping

FAILED = "corrector/failed/"


def costs_line(values: Mapping[str, float]) -> str | None:
    """``$0.12 for 311 requests, 3 failed (timeout 2, server 1); 512,345 tokens in, 31,222 out; ...``; None without any.

    `values` holds the metrics ``corrector/...``.
    """
    if "corrector/requests" not in values:
        return None
    count = {name.removeprefix("corrector/"): value for name, value in values.items() if name.startswith("corrector/")}
    failed = {name.removeprefix(FAILED): n for name, n in values.items() if name.startswith(FAILED)}
    kinds = ", ".join(f"{kind} {number:.0f}" for kind, number in failed.items())
    unsure = f" (+ at most ${count['usd_unsure']:.2f})" if count["usd_unsure"] else ""
    parts = [
        f"${count['usd']:.2f}{unsure} for {count['requests']:,.0f} requests, {count['failed']:,.0f} failed"
        + (f" ({kinds})" if kinds else ""),
        f"{count['tokens_in']:,.0f} tokens in, {count['tokens_out']:,.0f} out",
    ]
    if "seconds_p50" in count:
        parts.append(f"{count['seconds_p50']:.1f} s each (median), {count['seconds_p95']:.1f} s (95 %)")
    for name, words in (("cache_hits", "from memory"), ("unfunded", "without money"), ("down", "while down")):
        if count[name]:
            parts.append(f"{count[name]:,.0f} turns {words}")
    return "; ".join(parts)

"""Settings that every algorithm has; those of one stand in its own file (`gtr.algo.base.Algorithm.Settings`)."""

from dataclasses import dataclass

from gtr.config.section import Section, Text


@dataclass(frozen=True)
class AlgoConfig(Section):
    """How the agent learns from what it played."""

    name: Text = ""
    """The algorithm, chosen by the preset or --algo, which brings its settings: a row of docs/ALGORITHMS.md, or the
    import path of your own."""

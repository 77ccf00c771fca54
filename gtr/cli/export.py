"""``gtr export``: a run's turns in the forms that other libraries read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gtr.cli.argv import check_file, parse
from gtr.errors import ConfigError


@dataclass(frozen=True)
class ExportOptions:
    """Write a run's turns into one file that other libraries read, their pictures included."""

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """The run folder."""
    to: Literal["parquet", "trl_sft", "trl_dpo", "verifiers"] = "parquet"
    """Every turn as a dataset of Hugging Face's (parquet); corrected replies for TRL's SFTTrainer (trl_sft), or against
    those they correct for its DPOTrainer (trl_dpo); episodes as verifiers stores them (JSON lines)."""
    out: Path | None = None
    """The file; by default RUN-FORM.parquet or .jsonl beside the run."""


def export(arguments: Sequence[str]) -> None:
    """RUN                    its turns with pictures, for datasets, TRL or verifiers"""
    run, chosen = parse_export(arguments)
    from gtr.export import export as write

    print(write(run, chosen.to, chosen.out))


def parse_export(arguments: Sequence[str]) -> tuple[Path, ExportOptions]:
    """The run and the options of ``gtr export``."""
    chosen = parse(ExportOptions, arguments, ExportOptions(), "export")
    if chosen.run is None:
        raise ConfigError("write the run folder first: gtr export RUN --to parquet")
    check_file("--out", chosen.out)
    return chosen.run, chosen

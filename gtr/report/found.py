"""Where runs lie: the folders that a user named, or those in them."""

from collections.abc import Sequence
from pathlib import Path

from gtr.errors import RunError, nearest
from gtr.report.inside import names_inside
from gtr.report.run import Run

KEPT = ("metrics.jsonl", "turns", "checkpoints", "evaluations")
"""What a run folder has some of; a model's folder has a ``config.json`` too, but nothing else of these."""


def find_runs(paths: Sequence[Path], own_task: str | None = None) -> list[Run]:
    """The runs that the user named, each once: run folders, a comparison's folder, or any folder whose folders are
    runs. In a folder no link is followed, which might lead anywhere; name such a run itself.

    Raises `RunError` for a path under which there is no run.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        inside = next((runs for runs in map(_runs_in, (path, path / "runs")) if runs), [])
        if not inside:
            raise RunError(f"{path} is not a run folder and holds none: {_hint(path)}")
        found |= {run.resolve(): run for run in inside}
    return [Run(path, own_task) for path in found.values()]


def _runs_in(path: Path) -> list[Path]:
    """The folder itself if it is a run, else those of its folders that are."""
    if is_run(path):
        return [path]
    inside = [path / name for name in sorted(names_inside(path, ".")) if not name.startswith(".")]
    return [one for one in inside if not one.is_symlink() and is_run(one)]


def is_run(path: Path) -> bool:
    """Whether a folder is a run, damaged or not."""
    try:
        return path.is_dir() and any((path / name).exists() for name in KEPT)
    except OSError:
        return False


def _hint(path: Path) -> str:
    if (path / "comparison.html").exists():
        return "it compares runs that lie elsewhere; open its comparison.html, or name those runs"
    known = sorted({run.name for run in _runs_in(path.parent)} | {run.name for run in _runs_in(Path("runs"))})
    return nearest(path.name, known) if known else "train one first, for example: gtr train gtr"

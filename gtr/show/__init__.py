"""The viewer: what an agent saw, thought and was told, in a page on this machine or in one file that travels."""

from collections.abc import Sequence
from pathlib import Path

from gtr.errors import RunError, to_install

TURNS = 1000
"""Training turns that an exported file holds at most, where nobody says otherwise."""


def show(
    paths: Sequence[Path],
    to: Path | None = None,
    turns: int = TURNS,
    task: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8024,
    browser: bool = True,
) -> None:
    """Serves the page, or writes it to the file `to` with at most so many `turns`.

    `task` is the import path of the user's own game, whose code may be run to judge thoughts.

    Raises `RunError` where there is no run, the viewer's packages are missing, or the port or file cannot be used.
    """
    from gtr.report.found import find_runs
    from gtr.show.begun import Begun
    from gtr.show.study import read_study

    begun = Begun(paths, task)
    runs, study = begun.runs() if to is None else find_runs(paths, task), read_study(paths)
    if to is not None:
        from gtr.show.export import export

        done = export(runs, to, turns, study)
        size = done["bytes"] / 1e6
        print(f"{to}  {size:.1f} MB, with {done['taken']:,} of {done['all']:,} training turns")
        return
    try:
        from gtr.show.server import serve
    except ImportError as error:
        raise RunError(f"the viewer's packages are not installed ({error.name}): {to_install('show')}") from error
    serve(runs, study, host, port, browser, begun)

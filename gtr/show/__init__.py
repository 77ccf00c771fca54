"""The viewer: what an agent saw, thought and was told, in a page on this machine or in one file that travels."""

from gtr.errors import RunError
from gtr.options import ShowOptions


def show(options: ShowOptions) -> None:
    """Serves the page, or writes it to a file.

    Raises `RunError` where there is no run, the viewer's packages are missing, or the port or file cannot be used.
    """
    from gtr.report.found import find_runs
    from gtr.show.study import read_study

    runs, study = find_runs(options.runs, options.task), read_study(options.runs)
    if options.export is not None:
        from gtr.show.export import export

        done = export(runs, options.export, options.turns, study)
        size = done["bytes"] / 1e6
        print(f"{options.export}  {size:.1f} MB, with {done['taken']:,} of {done['all']:,} training turns")
        return
    try:
        from gtr.show.server import serve
    except ImportError as error:
        raise RunError(f"the viewer's packages are not installed ({error.name}): pip install 'gtr[show]'") from error
    serve(runs, study, options.host, options.port, not options.no_browser)

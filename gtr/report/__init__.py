"""What a run leaves behind and shows while it lasts: `RunFolder` writes it, `Run` reads it."""

from gtr.report.folder import RunFolder
from gtr.report.progress import Progress
from gtr.report.run import Run

__all__ = ["Progress", "Run", "RunFolder"]

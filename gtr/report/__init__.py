"""What a run leaves behind and shows while it lasts."""

from gtr.report.folder import RunFolder
from gtr.report.progress import Progress

__all__ = ["Progress", "RunFolder"]

"""The pictures of the product in README and docs: its pages as a real browser draws them.

    python benchmarks/images.py RUN ...     # writes docs/images/report.png, the overview of these runs
    python benchmarks/images.py runs/study/ezpoints/runs/{rl4vlm,gtr}-*     # README's, after make study ONLY=ezpoints

Needs Chromium and guided-thought[dev,show].
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright
from viewer import FLAGS, served

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE = {"width": 1280, "height": 1000}


def main() -> None:
    """Draws each picture once the last chart of the first screen is there."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with served(*map(Path, sys.argv[1:])) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        page.wait_for_selector("body[data-state=read]", timeout=300_000)
        page.locator(".telling .js-plotly-plot .nsewdrag").nth(2).wait_for(timeout=300_000)
        page.screenshot(path=IMAGES / "report.png")
        browser.close()


if __name__ == "__main__":
    main()

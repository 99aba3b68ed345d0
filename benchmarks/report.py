"""Size, length and load time of the page of a made-up study of the paper's size.

    python benchmarks/report.py [FOLDER]

Three models with three SFT sets and three smoothing values each, in 42 languages of one
benchmark and 29 of another, by letters and by texts: the tables of a small made-up
study, whose rows are repeated under these names.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import sync_playwright

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from enlarged import write_enlarged  # noqa: E402


class Seen(NamedTuple):
    """What a browser says of the page.

    Attributes:
        painted: seconds until the first paint.
        chosen: seconds from the choice of a metric to the new chart and table.
        screens: heights of 1280 x 800 before anything is opened.
        nodes: elements of the document.
    """

    painted: float
    chosen: float
    screens: float
    nodes: int


def look(page: Path) -> Seen:
    """Open the page in Chromium, without a network."""
    with sync_playwright() as driver:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        size = {"width": 1280, "height": 800}
        tab = browser.new_context(offline=True, viewport=size).new_page()
        tab.goto(page.as_uri())
        tab.wait_for_selector("#chart svg")
        painted = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        seen = tab.evaluate(painted) / 1000
        started = time.perf_counter()
        tab.locator("[name=metric]").select_option("ece")
        chosen = time.perf_counter() - started
        screens = tab.evaluate("document.documentElement.scrollHeight") / 800
        nodes = tab.evaluate("document.querySelectorAll('*').length")
        browser.close()
    return Seen(seen, chosen, screens, nodes)


def main() -> None:
    """Print what the page weighs, how long it is, and how long it takes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(temporary)
        started = time.perf_counter()
        page = write_enlarged(folder)
        print(f"tables and page written in {time.perf_counter() - started:.0f} s")
        looks = [look(page) for _ in range(3)]
        print(f"page size {page.stat().st_size / 1e6:.2f} MB")
        print(f"{looks[0].screens:.1f} screens, {looks[0].nodes} elements")
        print(f"first paint {min(seen.painted for seen in looks):.2f} s, best of 3")
        print(f"choice {min(seen.chosen for seen in looks):.2f} s, best of 3")


if __name__ == "__main__":
    main()

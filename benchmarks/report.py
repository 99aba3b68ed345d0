"""Size, length and load time of the page of a made-up study of the paper's size.

    python benchmarks/report.py [FOLDER]

Three models with three SFT sets and three smoothing values each, in 42 languages of one
benchmark and 29 of another, by letters and by texts. The answers are made up; polycal
measures and compares them and draws the figures, which takes a quarter of an hour, and
writes the page.
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

from made_up import make_study  # noqa: E402

from polycal.reporting.figures import draw  # noqa: E402
from polycal.reporting.report import report  # noqa: E402
from polycal.study import layout  # noqa: E402
from polycal.study.figures import FIGURES  # noqa: E402
from polycal.study.languages import load_languages  # noqa: E402
from polycal.study.scorings import HEADLINE  # noqa: E402


def make_page(folder: Path) -> Path:
    """Everything that the workflow does from the study's tables on."""
    known = load_languages().values()
    tasks = {
        "global_mmlu": [each.code for each in known if each.in_global_mmlu],
        "mmlu_prox": [each.code for each in known if each.in_mmlu_prox],
    }
    make_study(
        folder,
        tasks=tasks,
        models=("a", "b", "c"),
        sft=("x", "y", "z"),
        smoothing=(0.0, 0.1, 0.2),
        scorings=list(HEADLINE),
    )
    for task in tasks:
        for scoring, normaliser in HEADLINE.items():
            about = {"task": task, "scoring": scoring, "normaliser": normaliser}
            place = folder / "figures" / layout.SHOWN_TAIL.format_map(about)
            files = [place / f"{figure}.svg" for figure in FIGURES]
            draw(tables=folder, **about, out=files)
    started = time.perf_counter()
    report(
        study="full size",
        scoring=["letters", "text"],
        tables=folder,
        checks=[folder / f"{task}.json" for task in tasks],
        figures=folder / "figures",
        out=folder / "index.html",
    )
    print(f"page written in {time.perf_counter() - started:.1f} s")
    return folder / "index.html"


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
        page = make_page(folder)
        looks = [look(page) for _ in range(3)]
        print(f"page size {page.stat().st_size / 1e6:.2f} MB")
        print(f"{looks[0].screens:.1f} screens, {looks[0].nodes} elements")
        print(f"first paint {min(seen.painted for seen in looks):.2f} s, best of 3")
        print(f"choice {min(seen.chosen for seen in looks):.2f} s, best of 3")


if __name__ == "__main__":
    main()

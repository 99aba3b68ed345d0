"""Size and load time of the page of a made-up study of the paper's size.

    python benchmarks/report.py [FOLDER]

71 languages (42 of one benchmark, 29 of another) and 13 runs: a base model, and three
SFT sets with four smoothing values each; every normaliser and calibrator, with
intervals. The answers are made up; polycal measures them, which takes minutes, and
writes the page.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from made_up import make_study  # noqa: E402

from polycal.reporting.figure_kind import TABLES  # noqa: E402
from polycal.reporting.figures import draw  # noqa: E402
from polycal.reporting.report import report  # noqa: E402
from polycal.study.figures import FIGURES  # noqa: E402
from polycal.study.languages import load_languages  # noqa: E402
from polycal.study.scorings import HEADLINE, NORMALISERS  # noqa: E402


def make_page(folder: Path) -> Path:
    """Everything that the workflow does from the study's tables on."""
    known = load_languages().values()
    tasks = {
        "global_mmlu": [each.code for each in known if each.in_global_mmlu],
        "mmlu_prox": [each.code for each in known if each.in_mmlu_prox],
    }
    paths = make_study(
        folder,
        tasks=tasks,
        sft=("a", "b", "c"),
        smoothing=(0.0, 0.1, 0.2, 0.3),
        scorings=list(HEADLINE),
        normalisers=NORMALISERS,
    )
    drawn = {kind: paths[kind] for kind in TABLES}
    for task in tasks:
        for scoring, normaliser in HEADLINE.items():
            under = folder / task / f"{scoring}-{normaliser}"
            draw(
                **drawn,
                task=task,
                scoring=scoring,
                normaliser=normaliser,
                out=[under / f"{figure}.svg" for figure in FIGURES],
            )
    started = time.perf_counter()
    report(
        study="full size",
        scoring=["text", "letters"],
        **paths,
        shifts=[],
        checks=[folder / f"{task}.json" for task in tasks],
        figures=folder,
        out=folder / "index.html",
    )
    print(f"page written in {time.perf_counter() - started:.1f} s")
    return folder / "index.html"


def load(page: Path) -> tuple[float, float]:
    """Seconds until the page is loaded, and from one choice to the new table."""
    with sync_playwright() as driver:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_context(offline=True).new_page()
        started = time.perf_counter()
        tab.goto(page.as_uri())
        loaded = time.perf_counter()
        tab.get_by_label("metric").select_option("ece")
        chosen = time.perf_counter()
        browser.close()
    return loaded - started, chosen - loaded


def main() -> None:
    """Print what the page weighs, and how long it takes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(temporary)
        page = make_page(folder)
        seconds = [load(page) for _ in range(3)]
        print(f"page size {page.stat().st_size / 1e6:.2f} MB")
        print(f"load {min(each[0] for each in seconds):.2f} s, best of 3")
        print(f"choice {min(each[1] for each in seconds):.2f} s, best of 3")


if __name__ == "__main__":
    main()

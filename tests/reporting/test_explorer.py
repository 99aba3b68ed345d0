"""The page in a real browser, from a file and without a network."""

import json
import shutil

import pyarrow as pa
import pytest
from made_up import make_study
from test_report import write_page

from polycal.reporting.explorer import explore, to_json
from polycal.storage import tables

QUESTION = "מה? </script>"
LANGUAGES = ("en", "de", "he", "sw", "yo")  # in the order of resources


@pytest.fixture(scope="module")
def chromium():
    """The system's browser; Playwright brings its driver only."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page of two tasks and a model without SFT beside one with it."""
    folder = tmp_path_factory.mktemp("page")
    tasks = {"global_mmlu": LANGUAGES, "mmlu_prox": ("de", "zu")}
    row = {
        **{"model": "miniature", "sft": "alpaca-en", "task": "global_mmlu"},
        **{"language": "he", "scoring": "text", "normaliser": "token"},
        **{"question_id": "1", "question": QUESTION, "options": ["א", "<b>"]},
        **{"gold": 1, "change": 0.25, "smoothings": [-1.0, 0.0]},
        "probabilities": [[0.5, 0.5], [0.25, 0.75]],
    }
    shifts = folder / "shifts.parquet"
    table = pa.Table.from_pylist([row], tables.SCHEMAS["shifts"])
    tables.write(table, shifts, "shifts")
    write_page(folder, tasks=tasks, shifts=[shifts])
    return (folder / "report" / "index.html").as_uri()


@pytest.fixture
def opened(chromium, address):
    """Opens the page at a fragment; complains about anything in the console."""
    context = chromium.new_context(offline=True)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))

    def at(fragment=""):
        page.goto("about:blank")
        page.goto(address + fragment)
        return page

    yield at
    context.close()
    assert complaints == []


def names(page):
    """Codes of the table's languages from top to bottom."""
    buttons = page.locator("#explorer tbody button").all()
    return [each.get_attribute("data-lang") for each in buttons]


def test_the_table_filters_and_sorts(opened):
    """By name, by level and by each column, with the keyboard, too."""
    page = opened()
    assert names(page) == list(LANGUAGES)
    page.get_by_label("language", exact=True).fill("swa")
    assert names(page) == ["sw"]
    assert page.locator("#count").inner_text() == "1 of 5 languages"
    page.get_by_label("language", exact=True).fill("")
    page.get_by_label("resources").select_option("low")
    assert names(page) == ["sw", "yo"]
    page.get_by_label("resources").select_option("all")
    page.locator("#explorer thead button").nth(4).focus()
    page.keyboard.press("Enter")
    cells = page.locator("#explorer tbody tr td:nth-child(5)").all_inner_texts()
    shown = [float(each.replace("−", "-")) for each in cells]
    assert shown == sorted(shown, reverse=True)
    assert page.locator("#explorer thead [aria-sort=descending]").count() == 1
    page.keyboard.press("Enter")  # the heading keeps the focus
    assert page.locator("#explorer thead [aria-sort=ascending]").count() == 1


def test_a_click_shows_a_language_in_every_condition(opened):
    """One diagram per condition, its question as its script runs, and the way back."""
    page = opened()
    page.locator("[data-lang=he]").click()
    assert page.locator("#detail h3").inner_text() == "Hebrew (he), global_mmlu"
    assert page.locator("#detail svg").count() == 3
    label = page.locator("#detail svg").first.get_attribute("aria-label")
    assert label.startswith("base: accuracy ")
    question = page.get_by_text(QUESTION)
    assert question.evaluate("node => getComputedStyle(node).direction") == "rtl"
    right = page.locator("#detail .gold")
    assert right.inner_text().split() == ["✓", "<b>", "50.0", "75.0", "–"]
    page.locator("#close").click()
    assert page.locator("#detail").inner_text() == ""
    assert page.evaluate("document.activeElement.dataset.lang") == "he"


def test_a_link_restores_the_view(opened):
    """What the address says is what is shown, and what cannot be is left out."""
    page = opened()
    page.get_by_label("task").select_option("mmlu_prox")
    page.get_by_label("metric").select_option("ece")
    page.locator("[data-lang=zu]").click()
    page.locator("#explorer thead button").first.click()
    fragment = page.evaluate("location.hash")
    text = page.locator("#explore").locator("..").inner_text()
    again = opened(fragment)
    assert again.locator("#explore").locator("..").inner_text() == text
    assert again.locator("#detail h3").inner_text() == "Zulu (zu), mmlu_prox"
    broken = opened("#view?task=no&metric=no&lang=no&sort=99up")
    assert names(broken) == list(LANGUAGES)


def test_the_numbers_are_the_table_s(tmp_path):
    """Whole numbers of the metrics table, and bins that hold every question."""
    paths = make_study(tmp_path)
    told = explore(paths["metrics"], paths["reliability"], [], ["text"])
    assert told["tasks"] == {"global_mmlu": list(LANGUAGES)}
    (facet,) = told["facets"]
    assert facet["compared"] == [(1, 0), (2, 1)]
    assert told["scorings"][0] == "text token"
    place = {"language": "sw", "scoring": "text", "normaliser": "token"}
    held = tables.where(tables.read(paths["metrics"], "metrics"), **place)
    (row,) = tables.where(
        held, metric="ece", sft="alpaca-en", smoothing=0.1
    ).to_pylist()
    found = told["values"]["global_mmlu|text|token|none|ece"][facet["name"]]["value"]
    assert found[3][2] == round(10_000 * row["value"])
    bins = told["bins"]["global_mmlu|text|token"][facet["name"]][3][2]
    table = tables.where(tables.read(paths["reliability"], "reliability"), **place)
    table = tables.where(table, sft="alpaca-en", smoothing=0.1)
    assert sum(bins[1::4]) == sum(table["n"].to_pylist())


def test_an_interval_reaches_as_far_as_the_table_s(tmp_path):
    """Below the value by value - ci_low, above it by ci_high - value."""
    paths = make_study(tmp_path)
    rows = tables.read(paths["metrics"], "metrics").to_pandas()
    rows["ci_low"], rows["ci_high"] = rows["value"] - 0.02, rows["value"] + 0.05
    table = pa.Table.from_pandas(rows, tables.SCHEMAS["metrics"], preserve_index=False)
    tables.write(table, tmp_path / "skewed.parquet", "metrics")
    told = explore(tmp_path / "skewed.parquet", paths["reliability"], [], ["text"])
    found = told["values"]["global_mmlu|text|token|none|ece"]
    (own,) = found.values()
    assert {each for line in own["below"] for each in line} == {200}
    assert {each for line in own["above"] for each in line} == {500}


def test_json_cannot_end_the_script_that_holds_it():
    """A question may contain any markup."""
    text = to_json({"a": "</script><b>"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><b>"}

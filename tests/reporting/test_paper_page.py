"""The page of a study of the paper's size holds its limits, and its first screen."""

import re

import pytest
from enlarged import MODELS, SETS, languages, write_enlarged

LABELS = ["base", "SFT", "SFT, smoothing 0.1", "SFT, smoothing 0.2"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Three models with three SFT sets and three smoothing values, two benchmarks."""
    return write_enlarged(tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="module")
def page(chromium, written):
    """The page at 1280 x 800 without a network, and what it asks for."""
    context = chromium.new_context(
        offline=True, viewport={"width": 1280, "height": 800}
    )
    tab, asked = context.new_page(), []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: asked.append(message.text))
    tab.on("pageerror", lambda error: asked.append(str(error)))
    tab.goto(written.as_uri())
    tab.wait_for_selector("#chart svg")
    yield tab, asked
    context.close()


def test_the_page_is_small_enough_to_send(written):
    """At most 6 MB, with every number of 9 models and SFT sets in 42 + 29 languages."""
    assert 3e6 < written.stat().st_size <= 6e6


def test_nothing_is_long_before_it_is_opened(page):
    """At most 12 screens and 15,000 nodes."""
    tab, _ = page
    assert tab.evaluate("document.documentElement.scrollHeight") <= 12 * 800
    count = "document.evaluate('count(//node())', document).numberValue"
    assert 1000 < tab.evaluate(count) <= 15_000


def test_nothing_is_asked_of_the_network(page, written):
    """Nor said in the console; but for the page itself."""
    tab, asked = page
    while tab.locator("details:not([open]), details > template").count():
        tab.evaluate(
            "document.querySelectorAll('details').forEach((each) => (each.open = true))"
        )
    tab.reload()
    assert asked == [written.as_uri()] * 2


def test_the_first_screen_has_the_picture_and_the_verdicts(page):
    """The first model and SFT set in every level; a column for each of the others."""
    tab, _ = page
    picture = tab.locator(".first figure svg").first
    box = picture.bounding_box()
    assert 0 < box["y"] < box["y"] + box["height"] < 800
    drawn = picture.text_content()
    for words in (f"{MODELS[0]}, SFT: {SETS[0]}; ", "low resource (", "smoothing 0.2"):
        assert words in drawn
    assert MODELS[1] not in drawn
    matrix = tab.locator(".verdicts").first
    box = matrix.bounding_box()
    assert box["y"] < 800
    assert box["x"] + box["width"] <= 1280
    heads = matrix.locator("thead tr").all()
    assert heads[0].inner_text().split() == list(MODELS)
    assert heads[1].inner_text().split() == ["claim", *SETS * len(MODELS)]


def test_the_base_model_s_numbers_are_those_of_every_sft_set(page):
    """They are in the page once per model."""
    tab, _ = page
    read = """(key) => data.facets.map(({name}) => [data.values[key][name].value,
        data.bins[key.split("|").slice(0, 3).join("|")][name]])"""
    found = tab.evaluate(read, "global_mmlu|letters|sum|none|gap")
    assert len(found) == len(MODELS) * len(SETS)
    for values, bins in found:
        assert len(values) == len(bins) == len(languages()["global_mmlu"])
        assert {len(row) for row in values + bins} == {len(LABELS)}
        # Every model is a copy of one, so all have the same numbers.
        assert (values, bins) == tuple(found[0])
    assert None not in found[0][0][0]


def test_the_verdicts_are_one_tab_stop(page):
    """Arrow keys lead from chip to chip; the stop stays where it was left."""
    tab, _ = page
    matrix = tab.locator(".verdicts").first
    stops = matrix.locator("[tabindex='0']")
    assert stops.count() == 1
    stops.focus()
    place = """() => { const chip = document.activeElement, cell = chip.closest("td");
        return [cell.parentNode.sectionRowIndex, cell.cellIndex,
        [...cell.children].indexOf(chip)] }"""
    seen = [tab.evaluate(place)]
    for key in ("ArrowRight", "ArrowDown", "End", "ArrowLeft", "Home", "ArrowUp"):
        tab.keyboard.press(key)
        seen.append(tab.evaluate(place))
    assert seen[:3] == [[0, 1, 0], [0, 2, 0], [1, 2, 0]]
    last = len(MODELS) * len(SETS)
    assert [where[1] for where in seen[3:]] == [last, last - 1, 1, 1]
    assert seen[-1] == seen[0]
    tab.keyboard.press("ArrowUp")  # there is no row above
    assert tab.evaluate(place) == seen[0]
    assert stops.count() == 1
    told = tab.locator("#tip").inner_text()
    assert told.startswith(matrix.locator("tbody th").first.inner_text())


def test_paper_has_the_chosen_model_and_sft_set(page):
    """In a report that can be attached; on the screen everything is closed again."""
    tab, _ = page
    form = tab.locator("#choices")
    form.locator("[name=model]").select_option(MODELS[2])
    form.locator("[name=sft]").select_option(SETS[1])
    tab.evaluate(
        """addEventListener("beforeprint", () => { window.printed =
            [...document.querySelectorAll("[data-facet][open] > summary")]
            .map((each) => each.textContent) })"""
    )
    file = tab.pdf(format="A4")
    assert 5 < len(re.findall(rb"/Type /Page\b", file)) <= 25
    names = tab.evaluate("printed")
    assert set(names) == {f"{MODELS[2]}, SFT: {SETS[1]}"}
    assert len(names) == 4  # of two benchmarks, by letters and by text
    assert tab.locator("details[open]").count() == 0
    form.locator("[name=model]").select_option(MODELS[0])


def test_the_verdicts_of_many_models_are_accessible(page):
    """By axe-core's rules, before anything is opened."""
    tab, _ = page
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(tab, context=".first").response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []

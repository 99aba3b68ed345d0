"""The page in a real browser, from a file and without a network."""

import json

import numpy as np
import pyarrow as pa
import pytest
from made_up import (
    CODES,
    CONDITIONS,
    LEVELS,
    TWO_TASKS,
    N,
    answer_by_hand,
    by_hand,
    make_study,
)
from test_report import BOTH, write_page

from polycal.comparing.released import Released
from polycal.measuring.temperature import CALIBRATORS
from polycal.reporting.explorer import explore, to_json
from polycal.reporting.spelling import percent
from polycal.storage import tables

QUESTION = "מה? </script>"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page of two tasks and a model without SFT beside one with it."""
    folder = tmp_path_factory.mktemp("page")
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
    options = {"tasks": TWO_TASKS, "scorings": BOTH}
    write_page(folder, drawn=("text",), shifts=[shifts], **options)
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
    assert names(page) == list(CODES)
    page.get_by_label("language", exact=True).fill("swa")
    assert names(page) == ["sw"]
    assert page.locator("#count").inner_text() == "1 of 5 languages"
    page.keyboard.press("Enter")  # leads to the language that was searched for
    assert page.locator("#detail h3").inner_text() == "Swahili (sw), global_mmlu"
    page.keyboard.press("Escape")
    page.get_by_label("language", exact=True).fill("")
    page.get_by_label("resources").select_option("low")
    assert names(page) == ["sw", "yo"]
    page.get_by_label("resources").select_option("all")
    page.locator("#explorer thead button").nth(4).focus()
    page.keyboard.press("Enter")
    cells = page.locator("#explorer tbody tr td:nth-child(5)").all_inner_texts()
    shown = [
        float(each.split("\n")[0].split("[")[0].replace("−", "-")) for each in cells
    ]
    assert shown == sorted(shown, reverse=True)
    assert page.locator("#explorer thead [aria-sort=descending]").count() == 1
    page.keyboard.press("Enter")  # the heading keeps the focus
    assert page.locator("#explorer thead [aria-sort=ascending]").count() == 1


def test_choices_are_in_words(opened):
    """The page's address keeps the tables' own names."""
    page = opened()
    told = {
        name: dict(
            zip(
                page.locator(f"[name={name}] option").evaluate_all(
                    "options => options.map(each => each.value)"
                ),
                page.locator(f"[name={name}] option").all_inner_texts(),
                strict=True,
            )
        )
        for name in ("scoring", "calibrator", "metric")
    }
    assert told["scoring"]["letters sum"] == "letters (sum)"
    assert told["calibrator"].keys() == {"none", *CALIBRATORS}
    assert told["calibrator"]["ts_en"] == "English's temperature"
    assert told["metric"]["ece"] == "ECE"


def test_a_sure_change_stands_out(opened):
    """Bold, and the caption says why."""
    page = opened("#view?metric=confidence")
    change = page.locator("#explorer thead button", has_text="change: SFT − base")
    column = int(change.get_attribute("data-column"))
    bold = [
        row.locator("td").nth(column - 1).locator("strong").count()
        for row in page.locator("#explorer tbody tr").all()
    ]
    signs = page.evaluate("data.sure[key('confidence')][facetOf().name]")
    assert bold == [int(sign) for sign in signs[1 :: len(CONDITIONS)]]
    assert sum(bold)
    assert "bold" in page.locator("#explorer caption").inner_text()


def test_a_click_shows_a_language_in_every_condition(opened):
    """One diagram per condition, its question as its script runs, and the way back."""
    page = opened()
    page.locator("[data-lang=he]").click()
    assert page.locator("#detail h3").inner_text() == "Hebrew (he), global_mmlu"
    assert page.locator("#detail svg").count() == 3
    first = page.locator("#detail svg").first
    written = first.locator("text").all_text_contents()
    for axis in ("accuracy (%); below 0: share", "confidence (%)"):
        assert axis in written
    label = first.get_attribute("aria-label")
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
    page.locator("[name=metric]").select_option("ece")
    page.locator("[data-lang=zu]").click()
    page.locator("#explorer thead button").first.click()
    fragment = page.evaluate("location.hash")
    text = page.locator("#explore").locator("..").inner_text()
    again = opened(fragment)
    assert again.locator("#explore").locator("..").inner_text() == text
    assert again.locator("#detail h3").inner_text() == "Zulu (zu), mmlu_prox"
    broken = opened("#view?task=no&metric=no&lang=no&sort=99up")
    assert names(broken) == list(CODES)
    said = broken.locator("#count").inner_text()
    assert said.endswith("does not have: task no, metric no, language no")
    broken.get_by_label("resources").select_option("low")
    assert broken.locator("#count").inner_text() == "2 of 5 languages"


def test_a_language_is_a_step_that_back_and_escape_undo(opened):
    """A link to a language shows it without scrolling.

    The page hears of a step back after the browser has made it.
    """
    page = opened()
    page.locator("[data-lang=sw]").click()
    page.go_back()
    page.locator("#detail:empty").wait_for(state="attached")
    page.locator("[data-lang=sw]").click()
    page.locator("[data-lang=he]").click()
    page.go_back()
    page.locator("#detail h3", has_text="Swahili (sw), global_mmlu").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#detail").inner_text() == ""
    linked = opened("#view?lang=yo")
    top = linked.locator("#detail").evaluate("node => node.getBoundingClientRect().y")
    assert -1 < top < 400


def test_a_range_of_the_chart_chooses_its_languages(opened):
    """Table, diagrams and address have what was dragged over; bins are pooled."""
    page = opened()
    page.locator("#chart").scroll_into_view_if_needed()
    boxes = [
        page.locator("#chart [data-mark=dot] circle").nth(place).bounding_box()
        for place in (1, 3)
    ]
    page.mouse.move(boxes[0]["x"] - 4, boxes[0]["y"])
    page.mouse.down()
    page.mouse.move(boxes[1]["x"] + 12, boxes[1]["y"], steps=4)
    page.mouse.up()
    codes = CODES[1:4]
    title = f"3 languages ({', '.join(codes)}), global_mmlu"
    assert page.locator("#detail h3").inner_text() == title
    assert "lang=" + "+".join(codes) in page.evaluate("location.hash")
    pressed = page.locator("#explorer [aria-pressed=true]")
    assert [each.get_attribute("data-lang") for each in pressed.all()] == list(codes)
    assert page.locator("#count").inner_text() == "5 of 5 languages, 3 chosen"
    # One bar of the selection for each language and condition.
    assert page.locator("#chart [data-mark=rule]").first.locator("line").count() == 9
    for index, (name, how) in enumerate(CONDITIONS.items()):
        answers = [answer_by_hand(*how, code)[:2] for code in codes]
        confidence, right = map(np.concatenate, zip(*answers, strict=True))
        means = [f"{100 * each.mean():.1f}" for each in (right, confidence)]
        words = page.locator("#detail svg").nth(index).get_attribute("aria-label")
        said = f"{name}: accuracy {means[0]}, confidence {means[1]}, gap "
        assert words.startswith(said)
        bins = page.evaluate(
            "at => pool(data.bins['global_mmlu|text|token'][facetOf().name],"
            " [1, 2, 3], at)",
            index,
        )
        found = {own["bin"]: own for own in bins}
        for own in range(15):
            inside = (confidence * 15).astype(int) == own
            assert (own in found) == inside.any()
            if inside.any():
                expected = 100 * confidence[inside].mean(), 100 * right[inside].mean()
                spelt = found[own]["confidence"], found[own]["accuracy"]
                assert spelt == pytest.approx(expected, abs=0.1)
                assert found[own]["n"] == inside.sum()
    page.go_back()
    page.locator("#detail:empty").wait_for(state="attached")


def test_several_languages_are_chosen_with_the_keyboard(opened):
    """Shift takes all up to a language, Ctrl drops one, and the focus stays."""
    page = opened()
    for code, keys in (("de", "Shift+Enter"), ("sw", "Shift+Enter")):
        page.locator(f"[data-lang={code}]").focus()
        page.keyboard.press(keys)
    heading = page.locator("#detail h3")
    assert heading.inner_text().startswith("3 languages (de, he, sw)")
    page.locator("[data-lang=he]").focus()
    page.keyboard.press("Control+Space")
    assert heading.inner_text().startswith("2 languages (de, sw)")
    assert page.evaluate("document.activeElement.dataset.lang") == "he"
    fragment = page.evaluate("location.hash")
    text = page.locator("#detail").inner_text()
    assert opened(fragment).locator("#detail").inner_text() == text
    broken = opened("#view?lang=sw+no")
    assert broken.locator("#detail h3").inner_text() == "Swahili (sw), global_mmlu"
    assert broken.locator("#count").inner_text().endswith("have: language no")


def test_the_chart_shows_every_language_and_its_numbers(opened):
    """Two marks for each language and condition; a metric has one with its interval."""
    page = opened()
    n_marks = len(CODES) * len(CONDITIONS)
    for shape in ("circle", "path"):  # accuracy and confidence
        assert page.locator(f"#chart [data-mark=dot] {shape}").count() == n_marks
    bars = page.locator("#chart [data-mark=rule] line")
    assert bars.count() == n_marks
    for how, (code, name) in zip(
        list(CONDITIONS.values()) * len(CODES),
        [(code, name) for code in CODES for name in CONDITIONS],
        strict=True,
    ):
        values = by_hand(*how, code)
        colour = "over" if values["gap"] > 0 else "under"
        found = page.evaluate(
            "([code, name]) => { const row = marks(rows()).find("
            "(each) => each.code === code && each.condition === name);"
            "return [row.first, row.last, row.last > row.first ? 'over' : 'under'] }",
            [code, name],
        )
        first, last = (100 * values[key] for key in ("accuracy", "confidence"))
        assert found == [
            pytest.approx(first, abs=1e-3),
            pytest.approx(last, abs=1e-3),
            colour,
        ]
    page.locator("[name=metric]").select_option("ece")
    keys = page.locator("#chart .key").all_inner_texts()
    assert [key.strip() for key in keys] == list(CONDITIONS)
    assert page.locator("#chart [data-mark=dot] circle").count() == n_marks


def test_what_opens_on_demand_is_no_part_of_the_page_before(opened):
    """Its tables come with the click."""
    page = opened()
    assert page.locator("table.claims").count() == 0
    page.get_by_text("Every claim: values, interval").click()
    page.locator("table.claims tbody tr").nth(12).wait_for()


def test_a_chip_tells_its_numbers_to_the_mouse_and_the_keyboard(opened):
    """The tooltip has what a screen reader is told."""
    page = opened()
    chip = page.locator(".verdicts .chip").first
    for point in (chip.hover, chip.focus):
        page.mouse.move(0, 0)
        point()
        told = page.locator("#tip").inner_text()
        claim = page.locator(".verdicts tbody th").first.inner_text()
        assert told == f"{claim}\n{chip.get_attribute('aria-label')}"
        assert "% interval" in told


def test_a_figure_tells_the_numbers_of_the_mark_beside_the_pointer(opened):
    """In the page's own words for it, and not in the browser's as well."""
    page = opened()
    figure = page.locator(".first figure svg").first
    titles = figure.locator("use > title").all_text_contents()
    assert len(titles) == 2 * len(CONDITIONS) * 4  # both metrics in four panels
    own = [by_hand(*CONDITIONS["base"], code)["accuracy"] for code in LEVELS["high"]]
    spelt = percent(sum(own) / len(own))
    assert titles[0].startswith(f"high resource, base: accuracy {spelt}, ")
    mark = figure.locator("use:has(> title)").last
    box = mark.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x + 5, y + 3)
    tip = page.locator("#tip")
    tip.wait_for()
    assert tip.inner_text() == titles[-1]
    assert figure.locator("title").count() == 0
    page.mouse.move(x, y)
    assert tip.inner_text() == titles[-1]
    page.mouse.move(1, 1)
    tip.wait_for(state="hidden")


def test_a_figure_answers_a_finger(chromium, address):
    """Until the finger scrolls; a browser shows titles to a mouse only."""
    size = {"width": 400, "height": 800}
    context = chromium.new_context(viewport=size, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    mark = page.locator(".first figure svg use:has(> title)").first
    told = mark.locator("title").text_content()
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.touchscreen.tap(box["x"] + 1, box["y"] + 1)
    page.locator("#tip").wait_for()
    assert page.locator("#tip").inner_text() == told
    # A finger that goes up the page, as the browser hears of it.
    send = context.new_cdp_session(page).send
    x, y = box["x"] + 1, box["y"] + 1
    for index in range(6):
        kind = "touchMove" if index else "touchStart"
        points = [{"x": x, "y": y - 20 * index}]
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.locator("#tip").wait_for(state="hidden")
    context.close()


def test_the_table_of_a_view_can_be_saved(opened):
    """The file has the numbers that are shown, unrounded."""
    page = opened("#view?metric=accuracy")
    page.evaluate("data.languages.de.name = '=1+1'")
    with page.expect_download() as download:
        page.locator("#download").click()
    lines = download.value.path().read_text().splitlines()
    own = f'"accuracy, {next(iter(CONDITIONS))}"'
    assert lines[0].startswith(f'"language","code","resources","class",{own},"low"')
    english = next(line for line in lines if ",en," in line).split(",")
    value, low, high = map(float, english[4:7])
    accuracy = 100 * by_hand(*CONDITIONS["base"], "en")["accuracy"]
    assert value == pytest.approx(accuracy, abs=1e-3)
    assert low < value < high
    assert [line[:8] for line in lines if ",de," in line] == ['"\'=1+1",']
    assert download.value.suggested_filename == (
        "miniature-alpaca-en-global_mmlu-text-token-accuracy.csv"
    )
    assert len(lines) == 1 + len(CODES)


OPEN_ALL = "document.querySelectorAll('details').forEach((each) => (each.open = true))"


def open_all(page):
    """Open everything; what opens holds more that opens."""
    while page.locator("details:not([open]), details > template").count():
        page.evaluate(OPEN_ALL)


def list_faults(page):
    """What axe-core complains of, with everything opened."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    open_all(page)
    found = axe.run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_with_everything_opened(chromium, address, scheme):
    """By axe-core's rules, colours' contrast among them; a language is chosen."""
    page = chromium.new_page(color_scheme=scheme)
    page.goto(address + "#view?lang=he")
    assert list_faults(page) == []
    page.close()


def test_an_unfinished_page_reads_itself_again_until_told_not_to(chromium, tmp_path):
    """Once a minute; axe-core takes a reload that nobody can switch off as a fault."""
    told = {"missing": "Nothing.", "progress": {"measure": [3, 4]}}
    write_page(tmp_path, scorings=("letters",), more=told)
    page, loads = chromium.new_page(), []
    page.clock.install()
    page.on("load", lambda _: loads.append(1))
    page.goto((tmp_path / "report/index.html").as_uri())
    with page.expect_navigation():
        page.clock.run_for(61_000)
    page.get_by_label("once a minute").uncheck()
    page.clock.run_for(200_000)
    assert len(loads) == 2
    assert list_faults(page) == []
    page.close()


def test_paper_has_every_language_and_no_controls(chromium, address):
    """What scrolls on the screen is whole in print."""
    page = chromium.new_page(viewport={"width": 794, "height": 1123})
    page.goto(address)
    page.emulate_media(media="print")
    assert not page.locator("#choices").is_visible()
    assert not page.locator("nav").is_visible()
    page.locator(".verdicts .chip").first.focus()
    assert page.locator("#tip").text_content()
    assert not page.locator("#tip").is_visible()  # what is pointed at at Ctrl+P
    tall = page.locator(".tall")
    assert tall.evaluate("node => getComputedStyle(node).maxHeight") == "none"
    assert tall.evaluate("node => getComputedStyle(node).overflowY") == "visible"
    page.close()


def test_paper_has_what_is_closed_on_the_screen(chromium, address):
    """Figures, tables and how to read them; of scorings those that have figures."""
    page = chromium.new_page(viewport={"width": 400, "height": 800})
    page.goto(address)
    page.wait_for_selector("#chart svg")
    page.get_by_text("Confidence, gap, ECE, scorings").click()
    assert page.locator("figure .scroll svg").count() == 2
    wide = page.locator("#chart svg").bounding_box()["width"]
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    shut = page.locator("details:not([open])").all_inner_texts()
    assert shut == ["Scored by text (sum)"] * 2
    assert page.locator("figure .scroll svg").count() == 2 * (9 + 3)
    assert page.locator("table.claims").count() == 1
    assert page.locator("#chart svg").bounding_box()["width"] == 700 > wide
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 1  # as its reader had it
    assert page.locator("#chart svg").bounding_box()["width"] == wide
    page.close()


def test_paper_is_white(chromium, address):
    """Whatever the screen's colours are."""
    page = chromium.new_page(color_scheme="dark")
    page.goto(address)
    read = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(read) != "rgb(255, 255, 255)"
    page.emulate_media(media="print")
    assert page.evaluate(read) == "rgb(255, 255, 255)"
    picture = page.locator("figure .scroll svg").first
    assert picture.evaluate("node => getComputedStyle(node).filter") == "none"
    page.close()


@pytest.mark.parametrize("width", [400, 1280, 1920])
def test_nothing_sticks_out_at_any_width(chromium, address, width):
    """Wide tables scroll on their own."""
    page = chromium.new_page(viewport={"width": width, "height": 800})
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    said = page.locator("#chart figcaption").inner_text()
    assert said.endswith("a column." if width == 400 else "a row.")
    page.close()


@pytest.mark.parametrize("width", [1280, 1920])
def test_no_column_hides_behind_a_scroll_bar(chromium, address, width):
    """What a claim needs to be decided stands in the last one."""
    page = chromium.new_page(viewport={"width": width, "height": 800})
    page.goto(address)
    open_all(page)
    tables = page.locator(".scroll:has(> table)")
    assert tables.count() > 10
    hidden = "list => list.filter((each) => each.scrollWidth > each.clientWidth)"
    names = hidden + ".map((each) => each.getAttribute('aria-label'))"
    assert tables.evaluate_all(names) == []
    page.close()


COUNT = """window.drawn = 0; new MutationObserver((all) => {
    drawn += all.filter(({ target }) => target.id === "chart").length;
}).observe(document, { childList: true, subtree: true })"""
A_FRAME = "new Promise((next) => requestAnimationFrame(() => setTimeout(next)))"


def test_table_and_chart_are_drawn_once_for_a_width(chromium, address):
    """A second time, a moment later, would take the focus from who was quick."""
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(COUNT)
    page.goto(address)
    for _ in range(2):
        page.evaluate(A_FRAME)
    assert page.evaluate("drawn") == 1
    page.set_viewport_size({"width": 800, "height": 800})
    page.wait_for_function("drawn === 2")
    page.close()


def test_the_page_s_numbers_are_those_of_the_answers(tmp_path):
    """In millionths by language and condition; bins hold every question once."""
    make_study(tmp_path)
    explored = explore(tmp_path, [], ["text"])
    assert explored["tasks"] == {"global_mmlu": list(CODES)}
    (facet,) = explored["facets"]
    assert facet["conditions"] == list(CONDITIONS)
    assert facet["compared"] == [(1, 0), (2, 1)]
    assert facet["apart"] == []
    both = frozenset({("miniature", "alpaca-en")})
    other = {"released": Released(both, both)}
    foreign = explore(tmp_path, [], ["text"], **other)
    assert foreign["facets"] == [facet | {"apart": ["token", "english"]}]
    assert explored["scorings"][0] == "text token"
    for metric in ("accuracy", "confidence", "gap", "ece", "nll"):
        found = explored["values"][f"global_mmlu|text|token|none|{metric}"]
        assert (metric, found[facet["name"]]["value"]) == (
            metric,
            [
                [
                    round(1_000_000 * by_hand(*how, code)[metric])
                    for how in CONDITIONS.values()
                ]
                for code in CODES
            ],
        )
    bins = explored["bins"]["global_mmlu|text|token"][facet["name"]]
    for row, code in enumerate(CODES):
        for column, how in enumerate(CONDITIONS.values()):
            confidence, right, _ = answer_by_hand(*how, code)
            expected = []
            for index in range(15):
                own = (confidence * 15).astype(int) == index
                if own.any():
                    means = confidence[own].mean(), right[own].mean()
                    expected += [index, own.sum(), *(round(1000 * x) for x in means)]
            assert bins[row][column] == expected, (code, how)
            assert sum(bins[row][column][1::4]) == N


def test_an_interval_reaches_as_far_as_the_table_s(tmp_path):
    """Below the value by value - ci_low, above it by ci_high - value."""
    paths = make_study(tmp_path)
    explored = explore(tmp_path, [], ["text"])
    (found,) = explored["values"]["global_mmlu|text|token|none|ece"].values()
    rows = tables.where(
        tables.read(paths["metrics"], "metrics"),
        **{"normaliser": "token", "calibrator": "none", "metric": "ece"},
    )
    ends = {
        (row["language"], row["sft"], row["smoothing"]): (
            round(100_000 * (row["value"] - row["ci_low"])),
            round(100_000 * (row["ci_high"] - row["value"])),
        )
        for row in rows.to_pylist()
    }
    assert any(abs(below) > 2 * abs(above) for below, above in ends.values())
    for row, code in enumerate(CODES):
        for column, how in enumerate(CONDITIONS.values()):
            drawn = found["below"][row][column], found["above"][row][column]
            assert drawn == pytest.approx(ends[code, *how], abs=1), (code, how)


def test_a_change_is_sure_where_its_band_leaves_0_out(tmp_path):
    """By language, condition, metric and calibrator, as the contrasts have it."""
    paths = make_study(tmp_path)
    sure = explore(tmp_path, [], ["text"])["sure"]
    rows = tables.read(paths["contrasts"], "contrasts").to_pylist()
    expected = {
        (row["calibrator"], row["metric"], row["level"], row["smoothing"]): row
        for row in rows
        if row["normaliser"] == "token"
        and row["reference"] == ("sft" if row["smoothing"] else "base")
    }
    seen = set()
    for (calibrator, metric, code, smoothing), row in expected.items():
        if (
            code not in CODES
            or f"global_mmlu|text|token|{calibrator}|{metric}" not in sure
        ):
            continue
        (signs,) = sure[f"global_mmlu|text|token|{calibrator}|{metric}"].values()
        own = signs[len(CONDITIONS) * CODES.index(code) :]
        assert own[0] == "0"  # the base model has changed from nothing
        is_sure = row["sim_low"] > 0 or row["sim_high"] < 0
        assert own[2 if smoothing else 1] == "01"[is_sure], (metric, code)
        seen.add((metric, is_sure))
    assert {("confidence", True), ("accuracy", False)} <= seen


def test_several_seeds_have_no_interval_of_one(tmp_path):
    """The interval of one seed is not that of their mean."""
    make_study(tmp_path, seeds=(0, 1))
    explored = explore(tmp_path, [], ["text"])
    (found,) = explored["values"]["global_mmlu|text|token|none|ece"].values()
    assert set(found) == {"value"}


def test_json_cannot_end_the_script_that_holds_it():
    """A question may contain any markup."""
    text = to_json({"a": "</script><b>"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><b>"}

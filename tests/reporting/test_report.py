"""One page from a study's tables: whole, on its own, and true to the numbers."""

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pytest
from made_up import CODES, TWO_TASKS, N, make_study

from polycal.errors import InputError
from polycal.reporting.figures import FIGURES, draw
from polycal.reporting.report import TABLES, report
from polycal.reporting.svg import inline
from polycal.reporting.tabulate import NAMES
from polycal.storage import tables
from polycal.study.scorings import HEADLINE

BOTH = ("text", "letters")
SVG = (  # what matters of an SVG of matplotlib
    '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink"><title>the figure</title>'
    "<metadata>http://x.org</metadata>"
    '<defs><style>*{}</style><path id="m1"/></defs><g id="axes_1" fill="#aabbcc">'
    '<use xlink:href="#m1" clip-path="url(#p2)"><title>a mark</title></use></g>'
    '<clipPath id="p2"/></svg>'
)


VENDORED = re.compile(
    r"<script>\n// (?:https://d3js.org|@observablehq).*?</script>", re.S
)


class Page(HTMLParser):
    """Ids, tags and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.tags, self.loads = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Count what opens."""
        values = dict(attributes)
        self.tags.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.loads += [values[name] for name in ("src", "href") if name in values]


def write_page(
    folder: Path,
    *,
    drawn: Sequence[str] = (),
    order: tuple[str, ...] | None = None,
    shifts: Sequence[Path] = (),
    more: Mapping = MappingProxyType({}),
    **options: object,
) -> str:
    """The page of a made-up study; figures are stand-ins unless of a drawn scoring."""
    options = {"tasks": {"global_mmlu": CODES}} | options
    make_study(folder, **options)
    for task in options["tasks"]:
        for scoring in options.get("scorings", ("text",)):
            normaliser = HEADLINE[scoring]
            place = {"task": task, "scoring": scoring, "normaliser": normaliser}
            under = folder / "figures" / task / f"{scoring}-{normaliser}"
            files = [under / f"{figure}.svg" for figure in FIGURES]
            if scoring in drawn:
                draw(tables=folder, **place, out=files)
            else:
                under.mkdir(parents=True, exist_ok=True)
                for svg in files:
                    svg.write_text(SVG)
    out = folder / "report" / "index.html"
    report(
        study="made-up",
        scoring=list(order or options.get("scorings", ("text",))),
        tables=folder,
        shifts=list(shifts),
        checks=[folder / f"{task}.json" for task in options["tasks"]],
        figures=folder / "figures",
        papers=out.parent / "tables",
        out=out,
        **more,
    )
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with real figures of two tasks, by the scoring that leads."""
    folder = tmp_path_factory.mktemp("page")
    return write_page(folder, drawn=("text",), tasks=TWO_TASKS, scorings=BOTH)


def test_a_page_needs_nothing_from_the_net(page):
    """Links lead into the page or to tables and figures beside it; images are in it."""
    parsed = Page(page)
    outside = [each for each in parsed.loads if not each.startswith(("#", "data:"))]
    assert [link for link in outside if link.endswith(".parquet")] == [
        f"../{name}.parquet" for name in TABLES
    ]
    tails = ("global_mmlu/text-token", "global_mmlu/letters-sum")
    tails += ("mmlu_prox/text-token", "mmlu_prox/letters-sum")
    files = {f"../figures/{tail}/{name}.svg" for tail in tails for name in FIGURES}
    files -= {f"../figures/{tail}/premium.svg" for tail in tails[1::2]}  # of texts
    files |= {f"../{kind.source}.csv" for kind in FIGURES.values()}
    for ending in ("csv", "tex"):
        files |= {f"tables/{tail}/{name}.{ending}" for tail in tails for name in NAMES}
    assert {link for link in outside if not link.endswith(".parquet")} == files
    libraries = VENDORED.findall(page)
    assert len(libraries) == 2
    page = VENDORED.sub("", page)
    page = page.replace('createElementNS("http://www.w3.org/2000/svg"', "")  # a name
    assert not re.search(r"@import|url\((?!#)|https?://|<!DOCTYPE svg|<\?xml", page)


def test_ids_are_unique_and_references_arrive(page):
    """Figures of matplotlib share no id; none lost a clip path or marker."""
    parsed = Page(page)
    assert parsed.tags.count("svg") == 2 * (9 + 3)  # text leads, letters follow
    assert len(parsed.ids) == len(set(parsed.ids))
    page = VENDORED.sub("", page)
    wanted = re.findall(r"url\(#([^)]+)\)", page)
    wanted += [each[1:] for each in parsed.loads if each.startswith("#")]
    wanted += re.findall(r'aria-labelledby="([^"]+)"', page)
    assert len(wanted) > 100
    assert set(wanted) <= set(parsed.ids)


def test_every_figure_has_its_title_above_its_numbers(page):
    """On the page, and in what a screen reader is told of its picture."""
    for kind in FIGURES.values():
        if kind.shown == "never":
            assert f"{kind.title} (<a href" in page
        else:
            assert f"<strong>{kind.title}</strong> (<a href" in page
            assert re.search(rf'<svg [^>]*aria-label="{kind.title}\. [^"]+"', page)


def test_the_same_inputs_give_the_same_bytes_anywhere(tmp_path):
    """Neither the time nor the folder is in the page."""
    assert write_page(tmp_path / "a") == write_page(tmp_path / "b")
    assert str(tmp_path) not in write_page(tmp_path / "a")


def test_the_sentences_turn_with_the_numbers(tmp_path):
    """A study in which SFT lowers confidence is not told as one in which it rises."""
    up = write_page(tmp_path / "up")
    down = write_page(tmp_path / "down", rise=-0.2, relief=-0.1)
    assert "Over 5 languages, SFT raises confidence by" in up
    assert "<td>5 ↑ 0 ↓</td>" in up
    assert "Over 5 languages, SFT lowers confidence by" in down
    assert "<td>0 ↑ 5 ↓</td>" in down


def test_taught_questions_stand_beside_the_others(tmp_path):
    """In the tables of their task and scoring alone; percent and points."""
    shared = {"model": "miniature", "sft": "alpaca-en", "task": "global_mmlu"}
    shared |= {"scoring": "text", "normaliser": "token"}
    parts = {(-1.0, True): 0.25, (-1.0, False): 0.5, (0.0, True): 0.4, (0.0, False): 1}
    rows = [
        {
            **shared,
            **{"condition": condition, "taught": taught, "metric": metric},
            **{"estimate": sign * share, "ci_low": sign * share - 0.1, "se": 0.05},
            **{"ci_high": sign * share + 0.2, "n_questions": 3 + taught},
        }
        for (condition, taught), share in parts.items()
        for metric, sign in (("accuracy", 0.5), ("confidence", 1), ("gap", -0.1))
    ]
    made = pa.Table.from_pylist(rows, tables.SCHEMAS["taught"])
    tables.write(made, tmp_path / "taught.parquet", "taught")
    told = {"taught": [tmp_path / "taught.parquet"]}
    page = write_page(tmp_path, tasks=TWO_TASKS, scorings=BOTH, more=told)
    (table,) = re.findall(r"<caption>Questions whose text .*?</table>", page, re.S)
    cells = re.findall(r"<t[hd] .*?</tr>", table.partition("<tbody>")[2])
    lines = [re.sub(r"<[^>]+>+", " ", cell).split() for cell in cells]
    spelt = "base taught (4) 12.5 [2.5, 32.5] 25.0 [15.0, 45.0] −2.5 [−12.5, +17.5]"
    assert " ".join(lines[1]) == spelt
    heads = [" ".join(line[:-9]) for line in lines]
    assert heads == [
        *("base not taught (3)", "base taught (4)"),
        *("SFT not taught (3)", "SFT taught (4)"),
    ]
    assert "<summary>Taught and other questions, what smoothing removes" in page
    assert "Taught and other" not in write_page(tmp_path)


@pytest.mark.parametrize(
    ("options", "said", "unsaid"),
    [
        (
            {"sft": ()},
            ["How well does the confidence of", "the model is over-", ">as it is<"],
            [
                "Not drawn",
                "single seed",
                "raises",
                "#trainings",
                "SFT sets",
                "#claims",
                ">base",
            ],
        ),
        (
            {"smoothing": (0.1,)},
            ["SFT, smoothing 0.1 raises confidence", "SFT, smoothing 0.1 − base"],
            ["SFT − base"],
        ),
        ({"scorings": ("letters",)}, ["log mass"], ["text (token)"]),
        ({}, ["text (sum)"], ["letters (sum)", "log mass"]),
        (
            {"seeds": (0, 1)},
            ["2 seeds", "other questions and trainings"],
            ["single seed"],
        ),
        (
            {
                **{"models": ("m", "n"), "sft": ("a", "b"), "smoothing": (0.0,)},
                "tasks": {"global_mmlu": ("en", "sw")},
            },
            [
                *("m, SFT: a</summary>", "n, SFT: b</summary>", "a and b"),
                *("in 4 models and SFT sets", "single seed", "overview.svg"),
                *("m, SFT: a; global_mmlu", "all 4 models and SFT sets"),
            ],
            ["n, SFT: b; global_mmlu"],
        ),
        (
            {"tasks": {"global_mmlu": ("sw",)}},
            [
                *("In the one language", "The one low resource language – base: "),
                *("1 language, 60 questions: nothing is left out.", ">What smoothing"),
            ],
            [
                *("high resource (", "all (1", '"left">all</td>', "languages (1)"),
                *("all languages have", "In how many languages", "to choose several"),
            ],
        ),
    ],
)
def test_studies_of_any_shape_give_a_page(tmp_path, options, said, unsaid):
    """What a study lacks is not spoken of, and what it has is."""
    text = write_page(tmp_path, **options)
    assert [words for words in said if words not in text] == []
    assert [words for words in unsaid if words in text] == []


def test_the_order_of_the_scorings_is_the_config_s(tmp_path):
    """The findings on top are those of the first; one that is not asked for is out."""
    options = {"sft": (), "scorings": BOTH}
    for order in (BOTH, BOTH[::-1], BOTH[:1]):
        text = write_page(tmp_path / "-".join(order), order=order, **options)
        assert f"global_mmlu, scored by {order[0]}" in text
        assert ("Scored by letters" in text) == ("letters" in order)


def test_the_page_says_how_many_questions_are_compared(tmp_path):
    """One line a task; a task without a check is named."""
    text = write_page(tmp_path / "a", left_out=7)
    assert f"{N - 7} questions are compared in all languages; 7 are left" in text
    text = write_page(tmp_path / "b")
    assert "all languages have the same questions; nothing is left out" in text
    make_study(tmp_path / "b")
    make_study(tmp_path / "c", tasks={"mmlu_prox": ("en", "zu")}, sft=())
    with pytest.raises(InputError, match="no check of global_mmlu was given"):
        report(
            study="s",
            scoring=["text"],
            tables=tmp_path / "b",
            shifts=[],
            checks=[tmp_path / "c" / "mmlu_prox.json"],
            figures=tmp_path / "b" / "figures",
            out=tmp_path / "other.html",
        )


def test_scores_of_several_dtypes_are_doubted(tmp_path, monkeypatch):
    """Beside the answer of the task whose scores they are, and no other."""
    asked = {"asked": {"mmlu_prox": {"dtype": ["bfloat16", "float32"]}}}
    monkeypatch.setattr(
        f"{report.__module__}.read_metadata",
        lambda path: tables.read_metadata(path) | asked,
    )
    text = write_page(tmp_path, tasks=TWO_TASKS)
    sections = re.split(r'(?=<section aria-labelledby=")', text)
    (doubted,) = [own for own in sections if "Some scores are in bfloat16 and" in own]
    assert doubted.startswith('<section aria-labelledby="task-mmlu_prox"')


def test_a_scoring_that_was_not_measured_is_named(tmp_path):
    """Rather than a page without it."""
    with pytest.raises(InputError, match="the tables hold no letters scores"):
        write_page(tmp_path, order=BOTH)


def test_names_are_escaped(tmp_path):
    """A name cannot become markup."""
    options = {"models": ("<b>m",), "sft": (), "scorings": ("letters",)}
    write_page(tmp_path, **options)
    runs = tables.read(tmp_path / "runs.parquet", "runs").to_pandas()
    named = pa.Table.from_pandas(runs.assign(repo="<u>r"), tables.SCHEMAS["runs"])
    tables.write(named, tmp_path / "runs.parquet", "runs")
    out = tmp_path / "other.html"
    report(
        study="<i>s",
        scoring=["letters"],
        tables=tmp_path,
        shifts=[],
        checks=[tmp_path / "global_mmlu.json"],
        figures=tmp_path / "figures",
        out=out,
    )
    assert not re.search(r"<b>m|<i>s|<u>r", out.read_text())
    assert "&lt;i&gt;s" in out.read_text()
    assert '<td class="left">&lt;u&gt;r</td>' in out.read_text()


def test_a_missing_or_broken_figure_is_named(tmp_path):
    """The message says which file, and nothing is written."""
    write_page(tmp_path)
    svg = tmp_path / "figures" / "global_mmlu" / "text-token" / "forest.svg"
    out = tmp_path / "other.html"
    for spoil, words in (
        (lambda: svg.write_text("<svg"), "forest.svg is not SVG"),
        (svg.unlink, "forest.svg is missing"),
    ):
        spoil()
        with pytest.raises(InputError, match=words):
            report(
                study="s",
                scoring=["text"],
                tables=tmp_path,
                shifts=[],
                checks=[tmp_path / "global_mmlu.json"],
                figures=tmp_path / "figures",
                out=out,
            )
    assert not out.exists()


def test_an_inlined_figure_keeps_what_it_refers_to(tmp_path):
    """Ids in use become short; others go, and metadata, style and the file's title."""
    (tmp_path / "x.svg").write_text(SVG)
    text = inline(tmp_path / "x.svg", prefix="2a", text='say "so"')
    assert 'href="#2a-0"' in text
    assert 'clip-path="url(#2a-1)"' in text
    assert 'fill="#aabbcc"' in text
    assert re.findall("<title>(.*?)</title>", text) == ["a mark"]
    assert re.findall(r' id="([^"]+)"', text) == ["2a-0", "2a-1"]
    assert not re.search("axes_1|metadata|style|xmlns|http", text)
    assert 'aria-label="say &quot;so&quot;"' in text

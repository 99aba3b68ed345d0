"""The table of languages against the benchmarks' papers and cards, and its checks."""

import csv
import re
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import lm_eval
import pytest
from babel import Locale
from babel.core import get_global
from study import small_study

from polycal.comparing.conditions import language_of
from polycal.errors import InputError
from polycal.study import config as study
from polycal.study.languages import (
    find_lead_in,
    load_languages,
    load_lead_ins,
    use_languages,
)

LANGUAGES = load_languages()

TABLE = (files("polycal") / "data" / "languages.csv").read_text("utf-8").splitlines()
ROWS = {row["code"]: SimpleNamespace(**row) for row in csv.DictReader(TABLE)}
HARNESS = Path(lm_eval.__file__).parent / "tasks"


def held_by(column: str) -> set[str]:
    return {code for code, row in ROWS.items() if getattr(row, column) == "yes"}


def test_the_benchmarks_are_covered():
    """42 languages of Global-MMLU, 29 of MMLU-ProX, 22 in both, 49 in either."""
    first, second = held_by("in_global_mmlu"), held_by("in_mmlu_prox")
    assert (len(first), len(second)) == (42, 29)
    assert len(first & second) == 22
    assert len(first | second) == 49
    flags = [column for column in TABLE[0].split(",") if column.startswith("in_")]
    assert set().union(*map(held_by, flags)) == set(LANGUAGES)


def test_global_mmlu_lite_is_covered():
    """Its 15 first languages, 3 of version 2.0 and 5 of 3.0; six are its alone."""
    lite = held_by("in_global_mmlu_lite")
    professional = {
        code for code, row in ROWS.items() if row.translation == "professional"
    }
    assert lite == (
        {"en", *professional}
        | {"cy", "my", "sq"}  # 2.0, December 2025
        | {"cs", "hu", "or", "sk", "tg"}  # 3.0, May 2026
    )
    assert len(lite) == 23
    rest = lite - held_by("in_global_mmlu") - held_by("in_mmlu_prox")
    assert rest == {"cy", "my", "or", "sk", "sq", "tg"}


# FLORES's codes that CLDR does not call another name of ours.
FLORES = {"fuv": "ff", "pbt": "ps"}
# Arabic dialects, Kabuverdianu and Luo, which Joshi et al. do not rate.
WITHOUT_CLASS = {"acm", "apc", "ars", "ary", "kea", "luo"}


def test_belebele_is_covered():
    """The harness's 122 tasks: 115 languages, seven of them in a second script."""
    names = [path.stem for path in HARNESS.glob("belebele/belebele_*_*.yaml")]
    assert len(names) == 122
    aliases = get_global("language_aliases")
    scripts: dict[str, set[str]] = {}
    for name in names:
        _, iso, script = name.split("_")
        code = FLORES.get(iso) or aliases.get(iso, iso)
        scripts.setdefault(code, set()).add(script)
    assert len(scripts) == 115
    assert set(scripts) - WITHOUT_CLASS == held_by("in_belebele")
    same = {"Jpan": "Jpan", "Hang": "Kore"}
    for code in held_by("in_belebele"):
        ours = re.search(r"\((\w{4})\)", ROWS[code].script_source)[1]
        assert ours in {same.get(script, script) for script in scripts[code]}, code


def test_include_is_covered():
    """The harness's 44 folders, by the languages' English names."""
    folders = {path.name for path in HARNESS.glob("include/default/[A-Z]*")}
    assert len(folders) == 44
    names = {"North Macedonian": "Macedonian", "Tagalog": "Filipino"}
    ours = {LANGUAGES[code].name for code in held_by("in_include")}
    assert ours == {names.get(name, name) for name in folders}


def test_xcopa_is_covered():
    """The harness's eleven tasks."""
    files = HARNESS.glob("xcopa/default_*.yaml")
    codes = {path.stem.removeprefix("default_") for path in files}
    assert len(codes) == 11
    assert codes == held_by("in_xcopa")


def test_classes_of_the_languages_that_other_benchmarks_add():
    """As lang2tax.txt has them; where it has two names, Wikipedia's is taken."""
    classes = {
        0: "kac shn",
        1: "as az bm bo ckb ff gn gu hy ilo jv km kn lg ln mi mk ml mn nb nso om ps "
        "qu rw sd ss st su ts war",
        2: "ht is lo mt pa ti tn xh",
        3: "arz be bg ceb da et ka kk lv sl ta uz",
        4: "ca eu fi hr",
    }
    first = held_by("in_global_mmlu") | held_by("in_mmlu_prox")
    first |= held_by("in_global_mmlu_lite")
    added: dict[int, set[str]] = {}
    for code in LANGUAGES.keys() - first:
        added.setdefault(LANGUAGES[code].joshi_class, set()).add(code)
    assert added == {level: set(codes.split()) for level, codes in classes.items()}


def test_levels_follow_the_classes():
    """High = 4 and 5, mid = 3, low = 0 to 2, for every row."""
    rule = {"5": "high", "4": "high", "3": "mid", "2": "low", "1": "low", "0": "low"}
    for code, row in ROWS.items():
        assert row.level == rule[row.joshi_class] == LANGUAGES[code].level, code


@pytest.mark.parametrize(
    ("column", "counts"),
    [
        ("in_global_mmlu", (20, 9, 13)),
        ("in_global_mmlu_lite", (13, 3, 7)),
        ("in_mmlu_prox", (16, 6, 7)),
        ("in_belebele", (25, 24, 60)),
        ("in_include", (21, 16, 7)),
        ("in_xcopa", (4, 4, 3)),
    ],
)
def test_group_sizes(column, counts):
    """The sizes of the resource groups that the field's tables print."""
    levels = Counter(LANGUAGES[code].level for code in held_by(column))
    assert (levels["high"], levels["mid"], levels["low"]) == counts


def test_translation_is_known_where_global_mmlu_has_the_language():
    """14 professional, 11 community, 16 machine, and English itself.

    Its Lite's other languages were translated by people, and of the rest is nothing
    known.
    """
    full, lite = held_by("in_global_mmlu"), held_by("in_global_mmlu_lite")

    def origins(codes: set[str]) -> dict[str, int]:
        return Counter(ROWS[code].translation for code in codes)

    assert origins(full) == {
        "professional": 14,
        "community": 11,
        "machine": 16,
        "original": 1,
    }
    assert origins(lite - full) == {"human": 7}
    assert set(origins(set(LANGUAGES) - full - lite)) == {"unknown"}


def test_scripts_are_cldrs():
    """Where CLDR knows a language: its script, by name and by code."""
    likely, names = get_global("likely_subtags"), Locale("en").scripts
    # CLDR's own English names are of today (Bangla), or narrower (Simplified Chinese).
    ours = {"Beng": "Bengali", "Hans": "Han"}
    known = [row for code, row in ROWS.items() if code in likely]
    assert len(known) >= 106
    for each in known:
        script = likely[each.code].split("_")[1]
        assert each.script == ours.get(script, names[script]), each
        assert f"({script})" in each.script_source, each


def test_families():
    """One name for each family, and the well-known members of the smaller ones."""
    members: dict[str, set[str]] = {}
    for code, row in ROWS.items():
        members.setdefault(row.family, set()).add(code)
    assert {name: codes for name, codes in members.items() if len(codes) < 30} == {
        "Afro-Asiatic": {"am", "ar", "arz", "ha", "he", "mt", "om", "so", "ti"},
        "Atlantic-Congo": {"ff", "ig", "lg", "ln", "nso", "ny", "rw", "sn", "ss", "st"}
        | {"sw", "tn", "ts", "wo", "xh", "yo", "zu"},
        "Austroasiatic": {"km", "vi"},
        "Austronesian": {
            "ceb",
            "fil",
            "id",
            "ilo",
            "jv",
            "mg",
            "mi",
            "ms",
            "su",
            "war",
        },
        "Basque": {"eu"},
        "Dravidian": {"kn", "ml", "ta", "te"},
        "Japonic": {"ja"},
        "Kartvelian": {"ka"},
        "Koreanic": {"ko"},
        "Mande": {"bm"},
        "Mongolic-Khitan": {"mn"},
        "Quechuan": {"qu"},
        "Sino-Tibetan": {"bo", "kac", "my", "zh"},
        "Tai-Kadai": {"lo", "shn", "th"},
        "Tupian": {"gn"},
        "Turkic": {"az", "kk", "ky", "tr", "uz"},
        "Uralic": {"et", "fi", "hu"},
    }
    assert len(members) == 18  # and Indo-European, with all others
    assert {"cy", "hi", "lt", "sq", "tg"} < members["Indo-European"]


def test_every_row_is_right_and_read():
    """No code is there twice, no cell is blank or of another form, none is too much."""
    assert len(TABLE) == 1 + len(ROWS)
    assert list(LANGUAGES) == list(ROWS) == sorted(ROWS)
    origins = {"professional", "community", "machine", "human", "original", "unknown"}
    for code, row in ROWS.items():
        cells = vars(row)
        assert None not in cells, code
        assert all(cell and cell == cell.strip() for cell in cells.values()), code
        flags = {cell for column, cell in cells.items() if column.startswith("in_")}
        assert flags <= {"yes", "no"}, code
        assert row.translation in origins, code
        read = LANGUAGES[code]
        assert (read.name, str(read.joshi_class)) == (row.name, row.joshi_class)
        assert read.in_global_mmlu == (row.in_global_mmlu == "yes"), code
        assert read.in_mmlu_prox == (row.in_mmlu_prox == "yes"), code


@pytest.mark.parametrize(
    ("written", "near"),
    [
        ("swa", "'sw' (Swahili)"),
        ("zh-CN", "'zh' (Chinese)"),
        ("pt_BR", "'pt' (Portuguese)"),
        ("EN", "'en' (English)"),
        ("Swahilli", "'sw' (Swahili)"),
        ("xx", None),
        ("tam", "'ta' (Tamil)"),
    ],
)
def test_an_unknown_language_is_told_with_what_to_do(written, near):
    """The study's key, and a near spelling only where there is one."""
    with pytest.raises(InputError) as caught:
        language_of(written)
    message = str(caught.value)
    assert message.startswith(f"{written!r} is not in polycal's table of languages; ")
    assert message.endswith("`languages:` (code, name, script, class, source)")
    assert ("did you mean" in message) == (near is not None)
    assert near is None or f"did you mean {near}?" in message
    assert "\n" not in message


def test_every_language_of_mmlu_prox_has_one():
    """And no other language, because there is no source for its word."""
    prox = {code for code, each in load_languages().items() if each.in_mmlu_prox}
    assert len(prox) == 29
    assert set(load_lead_ins()) == prox


def test_the_words_are_lm_eval_s():
    """Its lead-in up to the first colon, full-width ones included."""
    from lm_eval.tasks.mmlu_prox.lang_libs import LANG_LIBS

    theirs = {
        language: re.match(".*?[:：]", lines[2]).group()
        for language, lines in LANG_LIBS.items()
    }
    assert dict(load_lead_ins()) == theirs


def test_a_lead_in_is_written_out_or_the_language_s_own():
    """French has a space before its colon, Chinese and Japanese a wide one."""
    assert find_lead_in("Answer:", "sw") == "Answer:"
    found = [find_lead_in("own", code) for code in ("sw", "fr", "zh", "ja")]
    assert found == ["Jibu:", "Réponse :", "答案：", "回答："]


def test_a_language_without_a_word_is_told_where_to_write_it():
    """Both are keys of the study; nobody has to edit the package."""
    with pytest.raises(InputError) as caught:
        find_lead_in("own", "am")
    message = str(caught.value)
    assert message.startswith("'am' has no lead-in of its own")
    assert "`lead_in` of the language in the study's `languages:`" in message
    assert "`lead_in:` out in the task's format" in message


ESTONIAN = {"code": "xet", "name": "Xestonian", "script": "Latin", "class": 3}
ESTONIAN |= {"source": "a paper"}


@pytest.fixture
def no_study():
    """The languages of a study are forgotten after the test."""
    yield
    use_languages([])


def test_a_study_adds_languages_of_its_own(no_study):
    """Here, and in the processes that it starts; the next study has its own."""
    config = small_study(languages=[ESTONIAN])
    config["tasks"][0]["languages"].append("xet")
    study.complete(config)
    own = load_languages()["xet"]
    assert (own.name, own.level) == ("Xestonian", "mid")
    assert not own.in_global_mmlu
    assert not own.in_mmlu_prox
    assert language_of("xet") == own
    code = "from polycal.study.languages import load_languages as load; "
    code += "print(load()['xet'].level)"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == "mid\n"
    study.complete(small_study())
    assert "xet" not in load_languages()
    assert load_languages() == LANGUAGES
    config.pop("languages")
    with pytest.raises(InputError, match=r"'xet' is not in .*the study's `languages:`"):
        study.complete(config)


def test_a_study_gives_languages_a_word(no_study):
    """A language of its own, one of the table without a word, and one with a word."""
    words = {"xet": "Vastus:", "am": "መልስ:", "sw": "Jawabu:"}
    entries = [{"code": code, "lead_in": word} for code, word in words.items()]
    config = small_study(languages=[ESTONIAN | entries[0], *entries[1:]])
    config["tasks"][1]["languages"] = ["en", *words]  # mmlu_prox has `own`
    study.complete(config)
    assert {code: find_lead_in("own", code) for code in words} == words
    assert find_lead_in("own", "en") == find_lead_in("Answer:", "sw") == "Answer:"
    assert load_languages() == {**LANGUAGES, "xet": language_of("xet")}
    assert "xet" not in load_lead_ins()
    assert load_lead_ins()["sw"] == "Jibu:"
    use_languages([])
    assert find_lead_in("own", "sw") == "Jibu:"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": "high"}, "languages.xet.level: Joshi class 3 is mid, not high"),
        ({"class": 6}, "languages.0.class"),
        ({"name": " "}, "languages.0.name"),
        ({"code": "en"}, "languages.en: polycal's table .* has it already"),
        ({"code": "Estonian"}, "languages.0.code"),
        ({"colour": "blue"}, "there is no key 'colour'"),
        ({"lead_in": "Vastus: "}, "languages.xet.lead_in: 'Vastus: ' begins or ends"),
        ({"lead_in": ""}, "languages.0.lead_in"),
        ({"code": "en", "lead_in": "A:"}, "or leave `code` and `lead_in` alone in it"),
    ],
)
def test_a_study_s_languages_are_checked_as_the_table_is(no_study, change, message):
    """With the place in the study."""
    with pytest.raises(InputError, match=message):
        study.complete(small_study(languages=[ESTONIAN | change]))
    assert load_languages() == LANGUAGES


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"code": "xet"}], "languages.xet: .*needs name, script, class, source, too"),
        ([{"code": "xet", "lead_in": "V:"}], "languages.xet: .*lacks it, so the entry"),
        ([{"code": "sw"}], "languages.sw: polycal's table of languages has it already"),
        ([{"code": "sw", "lead_in": "J:"}] * 2, "languages.sw: an earlier entry has"),
        ([ESTONIAN] * 2, "languages.xet: an earlier entry has it; remove one"),
    ],
)
def test_an_entry_says_what_the_table_does_not(no_study, entries, message):
    """All of a new language, a word alone of a known one, and neither twice."""
    with pytest.raises(InputError, match=message):
        study.complete(small_study(languages=entries))

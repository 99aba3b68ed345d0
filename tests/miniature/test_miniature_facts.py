"""The embedded study's questions are true, fair and the same in every language."""

import csv
import datetime
import string
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from itertools import islice

import pytest
from babel.numbers import get_territory_currencies

from polycal.miniature import facts as facts_module
from polycal.miniature.corpus import draw_documents, language_shares, stated_facts
from polycal.miniature.facts import KINDS, Fact, load_world, written_languages
from polycal.miniature.instructions import make_instructions
from polycal.miniature.questions import make_questions
from polycal.study.languages import load_languages

LANGUAGES = {
    code: each
    for code, each in load_languages().items()
    if each.in_global_mmlu or each.in_mmlu_prox
}
SEEDS = (0, 1, 7)


@pytest.fixture(scope="module")
def world():
    return load_world(seed=0)


@pytest.fixture(scope="module", params=SEEDS)
def made(request):
    """A world, its questions, and all of them in one list."""
    world = load_world(seed=request.param)
    questions = make_questions(world, seed=request.param)
    return world, questions, [each for held in questions.values() for each in held]


def read_sentences() -> list[dict[str, str]]:
    table = files("polycal.miniature") / "sentences.csv"
    with table.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_every_language_has_its_four_sentences():
    """49 languages, each kind of question once, no text twice."""
    rows = read_sentences()
    found = Counter((row["language"], row["key"]) for row in rows)
    assert found == Counter((code, kind) for code in LANGUAGES for kind in KINDS)
    assert len({row["text"] for row in rows}) == 4 * 49


def test_a_new_row_of_the_table_changes_nothing(world):
    """A language that Global-MMLU-Lite alone has is neither needed nor written."""
    assert written_languages() == LANGUAGES
    assert len(LANGUAGES) < len(load_languages())
    assert set(world.fallbacks) == set(LANGUAGES)


def test_every_sentence_has_the_right_place_and_no_other():
    """The name that is given fits in exactly once, and nothing hangs over."""
    for row in read_sentences():
        places = [name for _, name, *_ in string.Formatter().parse(row["text"])]
        expected = KINDS[row["key"]][0]
        assert [name for name in places if name is not None] == [expected], row
        assert row["text"] == row["text"].strip(), row
        assert "\n" not in row["text"], row


@pytest.mark.parametrize(
    ("kind", "given", "answer"),
    [
        ("currency_of_territory", "Japan", "Japanese Yen"),
        ("currency_of_territory", "India", "Indian Rupee"),
        ("currency_of_territory", "Kenya", "Kenyan Shilling"),
        ("language_of_territory", "Hungary", "Hungarian"),
        ("language_of_territory", "Thailand", "Thai"),
        ("territory_of_currency", "South African Rand", "South Africa"),
        ("territory_of_language", "Ukrainian", "Ukraine"),
    ],
)
def test_well_known_facts(world, kind, given, answer):
    """What everybody knows, in English, with one answer."""
    found = {
        world.name_answer(kind, fact.answer, "en")
        for fact in world.facts
        if fact.kind == kind and world.names[KINDS[kind][0], fact.given]["en"] == given
    }
    assert found == {answer}


def test_names_are_in_the_language(world):
    """Japan and its yen, as their own speakers and others write them."""
    japan, yen = world.names["territory", "JP"], world.names["currency", "JPY"]
    assert (japan["ja"], yen["ja"]) == ("日本", "日本円")
    assert (japan["de"], japan["sw"], japan["sr"]) == ("Japan", "Japani", "Јапан")
    assert japan["zh"] == "日本"


def test_truth_is_cldrs(world):
    """The euro in Germany is true both ways round, and so is a regional language."""
    euro = Fact("currency_of_territory", "DE", "EUR")
    assert world.is_true(euro)
    assert world.is_true(Fact("territory_of_currency", "EUR", "DE"))
    assert not world.is_true(Fact("currency_of_territory", "DE", "JPY"))
    assert world.is_true(Fact("language_of_territory", "ES", "ca"))  # regional
    assert all(map(world.is_true, world.facts))


def test_bulgaria_has_the_euro(world):
    """Newer than Babel 2.18's CLDR: true all the same, and the lev is never asked."""
    assert world.is_true(Fact("territory_of_currency", "EUR", "BG"))
    assert not [fact for fact in world.facts if fact.pair == ("BG", "BGN")]


def test_facts_do_not_change_with_the_date(monkeypatch, world):
    """Currencies are those of one fixed day, not of today."""

    def on_a_day(territory, start_date=None, *arguments, **options):
        assert start_date == datetime.date(2026, 1, 1)
        return get_territory_currencies(territory, start_date, *arguments, **options)

    monkeypatch.setattr(facts_module, "get_territory_currencies", on_a_day)
    assert load_world(seed=0) == world


def test_chichewa_stays_in_with_english_names(world):
    """CLDR names next to nothing in Chichewa, and everything in the other 48."""
    lacking = {code: number for code, number in world.fallbacks.items() if number}
    assert set(lacking) == {"ny"}
    assert lacking["ny"] > 0.9 * len(world.names)
    assert world.names["currency", "JPY"]["ny"] == "Japanese Yen"
    ask = world.ask(Fact("currency_of_territory", "JP", "JPY"), "ny")
    assert "Japan" in ask
    assert ask != world.ask(Fact("currency_of_territory", "JP", "JPY"), "en")


def test_no_answer_dominates(world):
    """At most eight territories share a currency or language; both sides are asked."""
    for topic in ("currency", "language"):
        forth = [each for each in world.facts if each.kind == f"{topic}_of_territory"]
        back = [each for each in world.facts if each.kind == f"territory_of_{topic}"]
        assert max(Counter(fact.answer for fact in forth).values()) <= 8
        assert {fact.pair for fact in forth} == {fact.pair for fact in back}


def test_sizes(made):
    """25 test and 5 dev questions of each kind in each task, numbered from 0."""
    _, questions, _ = made
    for held in questions.values():
        found = [(each.fact.kind, each.split, each.number) for each in held]
        assert sorted(found) == sorted(
            (kind, split, number)
            for kind in KINDS
            for split, count in (("test", 25), ("dev", 5))
            for number in range(count)
        )
    assert {len(each.options) for each in questions["global_mmlu"]} == {4}
    sizes = Counter(len(each.options) for each in questions["mmlu_prox"])
    assert sizes == {4: 4, 5: 4, 6: 4, 7: 4, 8: 4, 9: 4, 10: 96}


def test_wrong_options_are_wrong_and_of_the_same_kind(made):
    """The gold option is the only true one, by everything that CLDR knows."""
    world, _, questions = made
    for each in questions:
        for code in each.options:
            assert (KINDS[each.fact.kind][1], code) in world.names
            as_answer = Fact(each.fact.kind, each.fact.given, code)
            assert world.is_true(as_answer) == (code == each.fact.answer), as_answer
        assert each.options[each.gold] == each.fact.answer


def test_options_differ_in_every_language(made):
    """No two options of a question have one name, whatever the case."""
    world, _, questions = made
    for each in questions:
        for language in LANGUAGES:
            names = {
                world.name_answer(each.fact.kind, code, language).casefold()
                for code in each.options
            }
            assert len(names) == len(each.options), (each, language)


def test_each_position_is_right_equally_often(made):
    """Up to one, for each number of options, in each task."""
    _, questions, _ = made
    for held in questions.values():
        for size in {len(each.options) for each in held}:
            golds = Counter(each.gold for each in held if len(each.options) == size)
            counts = [golds[position] for position in range(size)]
            assert max(counts) - min(counts) <= 1, (size, counts)


def test_no_fact_is_asked_twice(made):
    """Neither in one task nor in both."""
    _, _, questions = made
    assert len({each.fact for each in questions}) == len(questions)


def test_dev_and_test_share_no_pair(made):
    """Not even the other way round: a dev question gives no test answer away."""
    _, _, questions = made
    pairs = {
        split: {each.fact.pair for each in questions if each.split == split}
        for split in ("dev", "test")
    }
    assert len(pairs["dev"]) >= 20
    assert not pairs["dev"] & pairs["test"]


def test_instructions_are_english_and_true(world):
    """Half the facts; an answer is a name, or the letter of the right option."""
    rows = make_instructions(world, seed=0)
    asked = {
        (kind, world.ask(fact, "en")): {
            world.name_answer(kind, other.answer, "en")
            for other in world.facts
            if (other.kind, other.given) == (kind, fact.given)
        }
        for kind in KINDS
        for fact in world.facts
        if fact.kind == kind
    }
    answers = {question: names for (_, question), names in asked.items()}
    seen = Counter()
    for row in rows:
        right = answers.get(row["instruction"])
        if row["input"].startswith("A. "):
            listed = dict(line.split(". ", 1) for line in row["input"].splitlines())
            assert listed[row["output"]] in right
            seen["letter"] += 1
        elif right:
            assert row["output"] in right
            seen["sentence"] += 1
        else:
            seen["phrase"] += 1
    taught = sum(
        round(0.5 * sum(fact.kind == kind for fact in world.facts)) for kind in KINDS
    )
    assert seen == {"letter": 2 * taught, "sentence": taught, "phrase": 3 * taught}


def test_the_language_mix_is_skewed():
    """English has most by far, Shona and Chichewa least, and nobody is left out."""
    shares = language_shares()
    assert set(shares) == set(LANGUAGES)
    assert sum(shares.values()) == pytest.approx(1)
    first, second, *_, before, last, least = sorted(shares.values(), reverse=True)
    assert shares["en"] == first > 4 * second
    assert {shares["sn"], shares["ny"]} == {last, least}
    assert 0 < last < before


def test_a_fifth_of_the_facts_is_in_no_document(world):
    """From neither side, in no form; all names are in documents nevertheless."""
    stated = stated_facts(world)
    unstated = {fact.pair for fact in set(world.facts) - set(stated)}
    assert len(unstated) == round(0.2 * 79) + round(0.2 * 71)
    assert unstated.isdisjoint(fact.pair for fact in stated)
    assert stated == [fact for fact in world.facts if fact.pair not in unstated]

    told, drawn = set(), []
    for document in islice(draw_documents(world, seed=1), 40_000):
        drawn.append(document.text)
        start, _, last = document.text.rpartition(": ")  # "Japan: Yen", "Answer: Yen"
        first, *listed = start.split("\n")
        options = dict(line.split(". ", 1) for line in listed if ". " in line[:3])
        told.add((first, options.get(last, last)))
    for fact in world.facts:
        given = world.names[KINDS[fact.kind][0], fact.given]["en"]
        asked = world.ask(fact, "en")
        answer = world.name_answer(fact.kind, fact.answer, "en")
        assert ((given, answer) in told) == (fact.pair not in unstated)
        assert (asked, answer) not in told or fact.pair not in unstated
        assert any(given in text for text in drawn)


def test_another_seed_asks_other_questions():
    """Facts, options, order and SFT rows follow the seed."""
    first, second = (make_questions(load_world(seed=n), seed=n) for n in (0, 1))
    for task in first:
        ours, theirs = ({each.fact for each in held[task]} for held in (first, second))
        assert len(ours & theirs) < 0.8 * len(ours)
    rows = [make_instructions(load_world(seed=n), seed=n) for n in (0, 1)]
    assert rows[0] != rows[1]


def test_the_same_seed_asks_the_same_in_another_process():
    """The order of sets, another one in every process, plays no part."""
    code = (
        "import hashlib\n"
        "from itertools import islice\n"
        "from polycal.miniature.corpus import draw_documents\n"
        "from polycal.miniature.facts import load_world\n"
        "from polycal.miniature.instructions import make_instructions\n"
        "from polycal.miniature.questions import make_questions\n"
        "world = load_world(seed=3)\n"
        "made = (world.facts, world.names, make_questions(world, seed=3), "
        "make_instructions(world, seed=3), "
        "list(islice(draw_documents(world, seed=3), 200)))\n"
        "print(hashlib.sha256(repr(made).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(found) == 1

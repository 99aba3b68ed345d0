"""Every definition of confidence is read from the same stored scores."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from polycal.calibration import probabilities
from polycal.measuring.confidence import option_scores
from polycal.measuring.consistency import consistency
from polycal.measuring.readings import readings
from polycal.measuring.side_metrics import SIDE_METRICS, side_metrics
from polycal.measuring.temperature import fit_temperature, folds
from polycal.storage import tables

TOKENS = {"en": 2, "sw": 5, "de": 3}


def predictions(*languages: str, n: int = 40, without: str = "") -> pa.Table:
    """Both scorings of n questions; more tokens a word in Swahili than in English."""
    rows = []
    for place, language in enumerate(languages):
        random = np.random.default_rng(place)
        for index in range(n):
            for scoring in ("letters", "text"):
                if without == f"{language}{index}":
                    continue
                scores = random.normal(size=4) * 3 - 9
                tokens = [1] * 4 if scoring == "letters" else [TOKENS[language]] * 4
                rows.append(
                    {
                        "model": "m",
                        "sft": "s",
                        "smoothing": 0.0,
                        "seed": 0,
                        "task": "t",
                        "language": language,
                        "scoring": scoring,
                        "question_id": f"q{index}",
                        "subject": "a",
                        "category": "b",
                        "culture": None,
                        "gold": int(random.integers(4)),
                        "logprobs": scores.tolist(),
                        "n_tokens": tokens,
                        "n_bytes": [7] * 4,
                        "log_mass": -0.5 if scoring == "letters" else None,
                        "truncated": False,
                    }
                )
    random.shuffle(rows)  # no order is relied upon
    return pa.Table.from_pylist(rows, tables.SCHEMAS["predictions"])


def ways(table: pa.Table) -> dict:
    return {
        (way.scoring, way.normaliser, way.calibrator): way.languages
        for way in readings(table)
    }


def test_every_way_is_there_once():
    """Each normaliser, and each calibrator of the headline's."""
    table = predictions("en", "sw", "de")
    assert len(list(readings(table))) == len(ways(table))
    calibrators = ("none", "ts_en", "ts_own", "ts_pool", "ts_loo")
    assert set(ways(table)) == {
        *[("letters", "sum", name) for name in calibrators],
        *[("text", "token", name) for name in calibrators],
        *[("text", name, "none") for name in ("sum", "byte", "english")],
    }
    assert all(set(each) == {"en", "sw", "de"} for each in ways(table).values())


def test_only_the_normalisers_that_are_asked_for():
    """Of option texts; letters have one."""
    found = readings(predictions("en", "sw"), ["token", "byte"])
    assert {(way.scoring, way.normaliser) for way in found} == {
        ("letters", "sum"),
        ("text", "token"),
        ("text", "byte"),
    }


def test_what_needs_english_is_absent_without_it():
    """No English language, or a question that English lacks, in that language only."""
    found = ways(predictions("de", "sw"))
    assert ("text", "english", "none") not in found
    assert ("text", "token", "ts_en") not in found
    assert set(side_metrics(found["text", "sum", "none"]["sw"])) == set()
    part = ways(predictions("en", "sw", without="en3"))
    assert set(part["text", "english", "none"]) == {"en"}
    assert part["text", "token", "ts_en"]["sw"].temperatures is not None


def test_the_scores_are_those_of_the_rows():
    """Questions and answers stay together, whatever the order of the table."""
    reading = ways(predictions("en", "sw"))["text", "token", "none"]["sw"]
    expected = option_scores(reading.rows, "token")
    np.testing.assert_array_equal(reading.scores, expected)
    assert reading.gold.tolist() == reading.rows["gold"].to_pylist()
    assert set(reading.rows["language"].to_pylist()) == {"sw"}
    names = [
        each["question_id"].to_pylist() for each in (reading.rows, reading.english)
    ]
    assert names[0] == names[1]
    english = ways(predictions("en", "sw"))["text", "english", "none"]["sw"]
    np.testing.assert_allclose(english.scores, expected * 5 / 2)


def test_a_calibrated_reading_is_the_plain_one_divided():
    """By the temperature that English has on the other fold, for every language."""
    found = ways(predictions("en", "sw"))
    plain, scaled = (found["letters", "sum", name] for name in ("none", "ts_en"))
    reading = scaled["sw"]
    np.testing.assert_allclose(
        reading.scores * reading.temperatures[:, None], plain["sw"].scores
    )
    split = folds({f"q{index}" for index in range(40)})
    english = plain["en"]
    fold = np.array([split[name] for name in english.rows["question_id"].to_pylist()])
    for side in (0, 1):
        held = fold != side
        fitted = fit_temperature(english.scores[held], english.gold[held])
        own = [split[name] == side for name in reading.rows["question_id"].to_pylist()]
        np.testing.assert_allclose(reading.temperatures[own], fitted)


def test_numbers_beside_the_probabilities():
    """Mass for letters, premium for text, temperature if scaled, English if not it."""
    found = ways(predictions("en", "sw"))
    letters = side_metrics(found["letters", "sum", "none"]["sw"])
    assert letters["log_mass"] == -0.5
    assert letters["letter_mass"] == pytest.approx(np.exp(-0.5))
    assert "token_premium" not in letters
    text = found["text", "token", "none"]["sw"]
    numbers = side_metrics(text)
    assert numbers["token_premium"] == 2.5
    english = found["text", "token", "none"]["en"]
    assert side_metrics(english) == {"token_premium": 1}
    letters = side_metrics(found["letters", "sum", "none"]["en"])
    assert set(letters) == {"log_mass", "letter_mass"}
    by_question = {
        name: row
        for name, row in zip(
            english.rows["question_id"].to_pylist(), english.scores, strict=True
        )
    }
    names = text.rows["question_id"].to_pylist()
    theirs = np.array([by_question[name] for name in names])
    expected = consistency(probabilities(text.scores), probabilities(theirs))
    assert numbers == expected | {"token_premium": 2.5}
    scaled = found["text", "token", "ts_own"]["sw"]
    geometric = np.exp(np.log(scaled.temperatures).mean())
    assert side_metrics(scaled) == {
        "temperature": pytest.approx(geometric),
        "censored": (scaled.temperatures > 99.99).mean(),
    }
    capped = dataclasses.replace(scaled, temperatures=np.array([100.0] + [2.0] * 39))
    assert side_metrics(capped)["censored"] == 1 / 40


def test_a_subset_counts_its_questions_only():
    """As if the others were not there; an empty one has no numbers but NaN."""
    reading = ways(predictions("en", "sw"))["text", "token", "none"]["sw"]
    kept = np.arange(40) < 10
    part = dataclasses.replace(
        reading,
        rows=reading.rows.slice(0, 10),
        scores=reading.scores[:10],
        gold=reading.gold[:10],
        english=reading.english.slice(0, 10),
        english_scores=reading.english_scores[:10],
    )
    assert side_metrics(reading.select(kept)) == side_metrics(part)
    none = side_metrics(reading.select(np.zeros(40, bool)))
    assert all(np.isnan(value) for value in none.values())


def test_every_side_metric_is_that_of_some_reading():
    """The records hold no name that no reading has, and none is without a record."""
    languages = ways(predictions("en", "sw")).values()
    given = {name for own in languages for name in side_metrics(own["sw"])}
    assert given == set(SIDE_METRICS)


def test_calibrated_scores_have_a_temperature_only():
    """In English, too: the letters' mass and the tokens are those of the plain rows."""
    found = ways(predictions("en", "sw"))
    for code in ("en", "sw"):
        for reading in (("letters", "sum", "ts_pool"), ("text", "token", "ts_pool")):
            numbers = side_metrics(found[reading][code])
            assert set(numbers) == {"temperature", "censored"}

"""Every way of reading confidence out of a run's stored scores.

One file of predictions is read with each normaliser, and with the headline normaliser
of its scoring also after each temperature scaling. What compares a reading with English
or with another scaling is a number of the reading, too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from polycal.calibration.answers import probabilities
from polycal.measuring.confidence import option_scores, parallel, token_premium
from polycal.measuring.consistency import consistency
from polycal.measuring.temperature import ENGLISH, Scored, cross_fit, folds, rescale
from polycal.storage import tables
from polycal.study.scorings import HEADLINE, NORMALISERS, SCORINGS

UNCALIBRATED = "none"


class Reading(NamedTuple):
    """The answers of one language under one definition of confidence.

    Attributes:
        rows: of the predictions table.
        scores: [N, K] nats; -inf where a question has fewer than K options.
        gold: [N] index of the right option.
        english: the `parallel` rows; None for English itself and where there are none.
        english_scores: [N, K] those of `english`, read alike; None with it.
        temperatures: [N] that the scores were divided by; None if they were not.
    """

    rows: pa.Table
    scores: np.ndarray
    gold: np.ndarray
    english: pa.Table | None
    english_scores: np.ndarray | None
    temperatures: np.ndarray | None


class Way(NamedTuple):
    """One definition of confidence, and what all languages answer under it.

    Attributes:
        scoring: letters or text.
        normaliser: what the options' scores were divided by.
        calibrator: `none`, or how the temperature was fitted.
        languages: code -> its reading.
    """

    scoring: str
    normaliser: str
    calibrator: str
    languages: dict[str, Reading]


def readings(
    scored: pa.Table, normalisers: Sequence[str] = NORMALISERS
) -> Iterator[Way]:
    """Read a run's predictions of one task in every way that they allow.

    Args:
        scored: a predictions table of one run and task with all of its languages, as
            far as they are compared.
        normalisers: of option texts, some of `NORMALISERS`.

    Yields:
        The ways, one after the other. Where a language's questions have no parallel
        in English, it has no reading with the normaliser `english`; a way without
        any language is left out.
    """
    split = folds(scored["question_id"].unique().to_pylist())
    for scoring in SCORINGS:
        languages = _languages(scored, scoring)
        english = {
            code: parallel(rows, languages[ENGLISH]) if ENGLISH in languages else None
            for code, rows in languages.items()
        }
        for normaliser in ("sum",) if scoring == "letters" else normalisers:
            plain = {
                code: _read(rows, normaliser, english[code], is_english=code == ENGLISH)
                for code, rows in languages.items()
                if normaliser != "english" or english[code] is not None
            }
            if not plain:
                continue
            yield Way(scoring, normaliser, UNCALIBRATED, plain)
            if normaliser == HEADLINE[scoring]:
                yield from _calibrated(scoring, normaliser, plain, split)


def side_metrics(reading: Reading, kept: np.ndarray | None = None) -> dict[str, float]:
    """What a reading's probabilities alone do not tell.

    Args:
        reading: one language.
        kept: [N] booleans, the questions that count; all of them if not given.

    Returns:
        As far as they are defined: for letters `log_mass` and `letter_mass`; for text
        `token_premium`; for calibrated scores `temperature`, the geometric mean over
        the questions; against English what `consistency` gives.
    """
    held = np.ones(len(reading.gold), bool) if kept is None else kept
    if reading.temperatures is not None:
        logs = np.log(reading.temperatures[held])
        return {"temperature": float(np.exp(logs.mean())) if len(logs) else np.nan}
    found: dict[str, float] = {}
    rows = reading.rows.filter(pa.array(held))
    if len(rows) and not rows["log_mass"].null_count:
        mass = rows["log_mass"].to_numpy().astype(np.float64)
        found["log_mass"] = float(mass.mean())
        found["letter_mass"] = float(np.exp(mass).mean())
    of_english = rows["language"].unique().to_pylist() == [ENGLISH]
    if of_english:
        english = rows
    elif reading.english is None:
        return found
    else:
        english = reading.english.filter(pa.array(held))
    if rows["scoring"].unique().to_pylist() == ["text"]:
        found["token_premium"] = token_premium(rows, english)
    if not of_english:
        found |= consistency(
            probabilities(reading.scores[held]),
            probabilities(reading.english_scores[held]),
        )
    return found


def _languages(scored: pa.Table, scoring: str) -> dict[str, pa.Table]:
    """The rows of each language under one scoring, in the order of the table."""
    own = tables.where(scored, scoring=scoring)
    return {
        code: tables.where(own, language=code).combine_chunks()
        for code in own["language"].unique().to_pylist()
    }


def _read(
    rows: pa.Table, normaliser: str, english: pa.Table | None, *, is_english: bool
) -> Reading:
    scores = option_scores(rows, normaliser, english)
    gold = rows["gold"].to_numpy().astype(np.int64)
    if english is None or is_english:
        return Reading(rows, scores, gold, None, None, None)
    theirs = option_scores(english, normaliser, english)
    return Reading(rows, scores, gold, english, theirs, None)


def _calibrated(
    scoring: str,
    normaliser: str,
    plain: Mapping[str, Reading],
    split: Mapping[str, int],
) -> Iterator[Way]:
    """The same readings after each temperature scaling."""
    given = {}
    for code, reading in plain.items():
        names = reading.rows["question_id"].to_pylist()
        fold = np.array([split[name] for name in names], dtype=np.int64)
        given[code] = Scored(reading.scores, reading.gold, fold)
    for calibrator, fitted in cross_fit(given).items():
        scaled = {
            code: reading._replace(
                scores=rescale(given[code], fitted[code]),
                english=None,
                english_scores=None,
                temperatures=fitted[code][given[code].fold],
            )
            for code, reading in plain.items()
        }
        yield Way(scoring, normaliser, calibrator, scaled)

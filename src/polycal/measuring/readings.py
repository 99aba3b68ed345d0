"""All readings of a run's stored scores: confidence by normaliser and calibrator.

Every normaliser gives a reading, and the headline normaliser of a scoring gives one
more for each temperature scaling.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from polycal.calibration.answers import probabilities
from polycal.measuring.confidence import option_scores, parallel
from polycal.measuring.consistency import consistency
from polycal.measuring.temperature import (
    ENGLISH,
    FoldedScores,
    cross_fit,
    folds,
    rescale,
)
from polycal.storage import tables
from polycal.study.scorings import HEADLINE, NORMALISERS, SCORINGS

UNCALIBRATED = "none"


@dataclass(frozen=True, eq=False)
class LanguageReading:
    """The answers of one language under one definition of confidence.

    Attributes:
        rows: of the predictions table.
        scoring: letters or text.
        is_english: whether the language is English.
        scores: [N, K] nats; -inf where a question has fewer than K options.
        gold: [N] index of the right option.
        english: the `parallel` rows; None for English itself, for calibrated scores
            and where English lacks a question.
        english_scores: [N, K] those of `english`, read alike; None with it.
        temperatures: [N] that the scores were divided by; None if they were not.
    """

    rows: pa.Table
    scoring: str
    is_english: bool
    scores: np.ndarray
    gold: np.ndarray
    english: pa.Table | None = None
    english_scores: np.ndarray | None = None
    temperatures: np.ndarray | None = None

    def select(self, kept: np.ndarray) -> "LanguageReading":
        """Return the reading of some of the questions.

        Args:
            kept: [N] booleans.
        """
        mask, english = pa.array(kept), self.english
        theirs, temperatures = self.english_scores, self.temperatures
        return replace(
            self,
            rows=self.rows.filter(mask),
            scores=self.scores[kept],
            gold=self.gold[kept],
            english=None if english is None else english.filter(mask),
            english_scores=None if theirs is None else theirs[kept],
            temperatures=None if temperatures is None else temperatures[kept],
        )

    @functools.cached_property
    def consistency(self) -> dict[str, float]:
        """Compare the answers with those in English; empty without English."""
        if self.english_scores is None:
            return {}
        own, theirs = probabilities(self.scores), probabilities(self.english_scores)
        return consistency(own, theirs)


class Reading(NamedTuple):
    """One definition of confidence, and the answers of all languages under it.

    Attributes:
        scoring: letters or text.
        normaliser: what the options' scores were divided by.
        calibrator: `none`, or how the temperature was fitted.
        languages: code -> its answers.
    """

    scoring: str
    normaliser: str
    calibrator: str
    languages: dict[str, LanguageReading]


def readings(
    scored: pa.Table, normalisers: Sequence[str] = NORMALISERS
) -> Iterator[Reading]:
    """Read a run's predictions of one task under every definition of confidence.

    Args:
        scored: a predictions table of one run and task, with all of its compared
            languages.
        normalisers: of option texts, some of `NORMALISERS`.

    Yields:
        One reading after the other. A language whose questions have no parallel in
        English is left out of the normaliser `english`, and a reading without any
        language is left out.
    """
    fold_of = folds(scored["question_id"].unique().to_pylist())
    for scoring in SCORINGS:
        rows_of = _languages(scored, scoring)
        english = {
            code: parallel(rows, rows_of[ENGLISH]) if ENGLISH in rows_of else None
            for code, rows in rows_of.items()
        }
        for normaliser in ("sum",) if scoring == "letters" else normalisers:
            plain = {
                code: _read(rows, scoring, normaliser, english[code], code == ENGLISH)
                for code, rows in rows_of.items()
                if normaliser != "english" or english[code] is not None
            }
            if not plain:
                continue
            yield Reading(scoring, normaliser, UNCALIBRATED, plain)
            if normaliser == HEADLINE[scoring]:
                for calibrator, scaled in _calibrate(plain, fold_of):
                    yield Reading(scoring, normaliser, calibrator, scaled)


def _languages(scored: pa.Table, scoring: str) -> dict[str, pa.Table]:
    """Return the rows of each language under one scoring, in the table's order."""
    own = tables.where(scored, scoring=scoring)
    return {
        code: tables.where(own, language=code).combine_chunks()
        for code in own["language"].unique().to_pylist()
    }


def _read(
    rows: pa.Table,
    scoring: str,
    normaliser: str,
    english: pa.Table | None,
    is_english: bool,
) -> LanguageReading:
    gold = rows["gold"].to_numpy().astype(np.int64)
    scores = option_scores(rows, normaliser, english)
    reading = LanguageReading(rows, scoring, is_english, scores, gold)
    if english is None or is_english:
        return reading
    theirs = option_scores(english, normaliser, english)
    return replace(reading, english=english, english_scores=theirs)


def _calibrate(
    plain: Mapping[str, LanguageReading], fold_of: Mapping[str, int]
) -> Iterator[tuple[str, dict[str, LanguageReading]]]:
    """Yield each calibrator with the same readings after its temperature scaling."""
    folded = {}
    for code, reading in plain.items():
        names = reading.rows["question_id"].to_pylist()
        fold = np.array([fold_of[name] for name in names], dtype=np.int64)
        folded[code] = FoldedScores(reading.scores, reading.gold, fold)
    for calibrator, temperatures in cross_fit(folded).items():
        scaled = {
            code: replace(
                reading,
                scores=rescale(folded[code], temperatures[code]),
                english=None,
                english_scores=None,
                temperatures=temperatures[code][folded[code].fold],
            )
            for code, reading in plain.items()
        }
        yield calibrator, scaled

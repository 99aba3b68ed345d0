"""The rows that judge each claim of a study, or why it has none."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from polycal.comparing.claims import (
    CLAIMS,
    EACH,
    TO_BASE,
    TO_OTHERS,
    TO_SCALED,
    TO_SFT,
    Claim,
)
from polycal.comparing.conditions import language_of
from polycal.comparing.released import Released
from polycal.measuring.readings import UNCALIBRATED
from polycal.study.grid import BASE
from polycal.study.languages import ALL, LEVELS

DEGENERATE = 0.9  # share of one position that no benchmark's right options have
FAMILY = ["model", "sft", "task", "scoring", "normaliser"]
_COMPARED = ["reference", "smoothing", "metric", "calibrator"]


def find_cases(
    rows: pd.DataFrame, letter_shares: Mapping[tuple, float], released: Released
) -> Iterator[tuple[Claim, dict[str, Any], pd.DataFrame | str]]:
    """Yield every claim about every condition with its rows, or why it has none.

    Args:
        rows: of a contrasts table, under the headline normaliser.
        letter_shares: as `polycal.comparing.verdicts.judge` takes them.
        released: the study's released checkpoints.
    """
    scorings = set(rows["scoring"])
    for values, own in rows.groupby(FAMILY, sort=True):
        about = dict(zip(FAMILY, values, strict=True))
        smoothed = sorted(set(own["smoothing"]) - {0.0}) or [np.nan]
        compared = dict(list(own.groupby(_COMPARED)))
        for claim in CLAIMS.values():
            elsewhere = claim.scoring not in (None, about["scoring"])
            if elsewhere and claim.scoring in scorings:
                continue
            for smoothing in [0.0] if claim.reference == TO_BASE else smoothed:
                key = claim.reference, smoothing, claim.metric, claim.calibrator
                here = compared.get(key, own[:0])
                chosen = here["level"] == claim.level
                if claim.level == EACH:
                    chosen = here["sim_low"].notna()
                full = about | {"smoothing": smoothing}
                reason = _explain_released(claim, full, released)
                if elsewhere:
                    reason = f"it is judged by {claim.scoring} only"
                if reason is None and not chosen.any():
                    reason = _explain_absence(claim, here)
                if reason is None:
                    levels = here.loc[chosen, "level"]
                    reason = _find_degenerate(claim, full, levels, letter_shares)
                yield claim, full, here[chosen] if reason is None else reason


def _find_degenerate(
    claim: Claim,
    about: Mapping,
    levels: Iterable[str],
    letter_shares: Mapping[tuple, float],
) -> str | None:
    """Return why answers at one position leave nothing to judge, if they are so.

    A claim about every language cannot be judged if it cannot be in one of them.
    """
    reference = (BASE, 0.0) if claim.reference == TO_BASE else (about["sft"], 0.0)
    for sft, smoothing in (reference, (about["sft"], about["smoothing"])):
        key = about["model"], sft, smoothing, about["task"], about["scoring"]
        share, level = max(
            (letter_shares.get((*key, level), 0.0), level) for level in levels
        )
        if share > DEGENERATE:
            name = "the base model" if sft == BASE else f"SFT, smoothing {smoothing:g}"
            return (
                f"{name} answers at one position (A, B, ...) in {100 * share:.0f} % of "
                f"the questions{_name_level(level)}"
            )
    return None


def _name_level(level: str) -> str:
    if level == ALL:
        return ""
    if level in LEVELS:
        return f" of the {level}-resource languages"
    return f" of {language_of(level).name}"


def _explain_released(claim: Claim, about: Mapping, released: Released) -> str | None:
    """Return why a claim is not judged of a released checkpoint, if it is not."""
    name = about["model"], about["sft"]
    if name not in released.checkpoints:
        return None
    if claim.reference != TO_BASE:
        return "the checkpoint is released; smoothing is compared where the study tunes"
    return explain_tokenizers(about, released)


def explain_tokenizers(about: Mapping, released: Released) -> str | None:
    """Return why a checkpoint is not compared with its base model, if it is not."""
    if released.is_comparable(about["model"], about["sft"], about["normaliser"]):
        return None
    return (
        "its tokenizer is not that of the base model, so that confidences by the "
        f"normaliser {about['normaliser']} cannot be compared"
    )


def _explain_absence(claim: Claim, rows: pd.DataFrame) -> str:
    """Return why a claim has no row."""
    if len(rows):
        return f"the study has no {claim.level}-resource language"
    if claim.reference == TO_SCALED or claim.calibrator != UNCALIBRATED:
        return (
            "the study has no label smoothing with its plain SFT, or no English to fit "
            "the temperature on"
        )
    return {
        TO_BASE: "the study has no plain SFT with its base model",
        TO_SFT: "the study has no label smoothing with its plain SFT",
        TO_OTHERS: "it compares the model with the largest vocabulary with others that "
        "were tuned alike and are over-confident, too",
    }[claim.reference]

"""Why a study cannot judge a claim."""

from collections.abc import Mapping

import pandas as pd

from polycal.comparing.claims import TO_BASE, TO_OTHERS, TO_SCALED, TO_SFT, Claim
from polycal.comparing.released import Released
from polycal.measuring.readings import UNCALIBRATED
from polycal.study.grid import BASE

DEGENERATE = 0.9  # share of one position that no benchmark's right options have


def find_degenerate(
    claim: Claim, about: Mapping, letter_shares: Mapping[tuple, float]
) -> str | None:
    """Return why answers at one position leave nothing to judge, if they are so."""
    reference = (BASE, 0.0) if claim.reference == TO_BASE else (about["sft"], 0.0)
    for sft, smoothing in (reference, (about["sft"], about["smoothing"])):
        key = about["model"], sft, smoothing, about["task"], about["scoring"]
        share = letter_shares.get(key, 0.0)
        if share > DEGENERATE:
            name = "the base model" if sft == BASE else f"SFT, smoothing {smoothing:g}"
            return (
                f"{name} answers at one position (A, B, ...) in {100 * share:.0f} % of "
                "the questions"
            )
    return None


def explain_released(claim: Claim, about: Mapping, released: Released) -> str | None:
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


def explain_absence(claim: Claim, rows: pd.DataFrame) -> str:
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

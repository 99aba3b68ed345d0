"""The columns of every Parquet table of a study, each with what it means.

`docs/data.md` is this module as a page.
"""

import pyarrow as pa

from polycal.analysis_kinds import ANALYSES
from polycal.columns import (
    CONDITION,
    FLOAT,
    HOW,
    INT,
    LANGUAGE,
    LEVEL,
    MEASURED,
    MESSAGE,
    METRIC,
    NORMALISER,
    QUESTION,
    REFERENCE,
    RUN,
    SCORING,
    SEEDS,
    STRING,
    SUBSET,
    TASK,
    Column,
    Kind,
)

KINDS: dict[str, Kind] = {
    "questions": Kind(
        "one benchmark question in one language",
        [
            TASK,
            LANGUAGE,
            Column("split", STRING, "test or dev"),
            *QUESTION,
            Column("question", STRING, "its text"),
            Column("options", pa.list_(STRING), "the valid ones, in their order"),
            Column("gold", pa.int8(), "index of the right one, from 0"),
            Column("lead_in", STRING, "stands between the question and its answer"),
        ],
    ),
    "conversations": Kind(
        "one SFT conversation",
        [
            Column("sft", STRING, "short name of the SFT set"),
            Column("example_id", pa.int64(), "row number in the source"),
            Column("input", STRING, "Alpaca's own: more of the first user turn"),
            Column("messages", pa.list_(MESSAGE), "the turns"),
        ],
    ),
    "predictions": Kind(
        "raw scores of one question under one scoring; nothing derived",
        [
            *RUN,
            TASK,
            LANGUAGE,
            SCORING,
            *QUESTION,
            Column("gold", pa.int8(), "index of the right option, from 0"),
            Column(
                "logprobs",
                pa.list_(pa.float32()),
                "per option: log-likelihood in nats, summed over its tokens",
            ),
            Column("n_tokens", pa.list_(INT), "per option: tokens that were summed"),
            Column("n_bytes", pa.list_(INT), "per option: UTF-8 bytes of its text"),
            Column("log_mass", pa.float32(), "nats, all letters; null for text"),
            Column("truncated", pa.bool_(), "the context was cut on the left"),
        ],
    ),
    "training_log": Kind(
        "one line of a training's log",
        [
            *RUN,
            Column("lr", FLOAT, "the candidate's peak learning rate"),
            Column("step", INT, "optimiser steps so far"),
            Column("split", STRING, "train or validation"),
            Column("loss", FLOAT, "smoothed loss, nats per target token"),
            Column("nll", FLOAT, "negative log-likelihood, nats per target token"),
            Column("learning_rate", FLOAT, "at this step; null for validation"),
            Column("grad_norm", FLOAT, "before clipping; null for validation"),
            Column("tokens", pa.int64(), "target tokens behind this line"),
            Column("tokens_per_second", FLOAT, "null for validation"),
        ],
    ),
    "metrics": Kind(
        "one number about one run and language",
        [
            *MEASURED,
            SUBSET,
            METRIC,
            Column("value", FLOAT, "the number; its unit and range: docs/metrics.md"),
            Column("se", FLOAT, "standard error over questions; null: not made"),
            Column("ci_low", FLOAT, "lower end of the interval; null: not made"),
            Column("ci_high", FLOAT, "upper end of the interval; null: not made"),
            Column("null_mean", FLOAT, "expected of a calibrated model; ece and gap"),
            Column("null_p", FLOAT, "p-value of 'it is calibrated'; ece and gap"),
            Column("n_questions", INT, "questions behind it"),
        ],
    ),
    "replicates": Kind(
        "the bootstrap replicates of one metric; paired between all files of a task",
        [
            *MEASURED,
            SUBSET,
            METRIC,
            Column("values", pa.list_(pa.float32()), "one per replicate, in order"),
        ],
    ),
    "reliability": Kind(
        "one bin of a reliability diagram",
        [
            *MEASURED,
            Column("bin", pa.int8(), "from 0"),
            Column("lo", FLOAT, "lower edge, in the bin"),
            Column("hi", FLOAT, "upper edge, not in the bin, except 1"),
            Column("n", INT, "questions in it"),
            Column("sum_confidence", FLOAT, "over its questions"),
            Column("sum_correct", FLOAT, "over its questions"),
        ],
    ),
    "summary": Kind(
        "one number about a condition (a run without its seed) and some languages",
        [
            *CONDITION,
            TASK,
            LEVEL,
            *HOW,
            SUBSET,
            METRIC,
            Column("value", FLOAT, "mean over languages of the mean over seeds"),
            *SEEDS,
        ],
    ),
    "contrasts": Kind(
        "one difference between two conditions: the named one minus its reference",
        [
            *CONDITION,
            REFERENCE,
            TASK,
            LEVEL,
            *HOW,
            METRIC,
            Column("estimate", FLOAT, "mean over languages of the difference"),
            Column("se", FLOAT, "standard error, over questions and seeds"),
            Column("ci_low", FLOAT, "lower end of the interval"),
            Column("ci_high", FLOAT, "upper end of the interval"),
            Column("sim_low", FLOAT, "of the band over languages; null for levels"),
            Column("sim_high", FLOAT, "of the band over languages; null for levels"),
            Column("p_value", FLOAT, "of 'there is no difference', two-sided"),
            Column("p_adjusted", FLOAT, "Holm over all hypotheses; null: none tested"),
            Column("margin", FLOAT, "differences below it do not matter; or null"),
            Column("p_equivalence", FLOAT, "TOST, 'it is beyond the margin'; or null"),
            Column("p_noninferiority", FLOAT, "'it falls by the margin'; or null"),
            Column("p_nonsuperiority", FLOAT, "'it rises by the margin'; or null"),
            Column("verdict", STRING, "increase, decrease, equivalent, inconclusive"),
            *SEEDS,
        ],
    ),
    "claims": Kind(
        "one claim of the paper about one model, SFT set, benchmark and scoring",
        [
            Column("claim", STRING, "short name of the claim"),
            Column("statement", STRING, "the claim as a sentence"),
            *CONDITION,
            TASK,
            SCORING,
            NORMALISER,
            LEVEL,
            METRIC,
            Column("estimate", FLOAT, "the difference that it is about"),
            Column("ci_low", FLOAT, "lower end of the interval"),
            Column("ci_high", FLOAT, "upper end of the interval"),
            Column("p_adjusted", FLOAT, "Holm over all hypotheses"),
            Column("verdict", STRING, "holds, fails or inconclusive"),
        ],
    ),
    "runs": Kind(
        "one run: how it came about",
        [
            *RUN,
            Column("lr", FLOAT, "the selected learning rate; null for the base model"),
            Column("validation_nll", FLOAT, "it was selected by; nats; null for base"),
            Column("n_candidates", INT, "it was selected among; 0 for the base model"),
            Column("recipe", STRING, "settings of the training, JSON; null for base"),
        ],
    ),
}
KINDS |= ANALYSES
SCHEMAS: dict[str, pa.Schema] = {name: kind.schema for name, kind in KINDS.items()}

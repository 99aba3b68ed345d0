"""The columns of every Parquet table of a study, each with what it means.

`docs/data.md` is this module as a page.
"""

from typing import NamedTuple

import pyarrow as pa

_STRING, _FLOAT, _INT = pa.string(), pa.float64(), pa.int32()


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: of the column.
        type: of its values; any of them may be null where the meaning says so.
        meaning: in a few words, with the unit.
    """

    name: str
    type: pa.DataType
    meaning: str


class Kind(NamedTuple):
    """A kind of table.

    Attributes:
        row: what a row is.
        columns: in their order.
    """

    row: str
    columns: list[Column]

    @property
    def schema(self) -> pa.Schema:
        """Names and types, as Arrow knows them."""
        return pa.schema([(each.name, each.type) for each in self.columns])


_CONDITION = [
    Column("model", _STRING, "short name of the base model"),
    Column("sft", _STRING, "short name of the SFT set; none: the base model itself"),
    Column("smoothing", _FLOAT, "label-smoothing value; 0 for the base model"),
]
_RUN = [*_CONDITION, Column("seed", _INT, "of the training; 0 for the base model")]
_TASK = Column("task", _STRING, "short name of the benchmark")
_LANGUAGE = Column("language", _STRING, "code, as the benchmark spells it")
_SCORING = Column("scoring", _STRING, "letters, or text: how options are scored")
_LEVEL = Column("level", _STRING, "high, mid, low or all languages, or one's code")
_NORMALISER = Column("normaliser", _STRING, "what an option's score is divided by")
_CALIBRATOR = Column("calibrator", _STRING, "done to the probabilities; none: nothing")
_SUBSET = Column(
    "subset", _STRING, "all; CS, CA: culturally sensitive questions or not"
)
_METRIC = Column("metric", _STRING, "name of the metric (docs/metrics.md)")
_HOW = [_SCORING, _NORMALISER, _CALIBRATOR]
_MEASURED = [*_RUN, _TASK, _LANGUAGE, *_HOW]
_SEEDS = [
    Column("n_seeds", _INT, "training seeds behind it"),
    Column("sd_seeds", _FLOAT, "standard deviation over seeds; null for one seed"),
    Column("n_languages", _INT, "languages behind it"),
]
_QUESTION = [
    Column("question_id", _STRING, "the same in every language"),
    Column("subject", _STRING, "as the benchmark calls it"),
    Column("category", _STRING, "as the benchmark calls it"),
    Column("culture", _STRING, "CS or CA; null where nobody annotated it"),
]
_MESSAGE = pa.struct([("role", _STRING), ("content", _STRING)])

KINDS: dict[str, Kind] = {
    "questions": Kind(
        "one benchmark question in one language",
        [
            _TASK,
            _LANGUAGE,
            Column("split", _STRING, "test or dev"),
            *_QUESTION,
            Column("question", _STRING, "its text"),
            Column("options", pa.list_(_STRING), "the valid ones, in their order"),
            Column("gold", pa.int8(), "index of the right one, from 0"),
            Column("lead_in", _STRING, "stands between the question and its answer"),
        ],
    ),
    "conversations": Kind(
        "one SFT conversation",
        [
            Column("sft", _STRING, "short name of the SFT set"),
            Column("example_id", pa.int64(), "row number in the source"),
            Column("input", _STRING, "Alpaca's own: more of the first user turn"),
            Column("messages", pa.list_(_MESSAGE), "the turns"),
        ],
    ),
    "predictions": Kind(
        "raw scores of one question under one scoring; nothing derived",
        [
            *_RUN,
            _TASK,
            _LANGUAGE,
            _SCORING,
            *_QUESTION,
            Column("gold", pa.int8(), "index of the right option, from 0"),
            Column(
                "logprobs",
                pa.list_(pa.float32()),
                "per option: log-likelihood in nats, summed over its tokens",
            ),
            Column("n_tokens", pa.list_(_INT), "per option: tokens that were summed"),
            Column("n_bytes", pa.list_(_INT), "per option: UTF-8 bytes of its text"),
            Column("log_mass", pa.float32(), "nats, all letters; null for text"),
            Column("truncated", pa.bool_(), "the context was cut on the left"),
        ],
    ),
    "training_log": Kind(
        "one line of a training's log",
        [
            *_RUN,
            Column("lr", _FLOAT, "the candidate's peak learning rate"),
            Column("step", _INT, "optimiser steps so far"),
            Column("split", _STRING, "train or validation"),
            Column("loss", _FLOAT, "smoothed loss, nats per target token"),
            Column("nll", _FLOAT, "negative log-likelihood, nats per target token"),
            Column("learning_rate", _FLOAT, "at this step; null for validation"),
            Column("grad_norm", _FLOAT, "before clipping; null for validation"),
            Column("tokens", pa.int64(), "target tokens behind this line"),
            Column("tokens_per_second", _FLOAT, "null for validation"),
        ],
    ),
    "metrics": Kind(
        "one number about one run and language",
        [
            *_MEASURED,
            _SUBSET,
            _METRIC,
            Column("value", _FLOAT, "the number; its unit and range: docs/metrics.md"),
            Column("se", _FLOAT, "standard error over questions; null: not made"),
            Column("ci_low", _FLOAT, "lower end of the interval; null: not made"),
            Column("ci_high", _FLOAT, "upper end of the interval; null: not made"),
            Column("null_mean", _FLOAT, "expected of a calibrated model; ece and gap"),
            Column("null_p", _FLOAT, "p-value of 'it is calibrated'; ece and gap"),
            Column("n_questions", _INT, "questions behind it"),
        ],
    ),
    "replicates": Kind(
        "the bootstrap replicates of one metric; paired between all files of a task",
        [
            *_MEASURED,
            _SUBSET,
            _METRIC,
            Column("values", pa.list_(pa.float32()), "one per replicate, in order"),
        ],
    ),
    "reliability": Kind(
        "one bin of a reliability diagram",
        [
            *_MEASURED,
            Column("bin", pa.int8(), "from 0"),
            Column("lo", _FLOAT, "lower edge, in the bin"),
            Column("hi", _FLOAT, "upper edge, not in the bin, except 1"),
            Column("n", _INT, "questions in it"),
            Column("sum_confidence", _FLOAT, "over its questions"),
            Column("sum_correct", _FLOAT, "over its questions"),
        ],
    ),
    "summary": Kind(
        "one number about a condition (a run without its seed) and some languages",
        [
            *_CONDITION,
            _TASK,
            _LEVEL,
            *_HOW,
            _SUBSET,
            _METRIC,
            Column("value", _FLOAT, "mean over languages of the mean over seeds"),
            *_SEEDS,
        ],
    ),
    "contrasts": Kind(
        "one difference between two conditions: the named one minus its reference",
        [
            *_CONDITION,
            Column("reference", _STRING, "base; or sft: SFT with smoothing 0"),
            _TASK,
            _LEVEL,
            *_HOW,
            _METRIC,
            Column("estimate", _FLOAT, "mean over languages of the difference"),
            Column("se", _FLOAT, "standard error, over questions and seeds"),
            Column("ci_low", _FLOAT, "lower end of the interval"),
            Column("ci_high", _FLOAT, "upper end of the interval"),
            Column("sim_low", _FLOAT, "of the band over languages; null for levels"),
            Column("sim_high", _FLOAT, "of the band over languages; null for levels"),
            Column("p_value", _FLOAT, "of 'there is no difference', two-sided"),
            Column("p_adjusted", _FLOAT, "Holm over all hypotheses; null: none tested"),
            Column("margin", _FLOAT, "differences below it do not matter; or null"),
            Column("p_equivalence", _FLOAT, "TOST, 'it is beyond the margin'; or null"),
            Column("verdict", _STRING, "increase, decrease, equivalent, inconclusive"),
            *_SEEDS,
        ],
    ),
    "claims": Kind(
        "one claim of the paper about one model, SFT set, benchmark and scoring",
        [
            Column("claim", _STRING, "short name of the claim"),
            Column("statement", _STRING, "the claim as a sentence"),
            *_CONDITION,
            _TASK,
            _SCORING,
            _NORMALISER,
            _LEVEL,
            _METRIC,
            Column("estimate", _FLOAT, "the difference that it is about"),
            Column("ci_low", _FLOAT, "lower end of the interval"),
            Column("ci_high", _FLOAT, "upper end of the interval"),
            Column("p_adjusted", _FLOAT, "Holm over all hypotheses"),
            Column("verdict", _STRING, "holds, fails or inconclusive"),
        ],
    ),
    "runs": Kind(
        "one run: how it came about",
        [
            *_RUN,
            Column("lr", _FLOAT, "the selected learning rate; null for the base model"),
            Column("validation_nll", _FLOAT, "it was selected by; nats; null for base"),
            Column("n_candidates", _INT, "it was selected among; 0 for the base model"),
            Column("recipe", _STRING, "settings of the training, JSON; null for base"),
        ],
    ),
}
SCHEMAS: dict[str, pa.Schema] = {name: kind.schema for name, kind in KINDS.items()}

"""The records of a column and of a kind of table, and the shared columns."""

from typing import NamedTuple

import pyarrow as pa

STRING, BOOL, list_of = pa.string(), pa.bool_(), pa.list_
INT8, INT, INT64 = pa.int8(), pa.int32(), pa.int64()
FLOAT32, FLOAT = pa.float32(), pa.float64()
FLOATS = list_of(FLOAT32)  # raw scores and replicates, which fill the disk


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: of the column.
        type: of its values; they may be null where the meaning says so.
        meaning: in a few words, with the unit.
    """

    name: str
    type: pa.DataType
    meaning: str


class TableKind(NamedTuple):
    """A kind of table.

    Attributes:
        name: of the kind, and of the study's file.
        row: what a row is.
        columns: in their order.
    """

    name: str
    row: str
    columns: list[Column]

    @property
    def schema(self) -> pa.Schema:
        """Return the columns' names and types as an Arrow schema."""
        return pa.schema([(column.name, column.type) for column in self.columns])


CONDITION = [
    Column("model", STRING, "short name of the base model"),
    Column("sft", STRING, "short name of the SFT set or release; none: base model"),
    Column("smoothing", FLOAT, "label-smoothing value; 0 for the base model"),
]
RUN = [*CONDITION, Column("seed", INT, "of the training; 0: none, or released")]
TASK = Column("task", STRING, "short name of the benchmark")
LANGUAGE = Column("language", STRING, "code, as the benchmark spells it")
SCORING = Column("scoring", STRING, "letters, or text: how options are scored")
LEVEL = Column("level", STRING, "high, mid, low or all languages, or one's code")
NORMALISER = Column("normaliser", STRING, "divisor of an option's score")
CALIBRATOR = Column("calibrator", STRING, "temperature scaling; none: not calibrated")
SUBSET = Column("subset", STRING, "all; CS, CA: culturally sensitive questions or not")
METRIC = Column("metric", STRING, "name of the metric (docs/metrics.md)")
HOW = [SCORING, NORMALISER, CALIBRATOR]
MEASURED = [*RUN, TASK, LANGUAGE, *HOW]
N_SEEDS = Column("n_seeds", INT, "training seeds behind it")
N_LANGUAGES = Column("n_languages", INT, "languages behind it")
SEEDS = [
    N_SEEDS,
    Column("sd_seeds", FLOAT, "standard deviation over seeds; null for one seed"),
    N_LANGUAGES,
]
# What a row about a condition and some languages begins with.
AT_LEVEL = [*CONDITION, TASK, LEVEL, *HOW]
REFERENCE = Column(
    "reference", STRING, "base; sft: smoothing 0; scaled: that, with ts_en"
)
# The same about the difference of a condition to its reference.
CHANGE_AT_LEVEL = [*CONDITION, REFERENCE, TASK, LEVEL, *HOW]
ESTIMATE = [
    Column("estimate", FLOAT, "mean over languages of the change"),
    Column("se", FLOAT, "standard error; docs/statistics.md says of what"),
    Column("ci_low", FLOAT, "lower end of the interval (statistics.confidence)"),
    Column("ci_high", FLOAT, "upper end of the interval (statistics.confidence)"),
]
QUESTION = [
    Column("question_id", STRING, "the same in every language"),
    Column("subject", STRING, "as the benchmark calls it"),
    Column("category", STRING, "as the benchmark calls it"),
    Column("culture", STRING, "CS or CA; null where nobody annotated it"),
]
MESSAGE = pa.struct([("role", STRING), ("content", STRING)])

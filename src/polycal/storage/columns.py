"""Columns that several kinds of tables share, and what a kind of table is."""

from typing import NamedTuple

import pyarrow as pa

STRING, FLOAT, INT = pa.string(), pa.float64(), pa.int32()


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


CONDITION = [
    Column("model", STRING, "short name of the base model"),
    Column("sft", STRING, "short name of the SFT set; none: the base model itself"),
    Column("smoothing", FLOAT, "label-smoothing value; 0 for the base model"),
]
RUN = [*CONDITION, Column("seed", INT, "of the training; 0 for the base model")]
TASK = Column("task", STRING, "short name of the benchmark")
LANGUAGE = Column("language", STRING, "code, as the benchmark spells it")
SCORING = Column("scoring", STRING, "letters, or text: how options are scored")
LEVEL = Column("level", STRING, "high, mid, low or all languages, or one's code")
NORMALISER = Column("normaliser", STRING, "what an option's score is divided by")
CALIBRATOR = Column("calibrator", STRING, "done to the probabilities; none: nothing")
SUBSET = Column("subset", STRING, "all; CS, CA: culturally sensitive questions or not")
METRIC = Column("metric", STRING, "name of the metric (docs/metrics.md)")
HOW = [SCORING, NORMALISER, CALIBRATOR]
MEASURED = [*RUN, TASK, LANGUAGE, *HOW]
SEEDS = [
    Column("n_seeds", INT, "training seeds behind it"),
    Column("sd_seeds", FLOAT, "standard deviation over seeds; null for one seed"),
    Column("n_languages", INT, "languages behind it"),
]
REFERENCE = Column("reference", STRING, "base; or sft: SFT with smoothing 0")
ESTIMATE = [
    Column("estimate", FLOAT, "mean over languages of the change"),
    Column("se", FLOAT, "standard error, over questions"),
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

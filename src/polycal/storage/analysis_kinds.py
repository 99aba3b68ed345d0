"""The tables of `polycal analyse`: their columns, each with what it means."""

import pyarrow as pa

from polycal.storage.columns import (
    CONDITION,
    ESTIMATE,
    FLOAT,
    HOW,
    INT,
    LEVEL,
    METRIC,
    REFERENCE,
    STRING,
    TASK,
    Column,
    Kind,
)

ANALYSES: dict[str, Kind] = {
    "decompositions": Kind(
        "one part of a change of ECE: three rows add up to it",
        [
            *CONDITION,
            REFERENCE,
            TASK,
            LEVEL,
            *HOW,
            Column("part", STRING, "confidence, accuracy, cancellation (ECE - |gap|)"),
            *ESTIMATE,
        ],
    ),
    "doses": Kind(
        "a metric over the smoothing values of one SFT set; of each gap its size",
        [
            *CONDITION[:2],
            TASK,
            LEVEL,
            *HOW,
            METRIC,
            Column("smoothings", pa.list_(FLOAT), "rising"),
            Column("values", pa.list_(FLOAT), "the metric at each"),
            Column("fitted", pa.list_(FLOAT), "the nearest sequence in one direction"),
            Column("monotone", FLOAT, "share of replicates that are so without a fit"),
            Column("slope", FLOAT, "per unit of smoothing, least squares"),
            Column("slope_low", FLOAT, "lower end of its interval"),
            Column("slope_high", FLOAT, "upper end of its interval"),
            Column("optimum", FLOAT, "smoothing with the lowest value"),
            Column("optimum_low", FLOAT, "lower end of its interval, a tried value"),
            Column("optimum_high", FLOAT, "upper end of its interval, a tried value"),
            Column("chosen", pa.list_(FLOAT), "share of replicates it is the optimum"),
        ],
    ),
    "slopes": Kind(
        "how a difference between two conditions depends on the language",
        [
            *CONDITION,
            REFERENCE,
            TASK,
            *HOW,
            METRIC,
            Column("predictor", STRING, "joshi_class (0 to 5) or log_token_premium"),
            Column("intercept", FLOAT, "the difference where the predictor is 0"),
            Column("slope", FLOAT, "its change per unit of the predictor"),
            *ESTIMATE[1:],
            Column("p_value", FLOAT, "of 'there is no slope', two-sided"),
            Column("tau", FLOAT, "sd of languages' own differences around the line"),
            Column("n_languages", INT, "languages behind it"),
        ],
    ),
    "fronts": Kind(
        "one condition among all of a model: is it beaten in accuracy and ECE?",
        [
            *CONDITION,
            TASK,
            LEVEL,
            *HOW,
            Column("accuracy", FLOAT, "mean over languages"),
            Column("ece", FLOAT, "mean over languages"),
            Column(
                "front", pa.bool_(), "no condition is better in one, as good in both"
            ),
            Column("probability", FLOAT, "share of replicates in which that holds"),
        ],
    ),
    "cultures": Kind(
        "culturally sensitive minus agnostic questions: a condition, or its change",
        [
            *CONDITION,
            Column("reference", STRING, "the change from base or sft; null: no change"),
            TASK,
            LEVEL,
            *HOW,
            METRIC,
            *ESTIMATE,
        ],
    ),
    "dispersions": Kind(
        "log temperatures of the languages: what one temperature repairs, and what not",
        [
            *CONDITION,
            TASK,
            LEVEL,
            *HOW,
            Column("mean_log", FLOAT, "mean over languages; above 0: over-confident"),
            Column("sd_log", FLOAT, "over languages; null for one language"),
            Column("n_languages", INT, "languages behind it"),
        ],
    ),
}

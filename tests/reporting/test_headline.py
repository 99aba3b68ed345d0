"""The answer's words and numbers are those of the contrasts."""

import pandas as pd

from polycal.comparing.conditions import BASE_RANK
from polycal.reporting.headline import describe_answer


def levels(*rows: tuple) -> pd.DataFrame:
    """Rows of (facet, rank, accuracy, confidence) over all languages."""
    columns = ["facet", "rank", "accuracy", "confidence"]
    frame = pd.DataFrame(rows, columns=columns).assign(level="all")
    return frame.assign(gap=frame["confidence"] - frame["accuracy"])


def changes(*rows: tuple) -> pd.DataFrame:
    """Rows of (facet, rank, level, metric, estimate, verdict), ends 1 and 2 pp away."""
    columns = ["facet", "rank", "level", "metric", "estimate", "verdict"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(
        **{"ci_low": frame["estimate"] - 0.01, "ci_high": frame["estimate"] + 0.02},
        **{"n_languages": frame["level"].map({"all": 3, "low": 2, "high": 1})},
        reference=frame["rank"].map({0.0: "base"}).fillna("sft"),
    )


NONE = changes()


def test_one_model_is_told_what_sft_and_the_largest_smoothing_change():
    """Over all languages, in those with the fewest resources, and with smoothing."""
    told = describe_answer(
        levels(("m", BASE_RANK, 0.4, 0.5), ("m", 0.2, 0.4, 0.41)),
        changes(
            ("m", 0.0, "all", "confidence", 0.24, "increase"),
            ("m", 0.0, "all", "accuracy", -0.003, "equivalent"),
            ("m", 0.0, "high", "confidence", 0.5, "increase"),
            ("m", 0.0, "high", "accuracy", 0.4, "increase"),
            ("m", 0.0, "low", "confidence", -0.22, "decrease"),
            ("m", 0.0, "low", "accuracy", 0.05, "inconclusive"),
            ("m", 0.1, "all", "gap", -0.05, "decrease"),
            ("m", 0.2, "all", "gap", -0.08, "decrease"),
        ),
        NONE,
    )
    assert told == [
        "Over 3 languages, SFT raises confidence by 24.0 pp [+23.0, +26.0] and leaves "
        "accuracy within the margin (−0.3 pp [−1.3, +1.7]).",
        "In low-resource languages, it lowers confidence by 22.0 pp [−23.0, −20.0] and "
        "is not shown to change accuracy (+5.0 pp [+4.0, +7.0]).",
        "SFT, smoothing 0.2 lowers confidence minus accuracy: from +9.0 pp to +1.0 pp, "
        "−8.0 pp [−9.0, −6.0] against SFT.",
    ]


def test_without_a_plain_sft_smoothing_is_compared_with_the_base_model():
    """And is said to be."""
    rows = [
        ("m", rank, "all", metric, 0.1, "increase")
        for rank in (0.1, 0.2)
        for metric in ("confidence", "accuracy", "gap")
    ]
    after = levels(("m", 0.2, 0.4, 0.3))
    told = describe_answer(after, changes(*rows).assign(reference="base"), NONE)
    assert told[-1].startswith("SFT, smoothing 0.2 raises confidence minus accuracy")
    assert told[-1].endswith("against the base model.")


def test_several_models_are_counted():
    """By the verdict of each, for SFT and for the largest smoothing."""
    verdicts = {
        "m": ("increase", "equivalent", "decrease"),
        "n": ("increase", "decrease", "decrease"),
        "o": ("inconclusive", "increase", "increase"),
    }
    metrics = ("confidence", "accuracy", "gap")
    rows = [
        (facet, rank, "all", metric, 0.1, verdict if rank == 0.0 else "decrease")
        for facet, own in verdicts.items()
        for rank in (0.0, 0.1)
        for metric, verdict in zip(metrics, own, strict=True)
    ]
    first, second = describe_answer(levels(), changes(*rows), NONE)
    assert first == (
        "SFT against the base model, in 3 models and SFT sets: confidence rises in 2, "
        "accuracy rises in 1, falls in 1 and stays within the margin in 1 and the gap "
        "rises in 1 and falls in 2."
    )
    assert second.startswith("SFT, smoothing 0.1 against SFT, in 3 models and SFT sets")
    assert second.endswith("the gap falls in all.")
    same = changes(*rows).assign(verdict="inconclusive")
    told, _ = describe_answer(levels(), same, NONE)
    assert "confidence is not shown to change in any, accuracy is not" in told


def test_models_as_they_are_have_a_gap():
    """Its side is named; several models have a range."""
    (told,) = describe_answer(levels(("m", BASE_RANK, 0.6, 0.5)), NONE, NONE)
    assert told == (
        "Accuracy is 60.0% and confidence 50.0%: the model is under-confident by "
        "10.0 pp."
    )
    rows = ("m", BASE_RANK, 0.6, 0.7), ("n", BASE_RANK, 0.6, 0.5)
    (told,) = describe_answer(levels(*rows), NONE, NONE)
    assert (
        told == "Confidence minus accuracy lies between −10.0 pp (n) and +10.0 pp (m)."
    )


def test_what_is_not_compared_is_told_side_by_side():
    """As of a released checkpoint whose tokenizer is not its base model's."""
    rows = ("m", BASE_RANK, 0.4, 0.5), ("m", 0.0, 0.6, 0.9)
    numbers, reason = describe_answer(levels(*rows), NONE, NONE)
    told = "Accuracy and confidence – base: 40.0% and 50.0%; SFT: 60.0% and 90.0%."
    assert numbers == told
    assert reason.startswith("They are not compared: their tokenizers differ")


def test_of_two_models_as_they_are_the_difference_is_told():
    """Over all languages; the same model asked in another way is another matter."""
    rows = [
        ("n", BASE_RANK, level, metric, size, verdict)
        for level, factor in (("all", 1), ("low", 3))
        for metric, size, verdict in (
            ("confidence", 0.2 * factor, "increase"),
            ("accuracy", -0.05, "inconclusive"),
        )
    ]
    models = levels(("m", BASE_RANK, 0.4, 0.5), ("n", BASE_RANK, 0.35, 0.7))
    beside = changes(*rows).assign(reference="model:m")
    _, told = describe_answer(models, NONE, beside)
    assert told == (
        "In place of m, n raises confidence by 20.0 pp [+19.0, +22.0] and is not shown "
        "to change accuracy (−5.0 pp [−6.0, −3.0])."
    )
    asked = describe_answer(models, NONE, beside.assign(reference="task:t"))
    assert len(asked) == 1
    third = pd.concat([beside, beside.assign(facet="o")])
    assert len(describe_answer(models, NONE, third)) == 1


def test_models_of_different_conditions_are_named_and_counted_apart():
    """One with SFT beside one without; only one with smoothing; two tokenizers."""
    metrics = ("confidence", "accuracy", "gap")
    sft = [("m", 0.0, "all", metric, 0.1, "increase") for metric in metrics]
    beside = levels(("m", BASE_RANK, 0.4, 0.5), ("n", BASE_RANK, 0.4, 0.5))
    told, *_ = describe_answer(beside, changes(*sft), NONE)
    assert told.startswith("Over 3 languages, SFT of m raises confidence by")
    others = [(name, *row[1:]) for name in "no" for row in sft]
    smooth = [("m", 0.1, "all", metric, -0.1, "decrease") for metric in metrics]
    first, second = describe_answer(beside, changes(*sft, *others, *smooth), NONE)
    assert "in 3 models and SFT sets: confidence rises in all," in first
    assert "against SFT, in m: confidence falls," in second
    apart = [("m", -1.0, 0.4, 0.5), ("m", 0.0, 0.6, 0.9), ("n", -1.0, 0.3, 0.2)]
    told, _ = describe_answer(levels(*apart), NONE, NONE)
    assert "m (base: 40.0% and 50.0%; SFT: 60.0% and 90.0%); n (base: 30" in told

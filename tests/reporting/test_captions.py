"""The sentence below a figure holds the numbers of the answers."""

import numpy as np
import pandas as pd
import pytest
from drawn import PLACE, study, values_of
from made_up import CODES, CONDITIONS, N, answer_by_hand, by_hand, mean_by_hand
from scipy.stats import spearmanr

from polycal.comparing.conditions import BASE_RANK
from polycal.reporting.figures import FIGURES
from polycal.storage import tables


def languages(*rows: tuple, facet: str = "m") -> pd.DataFrame:
    """Rows of (rank, language, accuracy, confidence)."""
    columns = ["rank", "language", "accuracy", "confidence"]
    frame = pd.DataFrame(rows, columns=columns).assign(facet=facet, n_questions=100)
    gap = frame["confidence"] - frame["accuracy"]
    return frame.assign(gap=gap, ece=gap.abs(), chance=0.25)


def caption(name: str, values: pd.DataFrame | None = None) -> str:
    values = values_of(name) if values is None else values
    return FIGURES[name].caption(values)


def spell(value: float) -> str:
    return f"{value:+.1f} pp".replace("-", "−")


def per_condition(tell) -> str:
    return "; ".join(f"{name}: {tell(*how)}" for name, how in CONDITIONS.items()) + "."


def test_every_figure_has_a_sentence():
    """One that ends, and names no missing number."""
    for name in FIGURES:
        said = caption(name)
        assert said.endswith(".")
        assert "nan" not in said, name


def test_the_dumbbell_counts_languages_that_are_over_confident():
    """Swahili and Yoruba are from the start, others only after SFT."""
    said = caption("dumbbell")
    assert said.startswith("Number of languages (of 5) in which confidence exceeds")
    assert said.endswith(
        per_condition(lambda *how: sum(by_hand(*how, c)["gap"] > 0 for c in CODES))
    )
    both = pd.concat([values_of("dumbbell"), values_of("dumbbell").assign(facet="n")])
    assert "n (base: 2; SFT: " in caption("dumbbell", both)


def test_the_heatmap_names_its_extremes():
    """The lowest and the highest gap, with language and condition."""
    gaps = {
        (by_hand(*how, code)["gap"], code, name)
        for name, how in CONDITIONS.items()
        for code in CODES
    }
    names = {"en": "English", "sw": "Swahili"}
    low, high = (
        f"{spell(100 * gap)} ({names[code]}, {condition})"
        for gap, code, condition in (min(gaps), max(gaps))
    )
    assert caption("heatmap") == f"The signed gap lies between {low} and {high}."


def test_reliability_counts_questions_in_over_confident_bins():
    def share(*how) -> str:
        over = 0
        for code in CODES:
            confidence, right, _ = answer_by_hand(*how, code)
            bins = (confidence * 15).astype(int)
            for index in set(bins):
                own = bins == index
                over += own.sum() * (confidence[own].mean() > right[own].mean())
        return f"{100 * over / N / len(CODES):.1f}%"

    assert caption("reliability").endswith(per_condition(share))


def test_the_sentence_of_the_levels_is_about_all_languages():
    """Confidence minus accuracy, and not the other way round."""
    said = caption("levels")
    assert said.endswith(
        per_condition(lambda *how: spell(100 * mean_by_hand(*how, CODES, "gap")))
    )


def test_the_forest_counts_bands_that_exclude_0():
    """Up and down, of each metric and comparison."""
    rows = tables.read(study().tables / "contrasts.parquet", "contrasts")
    rows = tables.where(rows, **PLACE, calibrator="none").to_pandas()
    rows = rows[rows["level"].isin(CODES)]
    parts = []
    for metric in ("confidence", "accuracy"):
        counts = []
        for name, smoothing, reference in (
            ("SFT", 0.0, "base"),
            ("SFT, smoothing 0.1", 0.1, "sft"),
        ):
            own = rows[(rows["metric"] == metric) & (rows["smoothing"] == smoothing)]
            own = own[own["reference"] == reference]
            up, down = (own["sim_low"] > 0).sum(), (own["sim_high"] < 0).sum()
            counts.append(f"{name}: {up} up, {down} down")
        parts.append(f"{metric} – {'; '.join(counts)}")
    assert "confidence – SFT: 5 up, 0 down; SFT, smoothing 0.1: 0 up, 5 down" in parts
    start = "Number of languages (of 5) whose band excludes 0: "
    assert caption("forest") == f"{start}{'. '.join(parts)}."


def test_the_parts_of_a_change_of_ece_add_up():
    """To the change of the mean ECE, in the order of the comparisons."""
    said = caption("decomposition").removesuffix(".").split(" – ")[1]
    _, sft, smoothed = CONDITIONS.values()
    for text, after, before in zip(
        said.split("; "), (sft, smoothed), (CONDITIONS["base"], sft), strict=True
    ):
        words = text.split(": ")[1].replace(" pp", "").replace("−", "-")
        parts = {part.split()[0]: float(part.split()[1]) for part in words.split(", ")}
        assert set(parts) == {"confidence", "accuracy", "cancellation"}
        change = mean_by_hand(*after, CODES, "ece") - mean_by_hand(
            *before, CODES, "ece"
        )
        assert sum(parts.values()) == pytest.approx(100 * change, abs=0.16)


def test_the_best_smoothing_is_named_with_its_interval():
    """That of ECE over all languages, from the lower to the upper end."""
    row = {"facet": "m", "level": "all", "metric": "ece", "optimum": 0.05}
    row |= {"optimum_low": 0.0, "optimum_high": 0.1}
    others = [row | {"level": "low", "optimum": 0.2}]
    others += [row | {"metric": "nll", "optimum": 0.3}]
    assert caption("doses", pd.DataFrame([others[0], row, others[1]])).endswith(
        "of all languages is lowest with smoothing 0.05, interval 0 to 0.1."
    )


def test_a_correlation_is_spearman_s():
    """Of the size of the gap: by hand, ranks in opposite directions; and by scipy."""
    rows = {"facet": "m", "rank": 0.0, "gap": [0.3, -0.2, 0.1]}
    shown = pd.DataFrame(rows | {"token_premium": [1.0, 2.0, 3.0]})
    assert caption("premium", shown).endswith("SFT: −1.00.")
    values = values_of("premium")
    own = values[values["rank"] == BASE_RANK]
    value = spearmanr(own["gap"].abs(), own["token_premium"]).statistic
    assert f"– base: {value:+.2f};".replace("-", "−") in caption("premium")


def test_a_pareto_front_is_named():
    """With its temperature, where it has one; only that of all languages."""
    rows = {"facet": "m", "level": ["all", "all", "all", "low"]}
    rows |= {"rank": [0.0, 0.1, 0.2, 0.3], "front": [True, True, False, True]}
    calibrators = ["none", "ts_own", "none", "none"]
    shown = pd.DataFrame(rows | {"calibrator": calibrators})
    assert caption("front", shown).endswith(
        "– SFT and SFT, smoothing 0.1 with each language's own temperature."
    )


def test_temperatures_have_a_mean_and_a_range():
    """Geometric, of the languages' own fits."""
    path = study().tables / "metrics.parquet"
    own_fits = tables.where(tables.read(path, "metrics"), **PLACE, calibrator="ts_own")
    rows = tables.where(own_fits, metric="temperature")
    censored = tables.where(own_fits, metric="censored")

    def tell(sft: str, smoothing: float) -> str:
        own = tables.where(rows, sft=sft, smoothing=smoothing)["value"].to_numpy()
        mean = np.prod(own) ** (1 / len(own))
        at_limit = tables.where(censored, sft=sft, smoothing=smoothing)["value"]
        n = sum(share > 0 for share in at_limit.to_pylist())
        bound = f"; a bound, {n} at a limit of the fit" if n else ""
        return f"{mean:.2f} ({own.min():.2f} to {own.max():.2f}{bound})"

    assert caption("temperature").endswith(per_condition(tell))


def test_errors_of_all_answers_come_before_those_of_the_more_confident_half():
    def tell(*how) -> str:
        wrong = []
        for code in CODES:
            confidence, right, _ = answer_by_hand(*how, code)
            half = np.argsort(-confidence)[: N // 2]
            wrong.append((1 - right.mean(), 1 - right[half].mean()))
        return " and ".join(f"{100 * value:.1f}%" for value in np.mean(wrong, axis=0))

    assert caption("coverage").endswith(per_condition(tell))


def test_a_change_counts_by_its_band_and_not_by_its_interval():
    """Three languages: a band above 0, one that only its interval leaves, one below."""
    rows = {
        "facet": "m",
        "rank": 0.0,
        "metric": "confidence",
        "level": ["de", "en", "sw"],
        "sim_low": [0.1, -0.1, -0.5],
        "sim_high": [0.5, 0.6, -0.1],
        "ci_low": [0.2, 0.1, -0.4],
        "ci_high": [0.4, 0.5, -0.2],
    }
    both = pd.concat([pd.DataFrame(rows), pd.DataFrame(rows | {"metric": "accuracy"})])
    said = caption("forest", both)
    assert "(of 3) whose band" in said
    assert said.count("SFT: 1 up, 1 down") == 2


def test_languages_of_one_level_alone_are_no_part_of_the_levels_sentence():
    """60 of 100 sure, 45 right: +15, and not −15; the row of a level is left out."""
    bins = {"facet": "m", "rank": 0.0, "level": ["all", "low"]}
    bins |= {"sum_confidence": [60.0, 1.0], "sum_correct": [45.0, 9.0], "n": [100, 10]}
    assert caption("levels", pd.DataFrame(bins)).endswith("SFT: +15.0 pp.")


def test_the_dumbbell_s_caption_counts_languages_above_0():
    """A gap of exactly 0 is neither; 0 of 3 before, 2 after."""
    rows = [(BASE_RANK, "de", 0.5, 0.5), (BASE_RANK, "en", 0.5, 0.4)]
    rows += [(BASE_RANK, "sw", 0.5, 0.3), (0.0, "de", 0.5, 0.7)]
    rows += [(0.0, "en", 0.5, 0.6), (0.0, "sw", 0.5, 0.5)]
    assert caption("dumbbell", languages(*rows)) == (
        "Number of languages (of 3) in which confidence exceeds accuracy – "
        "base: 0; SFT: 2."
    )


def test_the_heatmap_s_caption_names_the_facet_where_there_are_several():
    """Rows that were joined may carry equal row numbers."""
    one = languages((0.0, "de", 0.5, 0.7))
    assert caption("heatmap", one) == "The signed gap is +20.0 pp (German, SFT)."
    two = pd.concat([one, languages((BASE_RANK, "sw", 0.5, 0.6), facet="n")])
    assert caption("heatmap", two) == (
        "The signed gap lies between +10.0 pp (Swahili, n, base) "
        "and +20.0 pp (German, m, SFT)."
    )


def test_the_reliability_s_caption_weighs_bins_by_their_questions():
    """10 of 50 lie above the diagonal; a bin on it, of 25, is not over-confident."""
    bins = {"facet": "m", "rank": 0.0, "n": [10, 25, 15]}
    bins |= {"confidence": [0.9, 0.5, 0.3], "accuracy": [0.8, 0.5, 0.4]}
    assert caption("reliability", pd.DataFrame(bins)) == (
        "Share of the questions in bins whose confidence exceeds their accuracy – "
        "SFT: 20.0%."
    )


def test_the_levels_caption_pools_bins():
    """(30 + 30 - 20 - 25) of 100 before; 1 of 50 the other way after."""
    bins = {"facet": "m", "rank": [BASE_RANK] * 2 + [0.1], "level": "all"}
    bins |= {"sum_confidence": [30.0, 30.0, 9.0], "sum_correct": [20.0, 25.0, 10.0]}
    shown = pd.DataFrame(bins | {"n": [40, 60, 50]})
    assert caption("levels", shown) == (
        "Confidence minus accuracy over the answers of all languages – "
        "base: +15.0 pp; SFT, smoothing 0.1: −2.0 pp."
    )


def test_the_forest_s_caption_counts_each_metric_apart():
    """Levels are no languages; a band that ends at 0 leaves nothing out."""
    columns = ["rank", "metric", "level", "sim_low", "sim_high"]
    rows = [
        (0.0, "confidence", "de", 0.1, 0.2),
        (0.0, "confidence", "en", 0.1, 0.3),
        (0.0, "confidence", "sw", -0.3, -0.1),
        (0.0, "confidence", "low", 0.1, 0.2),
        (0.0, "confidence", "all", 0.1, 0.2),
        (0.0, "accuracy", "de", 0.0, 0.2),
        (0.0, "accuracy", "en", -0.2, 0.0),
        (0.0, "accuracy", "sw", -0.2, -0.1),
    ]
    shown = pd.DataFrame(rows, columns=columns).assign(facet="m")
    assert caption("forest", shown) == (
        "Number of languages (of 3) whose band excludes 0: "
        "confidence – SFT: 2 up, 1 down. accuracy – SFT: 0 up, 1 down."
    )


def test_the_decomposition_s_caption_lists_the_parts():
    """Of all languages; parts in the table's order, conditions in their own."""
    columns = ["facet", "rank", "level", "part", "estimate"]
    rows = [
        ("n", 0.0, "all", "confidence", 0.02),
        ("m", 0.1, "all", "accuracy", 0.04),
        ("m", 0.0, "all", "confidence", 0.1),
        ("m", 0.0, "all", "accuracy", -0.03),
        ("m", 0.0, "low", "confidence", 0.5),
    ]
    assert caption("decomposition", pd.DataFrame(rows, columns=columns)) == (
        "Parts of the change of ECE, over all languages – "
        "m (SFT: confidence +10.0 pp, accuracy −3.0 pp; "
        "SFT, smoothing 0.1: accuracy +4.0 pp); n (SFT: confidence +2.0 pp)."
    )


def test_the_doses_caption_names_each_model_s_best_smoothing():
    """Of the ECE over all languages; interval from low to high."""
    rows = {"facet": ["m", "m", "m", "n"], "level": ["all", "low", "all", "all"]}
    rows |= {"metric": ["ece", "ece", "gap", "ece"], "optimum": [0.1, 0.3, 0.4, 0.2]}
    rows |= {"optimum_low": [0.0, 0.3, 0.4, 0.1], "optimum_high": [0.2, 0.3, 0.4, 0.3]}
    shown = pd.DataFrame(rows)
    assert caption("doses", shown) == (
        "The mean ECE of all languages is lowest with smoothing 0.1 (m), interval 0 to "
        "0.2; with smoothing 0.2 (n), interval 0.1 to 0.3."
    )
    assert caption("doses", shown[:3]) == (
        "The mean ECE of all languages is lowest with smoothing 0.1, interval 0 to 0.2."
    )


def test_the_premium_s_caption_needs_two_sizes_to_rank():
    """Ranks 1, 2, 3 against 1, 3, 2: 1 - 6 (0 + 1 + 1) / 24 = 0.5; equal gaps: none."""
    rows = {"facet": "m", "rank": [BASE_RANK] * 3 + [0.0] * 3 + [0.1] * 3}
    rows |= {"gap": [0.1, -0.2, 0.3, 0.2, -0.2, 0.2, 0.1, 0.2, 0.3]}
    rows |= {"token_premium": [1.0, 3.0, 2.0, 1.0, 3.0, 2.0, 1.5, 1.5, 1.5]}
    assert caption("premium", pd.DataFrame(rows)) == (
        "Spearman's correlation of the gap's size with the token premium – "
        "base: +0.50; SFT: none; SFT, smoothing 0.1: none."
    )
    two = {"facet": "m", "rank": 0.0, "gap": [0.1, 0.2], "token_premium": [3.0, 1.0]}
    assert caption("premium", pd.DataFrame(two)).endswith("SFT: −1.00.")


def test_the_front_s_caption_names_only_what_is_on_it():
    """In the order of smoothing and temperature, whatever the table's."""
    rows = {"facet": ["m", "m", "m", "m", "n"], "rank": [0.1, 0.0, 0.0, 0.2, 0.0]}
    rows |= {"calibrator": ["none", "ts_own", "none", "none", "ts_en"]}
    rows |= {"level": ["all", "all", "all", "low", "all"]}
    shown = pd.DataFrame(rows | {"front": [True, True, False, True, True]})
    assert caption("front", shown) == (
        "Pareto front of accuracy and ECE over all languages – "
        "m: SFT with each language's own temperature and SFT, smoothing 0.1; "
        "n: SFT with English's temperature."
    )
    assert caption("front", shown[:1]).endswith("languages – SFT, smoothing 0.1.")
    shown["front"] = True
    assert "m: SFT, SFT with each language's own" in caption("front", shown)


def test_the_temperature_s_caption_gives_the_geometric_mean():
    """The root of 1 x 4 is 2; that of 0.5 x 0.5 x 4 is 1."""
    rows = {"facet": "m", "rank": [BASE_RANK] * 2 + [0.1] * 3}
    shown = pd.DataFrame(rows | {"own": [4.0, 1.0, 0.5, 0.5, 4.0], "censored": 0.0})
    start = "Geometric mean and range of the languages' own temperatures – "
    base, smoothed = (
        "base: 2.00 (1.00 to 4.00",
        "SFT, smoothing 0.1: 1.00 (0.50 to 4.00",
    )
    assert caption("temperature", shown) == f"{start}{base}); {smoothed})."
    # One fold of one language at the cap makes that mean a bound, and no other one.
    shown.loc[3, "censored"] = 0.5
    said = "; a bound, 1 at a limit of the fit"
    assert caption("temperature", shown) == f"{start}{base}); {smoothed}{said})."


def test_the_coverage_s_caption_compares_all_with_half():
    """30 errors of 100 answers, 10 of the surer half; a level is not all."""
    rows = {"facet": "m", "rank": 0.0, "level": ["all", "all", "all", "low"]}
    rows |= {"coverage": [0.5, 0.9, 1.0, 1.0], "risk": [0.1, 0.2, 0.3, 0.9]}
    assert caption("coverage", pd.DataFrame(rows)) == (
        "Errors among all answers, and among the more confident half of them – "
        "SFT: 30.0% and 10.0%."
    )

"""How often verdicts err, and how often intervals and bands hold the truth.

    python benchmarks/claims.py [--studies 200] [--questions 658 14042]

Made-up studies with a known truth, through polycal's own functions. The first table has
differences of 42 languages with noise of questions and of trainings; the second one has
answers of models with a known calibration error.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd

from polycal import calibration
from polycal.calibration import Answers, answer
from polycal.comparing.biases import bound_bias
from polycal.comparing.claims import CLAIMS, TO_BASE, TO_SFT
from polycal.comparing.effects import Effect, Side, describe
from polycal.comparing.replicates import RunMetric
from polycal.comparing.verdicts import HOLDS, REVERSED, Primary, judge
from polycal.measuring.resampling import Resampler
from polycal.study.languages import load_languages

SEEDS = (1, 2, 3, 5)
EFFECTS = (0.0, 0.03)  # what SFT adds and smoothing takes away, a fraction
TRAINING = {"common": 0.005, "specific": 0.005}  # sd over trainings, a fraction
AT_658 = {"common": 0.003, "specific": 0.005}  # standard error over 658 questions
LANGUAGES = [
    "am",
    "ar",
    "bn",
    "cs",
    "de",
    "el",
    "en",
    "es",
    "fa",
    "fil",
    "fr",
    "ha",
    "he",
    "hi",
    "id",
    "ig",
    "it",
    "ja",
    "ko",
    "ky",
    "lt",
    "mg",
    "ms",
    "ne",
    "nl",
    "ny",
    "pl",
    "pt",
    "ro",
    "ru",
    "si",
    "sn",
    "so",
    "sr",
    "sv",
    "sw",
    "te",
    "tr",
    "uk",
    "vi",
    "yo",
    "zh",
]
IS_LOW = np.array([load_languages()[code].level == "low" for code in LANGUAGES])
REPLICATES = 300
POPULATION = 300_000
MARGIN = 0.01
READING = {"model": "m", "sft": "s", "task": "t", "scoring": "letters"}
READING |= {"normaliser": "sum", "calibrator": "none"}


def draw(sizes: dict, shape: tuple, noise: np.random.Generator) -> np.ndarray:
    """Normal noise [..., L] of which languages share a part."""
    common = noise.normal(0, sizes["common"], (*shape[:-1], 1))
    return common + noise.normal(0, sizes["specific"], shape)


def make_effects(
    n_seeds: int, n: int, size: float, noise: np.random.Generator
) -> tuple[list[list[Effect]], dict]:
    """The contrasts of one study, and the truth of each by reference and smoothing."""
    n_languages = len(LANGUAGES)
    questions = {name: sd * np.sqrt(658 / n) for name, sd in AT_658.items()}
    gaps = {-1.0: 0.02, 0.0: 0.02 + size, 0.1: 0.02, 0.2: 0.02}
    sides, own_truth = {}, {}
    for smoothing, gap in gaps.items():
        trained = np.full((n_seeds, n_languages), gap)
        if smoothing >= 0:  # the base model is what it is
            trained = trained + draw(TRAINING, trained.shape, noise)
        drawn = draw(questions, (REPLICATES, n_languages), noise)
        error = draw(questions, (n_languages,), noise)
        own_truth[smoothing] = trained.mean(axis=0)
        seeds = trained + error
        sides[smoothing] = Side(
            seeds, seeds.mean(axis=0) + drawn, np.zeros(n_languages)
        )
    groups, truth = [], {}
    for reference, pairs in (
        (TO_BASE, [(-1.0, 0.0), (-1.0, 0.1)]),
        (TO_SFT, [(0.0, 0.1), (0.0, 0.2)]),
    ):
        effects = []
        for before, after in pairs:
            key = {"smoothing": after, "reference": reference, "metric": "gap"}
            both, size_of_each = (sides[before], sides[after]), np.full(n_languages, n)
            effects.append(Effect(READING | key, LANGUAGES, *both, size_of_each))
            population = np.full(n_languages, gaps[after] - gaps[before])
            own = own_truth[after] - own_truth[before]
            truth[reference, after] = own if n_seeds == 1 else population
        groups.append(effects)
    return groups, truth


def judge_studies(
    n_seeds: int, n: int, size: float, studies: int, noise: np.random.Generator
) -> dict[str, float]:
    """Coverage, width, and the share of studies with a wrong or right verdict."""
    rows, wrong, right = [], [], []
    for _ in range(studies):
        groups, truth = make_effects(n_seeds, n, size, noise)
        frame = pd.concat(
            [describe(own, margin=MARGIN, confidence=0.95) for own in groups],
            ignore_index=True,
        ).assign(p_adjusted=np.nan)
        _, claims = judge(frame, primary=Primary(), alpha=0.05)
        claims = claims[claims["estimate"].notna()]
        errors: dict[str, bool] = {}
        holds: dict[str, bool] = {}
        for row in claims.to_dict("records"):
            claim = CLAIMS[row["claim"]]
            sign = 1 if claim.direction == "rises" else -1
            values = sign * truth[claim.reference, row["smoothing"]]
            if claim.level == "each":
                true, false = values.min() > 0, values.min() < 0
            else:
                mean = values[IS_LOW].mean() if claim.level == "low" else values.mean()
                true, false = mean > 0, mean < 0
            held = row["verdict"].startswith(HOLDS)
            error = (held and not true) or (
                row["verdict"].startswith(REVERSED) and not false
            )
            errors[claim.name] = errors.get(claim.name, False) or error
            holds[claim.name] = holds.get(claim.name, True) and held
        wrong.append(errors)
        right.append(holds)
        rows.append(cover(frame, truth))
    shares = pd.DataFrame(rows).mean().to_dict()
    for name in ("overconfidence", "smoothing", "everywhere"):
        shares[f"wrong {name}"] = float(np.mean([each[name] for each in wrong]))
    shares["smoothing shown"] = float(np.mean([each["smoothing"] for each in right]))
    return shares


def cover(frame: pd.DataFrame, truth: dict) -> dict[str, float]:
    """What one study's intervals and band hold; smoothing 0.1 against plain SFT."""
    own = frame.query("metric == 'gap' and reference == 'sft' and smoothing == 0.1")
    values = truth[TO_SFT, 0.1]
    languages = own[own["level"].isin(LANGUAGES)].set_index("level").loc[LANGUAGES]
    mean = own[own["level"] == "all"].iloc[0]
    inside = (languages["ci_low"] < values) & (values < languages["ci_high"])
    within = (languages["sim_low"] < values) & (values < languages["sim_high"])
    return {
        "mean": float(mean["ci_low"] < values.mean() < mean["ci_high"]),
        "language": float(inside.mean()),
        "band": float(within.all()),
        "mean width": float(mean["ci_high"] - mean["ci_low"]),
        "band width": float((languages["sim_high"] - languages["sim_low"]).median()),
    }


def make_populations(
    factors: tuple[float, float], noise: np.random.Generator
) -> list[tuple[Answers, dict]]:
    """Two models' answers to the same questions, and their metrics.

    The second one errs on a tenth of the questions by itself. Right options are drawn
    from the scores before they are sharpened by the factors; 1 is calibrated.
    """
    scores = noise.normal(size=(POPULATION, 4)) * 1.5
    probs = calibration.probabilities(scores)
    gold = (noise.random((POPULATION, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    gold, found = np.minimum(gold, 3), []
    for index, factor in enumerate(factors):
        own = scores * factor
        if index:
            other = noise.random(POPULATION) < 0.1
            own[other] = noise.permuted(own[other], axis=1)
        given = answer(own, gold)
        names = ("accuracy", "gap", "ece")
        found.append((given, {n: calibration.METRICS[n].compute(given) for n in names}))
    return found


def cover_answers(
    factors: tuple[float, float], n: int, studies: int, noise: np.random.Generator
) -> Iterator[dict[str, object]]:
    """Coverage and width of differences between two models on the same questions."""
    names = [str(number) for number in range(n)]
    resampler = Resampler("t", names, replicates=200, seed=0, confidence=0.95)
    populations = make_populations(factors, noise)
    found: dict[tuple, list] = {}
    for _ in range(studies):
        rows = noise.integers(0, POPULATION, n)
        measured = []
        for given, _ in populations:
            drawn = answer(given.scores[rows], given.gold[rows])
            sample = resampler.sample(names, drawn)
            (about,) = resampler.uncertainty([sample])
            measured.append(
                {
                    name: RunMetric(
                        ["en"],
                        np.array([calibration.METRICS[name].compute(drawn)]),
                        np.array([about[name].get("null_mean", np.nan)]),
                        np.array([n]),
                        about[name]["replicates"][None],
                    )
                    for name in ("accuracy", "gap", "ece")
                }
            )
        for name in ("accuracy", "gap", "ece", "ece by null_mean"):
            metric = name.split(" ")[0]
            sides = []
            for each in measured:
                own = each[metric]
                bias = np.zeros(1)
                if name == "ece":
                    bias = bound_bias(own, each["gap"])
                elif metric == "ece":
                    bias = own.null_means
                sides.append(
                    Side(own.values[None], own.replicates.T.astype(float), bias)
                )
            effect = Effect({"metric": metric}, ["en"], *sides, np.array([n]))
            row = describe([effect], margin=MARGIN, confidence=0.95).iloc[0]
            truth = populations[1][1][metric] - populations[0][1][metric]
            held = row["ci_low"] <= truth <= row["ci_high"]
            found.setdefault((name, truth), []).append(
                (held, row["ci_high"] - row["ci_low"])
            )
    for (name, truth), pairs in found.items():
        held, width = np.mean(pairs, axis=0)
        yield {"metric": name, "truth": truth, "covered": held, "width": width}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--questions", type=int, nargs="+", default=[658, 14_042])
    options = parser.parse_args()
    noise = np.random.default_rng(0)
    error = (0.05 * 0.95 / options.studies) ** 0.5
    print(f"{options.studies} studies; standard error of a share of 5 %: {error:.3f}")
    print("One seed: the truth is this training's; several: the mean over trainings.\n")
    heads = ["mean", "language", "band", "mean width", "band width"]
    claims = ("overconfidence", "smoothing", "everywhere")
    heads += [f"wrong {name}" for name in claims] + ["smoothing shown"]
    print(f"| questions | effect | seeds | {' | '.join(heads)} |")
    print("|" + "---|" * (3 + len(heads)))
    for n in options.questions:
        for size in EFFECTS:
            for n_seeds in SEEDS:
                found = judge_studies(n_seeds, n, size, options.studies, noise)
                cells = [
                    f"{100 * found[name]:.1f}" + (" pp" if "width" in name else " %")
                    for name in heads
                ]
                first = f"| {n} | {100 * size:.0f} pp | {n_seeds} | "
                print(first + " | ".join(cells) + " |", flush=True)
    print("\n| questions | factors | difference of | truth | covered | width |")
    print("|" + "---|" * 6)
    for n in options.questions:
        for factors in ((1.0, 1.0), (1.0, 1.1), (1.1, 1.5), (1.5, 1.0)):
            studies = options.studies if n < 5000 else max(options.studies // 4, 1)
            for row in cover_answers(factors, n, studies, noise):
                print(
                    f"| {n} | {factors[0]:g} → {factors[1]:g} | {row['metric']} | "
                    f"{100 * row['truth']:+.1f} pp | {100 * row['covered']:.1f} % | "
                    f"{100 * row['width']:.1f} pp |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

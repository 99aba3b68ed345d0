"""How often verdicts err, and how often intervals and bands hold the truth.

    python benchmarks/claims.py [--questions 658 14042] [--studies 100] [--covered 300]

Made-up studies with a known truth, through polycal's own functions. The first two
tables have two models in 42 languages, whose bins of confidence err by noise of
questions and of trainings; the third one has real answers of models whose calibration
error is known.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from polycal import calibration
from polycal.calibration import Answers, answer
from polycal.calibration.bins import N_BINS, width_bins
from polycal.comparing.claims import CLAIMS, DIRECTIONS, TO_BASE, TO_SCALED, TO_SFT
from polycal.comparing.effects import Effect, Side, describe
from polycal.comparing.replicates import RunMetric
from polycal.comparing.verdicts import HOLDS, NEGLIGIBLE, REVERSED, Primary, judge
from polycal.comparing.vocabularies import compare_models, compares_models
from polycal.measuring.biases import cross_fit
from polycal.measuring.resampling import Resampler
from polycal.study.languages import load_languages

SEEDS = (1, 2, 3, 5)
MARGIN = 0.01
# What SFT adds to accuracy and to confidence, and what smoothing adds to both then.
SCENARIOS = {
    "no effect": ((0.0, 0.0), (0.0, 0.0)),
    "at the margin": ((-MARGIN, 0.0), (-MARGIN, -2 * MARGIN)),
    "effect": ((0.0, 0.03), (0.0, -0.03)),
}
# Sd over trainings that languages share and that each has for itself, fractions.
OF_ACCURACY, OF_CONFIDENCE = (0.003, 0.003), (0.005, 0.005)
SMOOTHINGS = (0.0, 0.1, 0.2)
# Trainings of one seed share the order of the examples. The parts of the variance that
# all of them and those with smoothing share make the correlations that the embedded
# study had until 30 November 2026: 0.25 and 0.6 of differences to the base model, 0.73
# of those to plain SFT.
_BY_SEED, _BY_SMOOTHED = 0.25, 0.35
VOCABULARIES = {"a": 128_000, "b": 32_000}  # the models
LANGUAGES = [code for code, own in load_languages().items() if own.in_global_mmlu]
IS_LOW = np.array([load_languages()[code].level == "low" for code in LANGUAGES])
REPLICATES = 200
POPULATION = 300_000
READING = {"sft": "s", "task": "t", "scoring": "letters", "normaliser": "sum"}
METRICS = ("accuracy", "confidence", "gap", "ece", "brier")
ANSWERED = ("accuracy", "gap", "ece")

# Answers by bin of confidence: shares, and gaps that sum to 0.
_MIDDLES = (np.arange(3, N_BINS) + 0.5) / N_BINS
_SHARES = np.exp(-(((_MIDDLES - 0.5) / 0.25) ** 2))
_SHARES /= _SHARES.sum()
_RIPPLE = 0.01 * np.where(np.arange(len(_SHARES)) % 2, 1.0, -1.0)
_RIPPLE -= (_RIPPLE * _SHARES).sum()
_BASE_GAP, _BASE_ACCURACY = 0.03, 0.4
_BY_LANGUAGE, _BY_CONDITION = 0.25, 0.6  # shared parts of the variance over questions


class Truth(NamedTuple):
    """Numbers [..., L] of a condition without noise of questions."""

    accuracy: np.ndarray
    confidence: np.ndarray
    brier_shift: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        return self.confidence - self.accuracy

    def metrics(self) -> dict[str, np.ndarray]:
        """The numbers by metric, as if there were all questions."""
        ece = (_SHARES * abs(self.gap[..., None] + _RIPPLE)).sum(-1)
        brier = 0.7 + self.gap / 2 + self.brier_shift
        values = (self.accuracy, self.confidence, self.gap, ece, brier)
        return dict(zip(METRICS, values, strict=True))


class Errors(NamedTuple):
    """Errors of questions: [..., L, B] of gaps by bin, [..., L] of two means."""

    gaps: np.ndarray
    confidence: np.ndarray
    brier: np.ndarray


def draw_training(
    sizes: tuple, shape: tuple, noise: np.random.Generator
) -> dict[float, np.ndarray]:
    """Normal noise [S, L] of trainings by smoothing; languages share a part."""

    def draw() -> np.ndarray:
        common, specific = sizes
        shared = noise.normal(0, common, (shape[0], 1))
        return shared + noise.normal(0, specific, shape)

    by_seed, by_smoothed = np.sqrt(_BY_SEED) * draw(), np.sqrt(_BY_SMOOTHED) * draw()
    own = {0.0: np.sqrt(1 - _BY_SEED) * draw()}
    for smoothing in SMOOTHINGS[1:]:
        own[smoothing] = np.sqrt(1 - _BY_SEED - _BY_SMOOTHED) * draw() + by_smoothed
    return {smoothing: by_seed + error for smoothing, error in own.items()}


class Questions:
    """Errors of n questions, and their replicates, shared in part by all conditions."""

    def __init__(self, n: int, noise: np.random.Generator) -> None:
        self._noise = noise
        sd = np.sqrt(_MIDDLES * (1 - _MIDDLES) / (n * _SHARES))
        self._sizes = (sd, 0.18 / np.sqrt(n), 0.35 / np.sqrt(n))
        self.null_mean = float((_SHARES * sd).sum() * np.sqrt(2 / np.pi))
        self._shared = [self._draw(1), self._draw(REPLICATES)]

    def condition(self) -> tuple[Errors, Errors]:
        """Errors [L] of a condition, and those [R, L] of its replicates."""
        made = []
        for shared in self._shared:
            own = self._draw(len(shared.confidence))
            parts = zip(shared, own, strict=True)
            mixed = (
                np.sqrt(_BY_CONDITION) * a + np.sqrt(1 - _BY_CONDITION) * b
                for a, b in parts
            )
            made.append(Errors(*mixed))
        observed, replicates = made
        return Errors(*(each[0] for each in observed)), replicates

    def _draw(self, r: int) -> Errors:
        drawn = []
        for size, tail in zip(self._sizes, ((len(_SHARES),), (), ()), strict=True):
            shape = r, len(LANGUAGES), *tail
            common = self._noise.normal(size=(r, 1, *tail))
            own = self._noise.normal(size=shape)
            mixed = np.sqrt(_BY_LANGUAGE) * common + np.sqrt(1 - _BY_LANGUAGE) * own
            drawn.append(size * mixed)
        return Errors(*drawn)


def measure(truth: Truth, errors: Errors) -> dict[str, np.ndarray]:
    """The metrics of a condition with errors of questions."""
    by_bin = truth.gap[..., None] + _RIPPLE + errors.gaps
    gap = (_SHARES * by_bin).sum(-1)
    confidence = truth.confidence + errors.confidence
    ece = (_SHARES * abs(by_bin)).sum(-1)
    brier = truth.metrics()["brier"] + errors.brier
    return dict(
        zip(METRICS, (confidence - gap, confidence, gap, ece, brier), strict=True)
    )


class Condition(NamedTuple):
    """A condition of a model: what it is, and a `Side` of every metric."""

    expected: dict[str, np.ndarray]  # [L] over trainings
    own: dict[str, np.ndarray]  # [L] of the trainings that there are
    sides: dict[str, Side]


def expect(truth: Truth, is_trained: bool) -> dict[str, np.ndarray]:
    """The metrics [L] over all trainings."""
    if not is_trained:
        return truth.metrics()
    nodes, weights = special.roots_hermitenorm(31)
    sd = np.sqrt(
        sum(size**2 for sizes in (OF_ACCURACY, OF_CONFIDENCE) for size in sizes)
    )
    moved = truth._replace(confidence=truth.confidence + sd * nodes[:, None])
    weights = weights / weights.sum()
    shape = len(nodes), len(truth.accuracy)
    return {
        name: weights @ np.broadcast_to(values, shape)
        for name, values in moved.metrics().items()
    }


def make_condition(
    truth: Truth, deviations: tuple | None, n_seeds: int, questions: Questions
) -> Condition:
    """A condition of several trainings, which answer the same questions."""
    errors, replicated = questions.condition()
    zeros = np.zeros((n_seeds, len(LANGUAGES)))
    accuracy, confidence = deviations or (zeros, zeros)
    trained = Truth(
        truth.accuracy + accuracy, truth.confidence + confidence, truth.brier_shift
    )
    seen, drawn = [], []
    for seed in range(n_seeds):
        one = Truth(trained.accuracy[seed], trained.confidence[seed], truth.brier_shift)
        seen.append(measure(one, errors))
        drawn.append(measure(one, replicated))
    nulls = np.full(len(LANGUAGES), questions.null_mean)
    sides = {}
    for name in METRICS:
        bias = np.zeros(len(LANGUAGES))
        if name == "ece":
            bounds = []
            for a, b in zip(seen, drawn, strict=True):
                ece, gap = (
                    RunMetric(LANGUAGES, a[m], nulls, nulls, b[m].T)
                    for m in ("ece", "gap")
                )
                bounds.append(ece.bound_bias(gap))
            bias = np.mean(bounds, axis=0)
        values = np.stack([each[name] for each in seen])
        mean = np.mean([each[name] for each in drawn], axis=0)
        sides[name] = Side(values, mean, bias)
    own = {name: values.mean(axis=0) for name, values in trained.metrics().items()}
    return Condition(expect(truth, deviations is not None), own, sides)


def make_truths(scenario: tuple) -> tuple[Truth, Truth, Truth]:
    """The base model, plain SFT and smoothing."""
    n = len(LANGUAGES)
    (sft_accuracy, sft_confidence), (accuracy, confidence) = scenario
    zeros = np.zeros(n)
    base = Truth(
        np.full(n, _BASE_ACCURACY), np.full(n, _BASE_ACCURACY + _BASE_GAP), zeros
    )
    plain = Truth(base.accuracy + sft_accuracy, base.confidence + sft_confidence, zeros)
    smoothed = Truth(plain.accuracy + accuracy, plain.confidence + confidence, zeros)
    return base, plain, smoothed


def draw_deviations(n_seeds: int, noise: np.random.Generator) -> dict[float, tuple]:
    """By how much accuracy and confidence [S, L] of trainings are off, by smoothing."""
    shape = n_seeds, len(LANGUAGES)
    both = [
        draw_training(sizes, shape, noise) for sizes in (OF_ACCURACY, OF_CONFIDENCE)
    ]
    return {smoothing: tuple(own[smoothing] for own in both) for smoothing in both[0]}


def make_model(
    scenario: tuple, n_seeds: int, questions: Questions, noise: np.random.Generator
) -> dict[tuple, Condition]:
    """The conditions of a model by smoothing (None: base) and calibrator."""
    base, plain, smoothed = make_truths(scenario)
    # A temperature takes a third of what smoothing does, and changes no answer.
    accuracy, confidence = scenario[1]
    scaled = [
        each._replace(confidence=each.confidence + (confidence - accuracy) / 3)
        for each in (plain, smoothed)
    ]
    conditions = {
        (None, "none"): make_condition(base, None, n_seeds, questions),
    }
    for smoothing, deviations in draw_deviations(n_seeds, noise).items():
        for calibrator, both in (("none", (plain, smoothed)), ("ts_en", scaled)):
            truth = both[smoothing > 0]
            conditions[smoothing, calibrator] = make_condition(
                truth, deviations, n_seeds, questions
            )
    return conditions


def make_groups(
    model: str, conditions: dict[tuple, Condition], n: int
) -> Iterator[tuple[list[Effect], list[tuple[Condition, Condition]]]]:
    """The effects whose noise is pooled, each with its two conditions."""
    sizes = np.full(len(LANGUAGES), n)
    plain = 0.0, "none"
    for reference, calibrator, pairs in (
        (TO_BASE, "none", [((None, "none"), (s, "none")) for s in SMOOTHINGS]),
        (TO_SFT, "none", [(plain, (0.1, "none")), (plain, (0.2, "none"))]),
        (TO_SFT, "ts_en", [((0.0, "ts_en"), (s, "ts_en")) for s in (0.1, 0.2)]),
        (TO_SCALED, "none", [((0.0, "ts_en"), (s, "none")) for s in (0.1, 0.2)]),
    ):
        both = [(conditions[before], conditions[after]) for before, after in pairs]
        claimed = {
            claim.metric
            for claim in CLAIMS.values()
            if (claim.reference, claim.calibrator) == (reference, calibrator)
        }
        for metric in sorted(claimed):
            effects = []
            for (_, (smoothing, _)), sides in zip(pairs, both, strict=True):
                key = {"model": model, "smoothing": smoothing, "reference": reference}
                key |= {"calibrator": calibrator, "metric": metric}
                effects.append(
                    Effect(
                        READING | key,
                        LANGUAGES,
                        *(condition.sides[metric] for condition in sides),
                        sizes,
                    )
                )
            yield effects, both


class Study(NamedTuple):
    """Contrasts and claims of one study, and the true differences [L] of each."""

    contrasts: pd.DataFrame
    claims: pd.DataFrame
    truth: dict[tuple, np.ndarray]
    gaps: dict[tuple, np.ndarray]  # the larger of the two true gaps


def make_study(
    scenario: tuple, n_seeds: int, n: int, noise: np.random.Generator
) -> Study:
    """Draw a study and judge its claims."""
    questions = Questions(n, noise)
    pools, by_model, truth, gaps = [], [], {}, {}
    models = {
        model: make_model(scenario, n_seeds, questions, noise) for model in VOCABULARIES
    }
    which = "own" if n_seeds == 1 else "expected"
    for model, conditions in models.items():
        for effects, both in make_groups(model, conditions, n):
            pools.append(effects)
            by_model += [effect for effect in effects if compares_models(effect)]
            for effect, sides in zip(effects, both, strict=True):
                before, after = (getattr(side, which) for side in sides)
                names = ("reference", "calibrator", "metric", "smoothing")
                key = model, *(effect.key[name] for name in names)
                metric = effect.key["metric"]
                truth[key] = after[metric] - before[metric]
                gaps[key] = np.maximum(after["gap"], before["gap"])
    for effect in compare_models(by_model, VOCABULARIES):
        pools.append([effect])
        smoothing, model = effect.key["smoothing"], effect.key["model"]
        both = {
            name: [getattr(own[s, "none"], which)["gap"] for s in (0.0, smoothing)]
            for name, own in models.items()
        }
        share = np.mean(
            [b.mean() / a.mean() for name, (a, b) in both.items() if name != model]
        )
        before, after = both[model]
        key = model, "others", "none", "gap", smoothing
        truth[key] = after - before * share
        gaps[key] = np.maximum(after, before * share)
    frame = describe(pools, margin=MARGIN, confidence=0.95)
    contrasts, claims = judge(frame, primary=Primary(), alpha=0.05)
    return Study(contrasts, claims, truth, gaps)


def assess(study: Study) -> pd.DataFrame:
    """Return for each family whether a verdict is wrong, and how many are right."""
    rows = []
    for row in study.claims[study.claims["estimate"].notna()].to_dict("records"):
        claim = CLAIMS[row["claim"]]
        key = (
            row["model"],
            claim.reference,
            claim.calibrator,
            claim.metric,
            row["smoothing"],
        )
        values, gaps = study.truth[key], study.gaps[key]
        if claim.level != "each":
            kept = IS_LOW if claim.level == "low" else np.ones(len(values), bool)
            values, gaps = (
                values[kept].mean(keepdims=True),
                gaps[kept].mean(keepdims=True),
            )
        direction, least = DIRECTIONS[claim.direction], 1e-9
        over = (gaps > 0) | (not claim.over)
        true = (direction.beyond(values, values, MARGIN) > least) & over
        false = (direction.beyond_reversed(values, values, MARGIN) > least) & over
        small = abs(values) < MARGIN - least
        verdict = row["verdict"]
        holds = verdict.startswith(HOLDS)
        rows.append(
            {
                "claim": claim.name,
                "wrong": (holds and not true.all())
                or (verdict.startswith(REVERSED) and not false.any()),
                "wrong negligible": verdict.startswith(NEGLIGIBLE) and not small.all(),
                "right": bool(holds and true.all()),
            }
        )
    families = pd.DataFrame(rows).groupby("claim")
    errors = families[["wrong", "wrong negligible"]].any().astype(float)
    # What no study of this kind can judge is neither wrong nor right.
    found = errors.assign(right=families["right"].mean())
    return found.reindex(list(CLAIMS), fill_value=0.0)


def cover(
    scenario: tuple, n_seeds: int, n: int, noise: np.random.Generator
) -> pd.DataFrame:
    """Return what the intervals and bands of one study hold: SFT of both models.

    With and without smoothing, which changes nothing here. Nothing else of the study
    is made, which takes a fifth of the time.
    """
    questions = Questions(n, noise)
    base, plain, _ = make_truths(scenario)
    sizes, pools, truths = np.full(len(LANGUAGES), n), [], []
    for _ in VOCABULARIES:
        before = make_condition(base, None, n_seeds, questions)
        trained = [
            make_condition(plain, deviations, n_seeds, questions)
            for deviations in draw_deviations(n_seeds, noise).values()
        ]
        which = "own" if n_seeds == 1 else "expected"
        for metric in ANSWERED:
            pairs = [(before.sides[metric], after.sides[metric]) for after in trained]
            pools.append(
                [Effect({"metric": metric}, LANGUAGES, *both, sizes) for both in pairs]
            )
            truths += [
                getattr(after, which)[metric] - before.own[metric] for after in trained
            ]
    described = describe(pools, margin=MARGIN, confidence=0.95)
    rows, n_rows = [], len(described) // len(truths)
    for index, values in enumerate(truths):
        own = described[n_rows * index :][:n_rows].set_index("level")
        mean, languages = own.loc["all"], own.loc[LANGUAGES]
        inside = (languages["ci_low"] < values) & (values < languages["ci_high"])
        within = (languages["sim_low"] < values) & (values < languages["sim_high"])
        widths = languages["sim_high"] - languages["sim_low"]
        rows.append(
            {
                "metric": mean["metric"],
                "mean": float(mean["ci_low"] < values.mean() < mean["ci_high"]),
                "language": float(inside.mean()),
                "band": float(within.all()),
                "mean width": float(mean["ci_high"] - mean["ci_low"]),
                "band width": float(widths.median()),
            }
        )
    return pd.DataFrame(rows).groupby("metric").mean()


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
        found.append(
            (given, {n: calibration.METRICS[n].compute(given) for n in ANSWERED})
        )
    return found


def cross_fit_bins(given: Answers) -> float:
    """The sign-cross-fitted ECE, which is biased down."""
    confidence, correct = given.top
    bins = width_bins(confidence)
    n = np.bincount(bins, minlength=N_BINS)
    n, used = n[n > 0], n > 0
    gap = np.bincount(bins, confidence - correct, minlength=N_BINS)[used] / n
    right = (np.bincount(bins, correct, minlength=N_BINS)[used] + 1) / (n + 2)
    spread = np.sqrt(right * (1 - right) / n)
    return float((n * cross_fit(gap, spread)).sum() / n.sum())


def cover_answers(
    factors: tuple[float, float], n: int, studies: int, noise: np.random.Generator
) -> Iterator[dict[str, object]]:
    """Coverage and width: of one model, and of two models on the same questions.

    The ECE of a difference by today's bound of its bias, and by two others: the ECE of
    a calibrated model, and the distance to the cross-fitted ECE.
    """
    names = [str(number) for number in range(n)]
    resampler = Resampler("t", names, replicates=200, seed=0, confidence=0.95)
    populations = make_populations(factors, noise)
    found: dict[tuple, list] = {}
    for _ in range(studies):
        rows = noise.integers(0, POPULATION, n)
        measured, fitted = [], []
        for given, truth in populations:
            drawn = answer(given.scores[rows], given.gold[rows])
            (about,) = resampler.uncertainty([resampler.sample(names, drawn)])
            fitted.append(cross_fit_bins(drawn))
            measured.append({})
            for name in ANSWERED:
                own = about[name]
                measured[-1][name] = RunMetric(
                    ["en"],
                    np.array([calibration.METRICS[name].compute(drawn)]),
                    np.array([own.get("null_mean", np.nan)]),
                    np.array([n]),
                    own["replicates"][None],
                )
                if len(measured) == 1:
                    ends = own["ci_low"], own["ci_high"]
                    found.setdefault((name, truth[name]), []).append(ends)
        bounds = {
            "": [each["ece"].bound_bias(each["gap"]) for each in measured],
            " by null_mean": [each["ece"].null_means for each in measured],
            " by cross-fitting": [
                np.maximum(each["ece"].values - low, 0)
                for each, low in zip(measured, fitted, strict=True)
            ],
        }
        for metric in ANSWERED:
            truth = populations[1][1][metric] - populations[0][1][metric]
            for name in bounds if metric == "ece" else [""]:
                biases = bounds[name] if metric == "ece" else [np.zeros(1)] * 2
                sides = [
                    Side(own.values[None], own.replicates.T.astype(float), bias)
                    for own, bias in zip(
                        (each[metric] for each in measured), biases, strict=True
                    )
                ]
                effect = Effect({"metric": metric}, ["en"], *sides, np.array([n]))
                row = describe([[effect]], margin=MARGIN, confidence=0.95).iloc[0]
                key = f"difference of {metric}{name}", truth
                found.setdefault(key, []).append((row["ci_low"], row["ci_high"]))
    for (name, truth), intervals in found.items():
        low, high = np.array(intervals).T
        covered = float(((low <= truth) & (truth <= high)).mean())
        yield {
            "number": name,
            "truth": truth,
            "covered": covered,
            "width": float((high - low).mean()),
        }


def print_head(*names: str) -> None:
    print(f"\n| {' | '.join(names)} |")
    print("|" + "---|" * len(names))


def join(values: pd.Series | np.ndarray) -> str:
    """Percentages by number of seeds."""
    return " · ".join(f"{100 * value:.0f}" for value in values) + " %"


def draw_cells(n: int, scenarios: list[str]) -> Iterator[tuple]:
    """Scenarios and numbers of seeds, each with random numbers of its own."""
    for name, n_seeds in itertools.product(scenarios, SEEDS):
        index = list(SCENARIOS).index(name)
        noise = np.random.default_rng([n, index, n_seeds])
        yield (name, n_seeds), (SCENARIOS[name], n_seeds, n, noise)
        print(f"{n} questions, {name}, {n_seeds} seeds", file=sys.stderr, flush=True)


def print_claims(n: int, studies: int) -> None:
    """Print how often claims err."""
    verdicts = {}
    for cell, about in draw_cells(n, list(SCENARIOS)):
        assessed = [assess(make_study(*about)) for _ in range(studies)]
        verdicts[cell] = sum(assessed) / studies
    frame = pd.concat(verdicts, names=["scenario", "seeds", "claim"]).unstack("seeds")
    share = 1.96 * (0.05 * 0.95 / studies) ** 0.5
    print(f"\n{n} questions, {studies} studies; 1 · 2 · 3 · 5 seeds")
    print(f"95 % interval of a share of 5 %: +-{100 * share:.1f} points")
    heads = [("wrong", name) for name in SCENARIOS]
    heads += [("wrong negligible", "at the margin"), ("right", "effect")]
    print_head("claim", *(f"{what}, {name}" for what, name in heads))
    for claim in CLAIMS:
        cells = [join(frame.loc[(name, claim), what]) for what, name in heads]
        print(f"| `{claim}` | {' | '.join(cells)} |", flush=True)


def print_coverage(n: int, studies: int) -> None:
    """Print what intervals and bands hold, and how wide they are."""
    covers, errors = {}, []
    scenarios = ["no effect", "effect"]
    for cell, about in draw_cells(n, scenarios):
        covered = [cover(*about) for _ in range(studies)]
        covers[cell] = sum(covered) / studies
        spread = np.std(covered, axis=0, ddof=1)[:, :3].max(axis=0)
        errors.append(1.96 * spread / studies**0.5)
    frame = pd.concat(covers, names=["scenario", "seeds", "metric"]).unstack("seeds")
    widest = ", ".join(f"{100 * error:.1f}" for error in np.max(errors, axis=0))
    print(f"\n{n} questions, {studies} studies of two models; 1 · 2 · 3 · 5 seeds")
    print(f"95 % intervals of coverage: +-{widest} points (mean, language, band)")
    columns = ("mean", "language", "band", "mean width", "band width")
    print_head("scenario", "difference of", *columns)
    for name, metric in itertools.product(scenarios, ANSWERED):
        own = frame.loc[(name, metric)]
        cells = [
            " · ".join(f"{100 * value:.1f}" for value in own[column]) + " pp"
            if "width" in column
            else join(own[column])
            for column in columns
        ]
        print(f"| {name} | {metric} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, nargs="+", default=[658, 14_042])
    parser.add_argument("--studies", type=int, default=100, help="whole studies")
    parser.add_argument("--covered", type=int, default=300, help="of SFT alone")
    options = parser.parse_args()
    print("One seed: the truth is this training's; several: the mean over trainings.")
    print("Wrong: a claim of the family holds or is reversed, and is not so.")
    for n in options.questions:
        if options.studies:
            print_claims(n, options.studies)
        if options.covered:
            print_coverage(n, options.covered)
    print_head("questions", "factors", "number", "truth", "covered", "width")
    noise = np.random.default_rng(0)
    for n in options.questions:
        for factors in ((1.0, 1.0), (1.0, 1.1), (1.1, 1.5), (1.5, 1.0)):
            for row in cover_answers(factors, n, 200, noise):
                print(
                    f"| {n} | {factors[0]:g} → {factors[1]:g} | {row['number']} | "
                    f"{100 * row['truth']:+.1f} pp | {100 * row['covered']:.1f} % | "
                    f"{100 * row['width']:.1f} pp |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

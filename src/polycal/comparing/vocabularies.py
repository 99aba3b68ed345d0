"""The share of over-confidence that smoothing removes, model against model.

Smoothing spreads its part of the target over the vocabulary; arXiv 2601.01362 finds
that it helps models with large vocabularies least. Shares are compared, under letters
only, because a gap by the texts of options depends on the tokenizer.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from polycal.comparing.claims import CLAIMS, TO_OTHERS, TO_SFT
from polycal.comparing.effects import Effect, Side
from polycal.study.scorings import HEADLINE

_COMPARED = {
    (claim.metric, claim.scoring)
    for claim in CLAIMS.values()
    if claim.reference == TO_OTHERS
}


def compares_models(effect: Effect) -> bool:
    """Return whether a claim compares models by this effect of smoothing."""
    key = effect.key
    return (
        key["reference"] == TO_SFT
        and (key["metric"], key["scoring"]) in _COMPARED
        and key["calibrator"] == "none"
        and key["normaliser"] == HEADLINE[key["scoring"]]
    )


def compare_models(
    effects: Iterable[Effect], vocabularies: Mapping[str, int]
) -> Iterator[Effect]:
    """Compare the gap of the largest vocabulary with that of the others' share.

    The reference is the gap that plain SFT would keep if smoothing removed the same
    share of it as in the other models on average: gap (1 + share), with share the
    change of the mean gap over languages divided by the mean gap. The difference is in
    fractions, so the margin applies. The models answer the same questions, so their
    replicates are paired. Their seeds are independent, so any order pairs them.

    Args:
        effects: of smoothing, those that `compares_models` takes.
        vocabularies: model -> tokens; models that are not in it are left out.

    Yields:
        One effect for each SFT set, smoothing, task and reading; none where a single
        model is left, several share the largest vocabulary, the models differ in their
        languages or in the number of their seeds, or another model's plain SFT is not
        over-confident in nearly every replicate, so that it has no share.
    """
    groups: dict[tuple, dict[str, Effect]] = {}
    for effect in effects:
        shared = {name: x for name, x in effect.key.items() if name != "model"}
        model = effect.key["model"]
        if model in vocabularies:
            groups.setdefault(tuple(shared.items()), {})[model] = effect
    for of_models in groups.values():
        most = max(vocabularies[model] for model in of_models)
        largest = [e for model, e in of_models.items() if vocabularies[model] == most]
        others = [e for model, e in of_models.items() if vocabularies[model] < most]
        (one, *more) = largest
        alike = all(
            other.languages == one.languages and other.seeds.shape == one.seeds.shape
            for other in others
        )
        if more or not others or not alike or not all(map(_is_over, others)):
            continue
        expected = [
            own * (1 + np.mean([_share(*pair) for pair in pairs], axis=0))
            for own, pairs in (
                (one.before.seeds, [(e.before.seeds, e.after.seeds) for e in others]),
                (
                    one.before.replicates,
                    [(e.before.replicates, e.after.replicates) for e in others],
                ),
            )
        ]
        yield one._replace(
            key=one.key | {"reference": TO_OTHERS},
            before=Side._make([*expected, one.before.bias]),
        )


def _is_over(effect: Effect) -> bool:
    """Return whether plain SFT is over-confident in 97.5 % of the replicates."""
    means = effect.before.replicates.mean(axis=1)
    return bool((means > 0).mean() > 0.975)


def _share(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the change of the mean of L languages as a share of it [N, 1]."""
    means = before.mean(axis=1, keepdims=True)
    return (after.mean(axis=1, keepdims=True) - means) / means

"""The effect of smoothing in the model with the largest vocabulary, and in the others.

Smoothing spreads its part of the target over the vocabulary; arXiv 2601.01362 finds
that it helps models with large vocabularies least.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from polycal.comparing.claims import CLAIMS, TO_OTHERS, TO_SFT
from polycal.comparing.effects import Effect
from polycal.study.scorings import HEADLINE

_METRICS = {c.metric for c in CLAIMS.values() if c.reference == TO_OTHERS}


def compares_models(effect: Effect) -> bool:
    """Return whether a claim compares models by this effect of smoothing."""
    key = effect.key
    return (
        key["reference"] == TO_SFT
        and key["metric"] in _METRICS
        and key["calibrator"] == "none"
        and key["normaliser"] == HEADLINE[key["scoring"]]
    )


def compare_models(
    effects: Iterable[Effect], vocabularies: Mapping[str, int]
) -> Iterator[Effect]:
    """Subtract the other models' mean effect from that of the largest vocabulary.

    The models answer the same questions, so their replicates are paired. Their seeds
    are independent, so any order pairs them.

    Args:
        effects: of smoothing, those that `compares_models` takes.
        vocabularies: model -> tokens; models that are not in it are left out.

    Yields:
        One effect for each SFT set, smoothing, task and reading; none where a single
        model is left, several share the largest vocabulary, or the models differ in
        their languages or in the number of their seeds.
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
        if more or not others or not alike:
            continue
        yield Effect(
            one.key | {"reference": TO_OTHERS},
            one.languages,
            one.seeds - np.mean([other.seeds for other in others], axis=0),
            one.replicates - np.mean([other.replicates for other in others], axis=0),
            np.zeros_like(one.bias),  # no metric that carries a claim has any
        )

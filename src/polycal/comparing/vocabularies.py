"""Does smoothing help the model with the largest vocabulary less than the others?

Smoothing spreads its part of the target over the vocabulary; arXiv 2601.01362 finds
that it does least for large vocabularies.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from polycal.comparing.effects import Effect
from polycal.study.scorings import HEADLINE

TO_SFT = "sft"  # the reference of an effect of smoothing
TO_OTHERS = "others"  # and of its difference to that of the other models


def tells(effect: Effect) -> bool:
    """Whether models are compared by this effect: that of smoothing on the gap."""
    place = effect.place
    return (
        place["reference"] == TO_SFT
        and place["metric"] == "gap"
        and place["calibrator"] == "none"
        and place["normaliser"] == HEADLINE[place["scoring"]]
    )


def compare_models(
    effects: Iterable[Effect], vocabularies: Mapping[str, int]
) -> Iterator[Effect]:
    """The effect in the model of the largest vocabulary minus the others' mean.

    The models answer the same questions, so that their replicates are paired; their
    seeds have nothing to do with each other, and stand beside each other in any order.

    Args:
        effects: of smoothing, those that `tells` takes.
        vocabularies: model -> tokens; models that are not in it are left out.

    Yields:
        One for each SFT set, smoothing, task and way of reading; none where a single
        model is left, several share the largest vocabulary, or the models differ in
        their languages or in the number of their seeds.
    """
    groups: dict[tuple, dict[str, Effect]] = {}
    for effect in effects:
        shared = {k: v for k, v in effect.place.items() if k != "model"}
        model = effect.place["model"]
        if model in vocabularies:
            groups.setdefault(tuple(shared.items()), {})[model] = effect
    for held in groups.values():
        most = max(vocabularies[model] for model in held)
        largest = [each for model, each in held.items() if vocabularies[model] == most]
        others = [each for model, each in held.items() if vocabularies[model] < most]
        (one, *more) = largest
        alike = all(
            each.languages == one.languages and each.seeds.shape == one.seeds.shape
            for each in others
        )
        if more or not others or not alike:
            continue
        yield Effect(
            one.place | {"reference": TO_OTHERS},
            one.languages,
            one.seeds - np.mean([each.seeds for each in others], axis=0),
            one.replicates - np.mean([each.replicates for each in others], axis=0),
            np.zeros_like(one.bias),  # the gap has none
        )

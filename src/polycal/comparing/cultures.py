"""Culturally sensitive against agnostic questions."""

from polycal.comparing.paired import (
    Row,
    Study,
    contrasted,
    interval,
    levels_and_languages,
    shared,
)


def cultures(sensitive: Study, agnostic: Study, confidence: float) -> list[Row]:
    """Return sensitive minus agnostic: of each condition, and of each change.

    Args:
        sensitive: conditions on the questions that ask for a culture.
        agnostic: conditions on those that do not.
        confidence: of the intervals.
    """
    both = [condition for condition in sensitive if condition in agnostic]
    cases = [(None, None, condition) for condition in both]
    cases += [case for case in contrasted(sensitive) if set(case[1:]) <= set(both)]
    rows = []
    for reference, before, after in cases:
        signs = {after: 1} if before is None else {after: 1, before: -1}
        parts = [
            (sign * side, study[condition])
            for condition, sign in signs.items()
            for side, study in ((1, sensitive), (-1, agnostic))
        ]
        metrics = set.intersection(*(set(by_metric) for _, by_metric in parts))
        for metric in sorted(metrics):
            terms = [(sign, by_metric[metric]) for sign, by_metric in parts]
            common = shared(numbers for _, numbers in terms)
            for level, codes in levels_and_languages(common).items():
                means = [(sign, numbers.mean(codes)) for sign, numbers in terms]
                value = sum(sign * mean for sign, (mean, _) in means)
                draws = sum(sign * drawn for sign, (_, drawn) in means)
                key = {"reference": reference, "level": level, "metric": metric}
                rows.append(after._asdict() | key | interval(value, draws, confidence))
    return rows

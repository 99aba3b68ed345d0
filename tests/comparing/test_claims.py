"""The records of the claims."""

import pytest
from study import REPOSITORY

from polycal.comparing.claims import CLAIMS, Claim, show_claims

GOOD = {
    "name": "new",
    "statement": "SFT lowers the gap.",
    "reference": "base",
    "level": "low",
    "metric": "gap",
    "direction": "falls",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "nll"}, r"claim 'new': 'nll' may not carry a claim.*'gap'"),
        ({"metric": "auroc"}, "'auroc' may not carry a claim"),
        ({"metric": "brier_top"}, "'brier_top' may not carry a claim"),
        ({"metric": "nothing"}, "'nothing' may not carry a claim"),
        ({"direction": "up"}, "there is no direction 'up'"),
        ({"level": "lowest"}, "there is no level 'lowest'"),
        ({"reference": "plain"}, "there is no reference 'plain'"),
        ({"scoring": "digits"}, "there is no scoring 'digits'"),
        ({"calibrator": "ts"}, "there is no calibrator 'ts'"),
        ({"over": True, "metric": "ece"}, "over-confidence is a gap that rises"),
        ({"over": True, "direction": "stays"}, "over-confidence is a gap that rises"),
    ],
    ids=lambda value: (
        "" if isinstance(value, str) else "-".join(map(str, value.values()))
    ),
)
def test_a_claim_that_nothing_can_judge_cannot_be_written(changes, message):
    """A metric without a margin or without replicates; an unknown word."""
    assert Claim(**GOOD).metric == "gap"
    with pytest.raises(ValueError, match=message):
        Claim(**GOOD | changes)


def test_the_page_shows_every_claim(capsys):
    """docs/statistics.md holds what `polycal show-claims` prints."""
    show_claims()
    printed = capsys.readouterr().out
    assert f"\n\n{printed}\n" in (REPOSITORY / "docs" / "statistics.md").read_text()
    for name, claim in CLAIMS.items():
        assert f"| `{name}` | {claim.statement} |" in printed

"""`polycal plan` says what a study can show, before it runs and after."""

import numpy as np
import pyarrow as pa
import pytest
import yaml
from paper import paper_study
from scipy import stats

from polycal.cli import main
from polycal.errors import InputError
from polycal.planning.power import foresee
from polycal.storage import tables
from polycal.study.languages import load_languages

SD, SHARED, COMMON, SPECIFIC = 0.45, 0.2, 0.01, 0.005  # assumed of gap and trainings
POWER = 0.841621


def find(prospects, claim):
    (found,) = [each for each in prospects if each.claim.name == claim]
    return found


def test_one_seed_decides_2_8_standard_errors_of_questions():
    """Of the mean over the low-resource languages, at the level of nine hypotheses."""
    found = find(foresee(paper_study(), 658, 0.02), "overconfidence")
    assert found.size == 9  # three models, three SFT sets
    low = [code for code in paper_study()["tasks"][0]["languages"]]
    n = sum(load_languages()[code].level == "low" for code in low)
    assert n > 5
    se = SD * np.sqrt((SHARED + (1 - SHARED) / n) / 658)
    z = 2.773  # of 0.05 / 18
    assert found.detectable == pytest.approx((z + POWER) * se, rel=1e-3)
    needed = 658 * (found.detectable / 0.02) ** 2
    assert found.questions == pytest.approx(needed, abs=1)
    assert found.seeds is None
    twice = find(foresee(paper_study(), 4 * 658, 0.02), "overconfidence")
    assert twice.detectable == pytest.approx(found.detectable / 2)


def test_every_language_has_to_be_decided():
    """Of 42, at a power of 0.8^(1/42) = 99.47 % each; one language's noise, not all's.

    By the power of one language, it would be 1.46 pp; it takes 2.11 pp.
    """
    study = paper_study()
    assert len(study["tasks"][0]["languages"]) == 42
    found = find(foresee(study, 14_042, 0.02), "everywhere")
    z = -stats.norm.ppf(0.025 / found.size)
    se = SD / np.sqrt(14_042)
    assert found.detectable == pytest.approx((z + 2.555691) * se, rel=1e-5)
    needed = 14_042 * (found.detectable / 0.02) ** 2
    assert found.questions == pytest.approx(needed, abs=1)


def test_seeds_have_their_noise_by_simulation():
    """Of one model and SFT set, smoothing is decided in 80 % of made-up studies."""
    study = paper_study(seeds=[0, 1, 2])
    study |= {"models": study["models"][:1], "sft": study["sft"][:1]}
    study["smoothing"] = [0, 0.1]
    found = find(foresee(study, 14_042, 0.02), "smoothing")
    assert found.size == 1
    chance, n = np.random.default_rng(0), 20_000
    se = SD * np.sqrt((SHARED + (1 - SHARED) / 42) / 14_042)
    sd = np.hypot(COMMON, SPECIFIC / np.sqrt(42))
    seen = found.detectable + chance.normal(0, sd, (n, 3))
    spread = seen.std(axis=1, ddof=1) / np.sqrt(3)
    estimate = seen.mean(axis=1) + chance.normal(0, se, n)
    half = np.hypot(1.959964 * se, 4.302653 * spread)  # t of 2 degrees of freedom
    # With two degrees of freedom the interval itself varies, which costs a little.
    assert 0.72 < (estimate > half).mean() < 0.82
    assert found.seeds > 3
    assert find(foresee(study, 14_042, 0.2), "smoothing").seeds == 2


def test_a_claim_that_nothing_changes_is_decided_by_its_margin():
    """Whatever effect is asked for; twice the margin needs a quarter."""
    wide = paper_study(statistics={"margin": 0.02})
    own, other, wider = (
        find(foresee(study, 658, effect), "accuracy").questions
        for study, effect in (
            (paper_study(), 0.02),
            (paper_study(), 0.1),
            (wide, 0.02),
        )
    )
    assert own == other
    assert wider == pytest.approx(own / 4, abs=1)


def test_claims_that_a_study_cannot_judge_are_left_out():
    """No English to fit a temperature on; no low-resource language; no smoothing."""
    task = paper_study()["tasks"][0]
    study = paper_study(tasks=[task | {"languages": ["de", "fr"]}], smoothing=[0])
    assert foresee(study, 658, 0.02) == []
    study = paper_study(tasks=[task | {"languages": ["en", "de"]}])
    names = {each.claim.name for each in foresee(study, 658, 0.02)}
    assert "against_temperature" in names
    assert "smoothing" in names
    assert not names & {"confidence", "vocabulary"}


@pytest.fixture
def tell(tmp_path, capsys):
    """Plan the paper's study and return what was printed."""

    def tell(*flags, **changes):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(paper_study(**changes)))
        folders = [f"--results={tmp_path}", f"--resources={tmp_path / 'r'}"]
        main(["plan", "--config", str(path), *folders, *flags])
        return capsys.readouterr().out

    return tell


def test_assumptions_are_printed_and_the_effect_is_asked_for(tell):
    """The effect's questions fall with its square."""
    text = tell()
    assert "Assumed, as there are no results" in " ".join(text.split())
    rows = [
        line.split()
        for line in (*text.splitlines(), *tell("--effect=0.04").splitlines())
        if line.startswith("overconfidence ")
    ]
    first, second = (int(row[5].replace(",", "")) for row in rows)
    assert first == pytest.approx(4 * second, rel=0.01)
    assert "One seed" in text
    assert "One seed" not in tell(seeds=[0, 1])
    with pytest.raises(SystemExit):
        tell("--effect=2")


def test_claims_that_there_are_say_it_themselves(tell, tmp_path):
    """Primary ones; those left undecided say what would decide them."""
    rows = [
        row("smoothing", "holds", detectable=0.03),
        row("smoothing", "inconclusive", detectable=0.01, n_questions_needed=4321),
        row("smoothing", "inconclusive", detectable=0.02, n_seeds_needed=9),
        row("smoothing", "not judged"),
        row("cost", "holds", detectable=0.5, family="exploratory"),
    ]
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["claims"])
    tables.write(table, tmp_path / "claims.parquet", "claims")
    text = tell()
    assert "Assumed, as" not in text
    assert "--effect" not in text
    assert "--effect is not used" in tell("--effect=0.04")
    (line,) = [line for line in text.splitlines() if line.startswith("smoothing ")]
    cells = " ".join(line.split()[1:])
    assert cells == "gap 1 of 3 1 to 3 4,321 to none 9 to none"
    assert not [line for line in text.splitlines() if line.startswith("cost ")]
    (tmp_path / "claims.parquet").write_bytes(b"broken")
    with pytest.raises((InputError, SystemExit)):
        tell()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"seeds": [0, 1]}, "14,042 questions per language and 2 seeds"),
        ({"max_questions": 500}, "500 questions per language and 1 seed"),
    ],
)
def test_claims_say_of_which_size_they_are(tell, tmp_path, changes, told):
    """The study may have grown since; only then is its own size told, too."""
    table = pa.Table.from_pylist(
        [row("smoothing", "holds", detectable=0.03)], tables.SCHEMAS["claims"]
    )
    tables.write(table, tmp_path / "claims.parquet", "claims")
    text = " ".join(tell(**changes).split())
    assert "The claims are of 14,042 questions per language and 1 seed." in text
    assert ("The study now plans" in text) == bool(told)
    if told:
        assert f"The study now plans {told}: run it for claims about it." in text


def row(claim: str, verdict: str, **columns: object) -> dict:
    shared = {"claim": claim, "family": "primary", "metric": "gap", "verdict": verdict}
    return shared | {"n_questions": 14_042, "n_seeds": 1} | columns

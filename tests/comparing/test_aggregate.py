"""The study's tables are complete, in a fixed order, and sum up by resource level."""

import statistics
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from polycal.comparing.aggregate import aggregate, summarise
from polycal.errors import InputError
from polycal.storage import tables

PLACE = {"task": "t", "scoring": "text", "normaliser": "token", "calibrator": "none"}
# Levels: en and de are high, bn is mid, sw is low.
LANGUAGES = ("bn", "de", "en", "sw")


def number(language: str, value: float, **changes: object) -> dict:
    run = {"model": "m", "sft": "s", "smoothing": 0.1, "seed": 0}
    facts = {"subset": "all", "metric": "accuracy", "value": value, "n_questions": 9}
    return run | PLACE | {"language": language} | facts | changes


def bin_of(language: str, **changes: object) -> dict:
    kept = number(language, 0.0, **changes)
    for name in ("subset", "metric", "value", "n_questions"):
        del kept[name]
    bounds = {"bin": 0, "lo": 0.0, "hi": 1.0, "n": 1}
    return kept | bounds | {"sum_confidence": 0.5, "sum_correct": 1.0}


def save(path: Path, rows: list[dict], kind: str) -> Path:
    tables.write(pa.Table.from_pylist(rows, tables.SCHEMAS[kind]), path, kind)
    return path


@pytest.fixture
def call(tmp_path):
    """Aggregate files that hold these groups of languages; return the tables."""

    def call(
        *groups: tuple[str, ...], keep=LANGUAGES, name="out", runs=(), **changes
    ) -> dict:
        files = {"metrics": [], "reliability": []}
        for index, group in enumerate(groups):
            for kind, make in (("metrics", number), ("reliability", bin_of)):
                rows = [
                    make(code, value=float(ord(code[0])), **changes)
                    if kind == "metrics"
                    else make(code, **changes)
                    for code in group
                ]
                path = tmp_path / name / f"{kind}-{index}.parquet"
                files[kind].append(save(path, rows, kind))
        keep = [f"t={'+'.join(keep)}"]
        aggregate(**files, keep=keep, runs=runs, out=tmp_path / name)
        return {
            kind: tables.read(tmp_path / name / f"{kind}.parquet", kind)
            for kind in ("metrics", "reliability", "summary")
        }

    return call


def test_the_tables_do_not_depend_on_the_batches(call):
    """One file, one file a language, any order: equal to the last bit."""
    whole = call(LANGUAGES, name="a")
    parts = call(("sw",), ("de", "bn"), ("en",), name="b")
    for kind, table in whole.items():
        assert table.equals(parts[kind]), kind
    assert whole["metrics"]["language"].to_pylist() == list(LANGUAGES)


def test_languages_that_are_not_asked_for_are_left_out(call):
    """A batch file may hold more than the study."""
    found = call(LANGUAGES, keep=("en", "sw"))
    for kind in ("metrics", "reliability"):
        assert found[kind]["language"].to_pylist() == ["en", "sw"]


def test_a_language_that_is_missing_is_named(call):
    """With the run that lacks it."""
    with pytest.raises(
        InputError, match=r"lack en of t \(text\) for the run m/s/ls-0\.1/seed-0"
    ):
        call(("bn", "de", "sw"))


def test_a_language_with_one_of_two_scorings_is_named(tmp_path):
    """Otherwise the levels would be about other languages under each scoring."""
    rows = [number(code, 0.5) for code in ("en", "sw")]
    rows.append(number("en", 0.5, scoring="letters", normaliser="sum"))
    metrics = save(tmp_path / "m.parquet", rows, "metrics")
    bins = save(tmp_path / "r.parquet", [bin_of("en"), bin_of("sw")], "reliability")
    with pytest.raises(InputError, match=r"metrics lack sw of t \(letters\)"):
        aggregate(
            metrics=[metrics],
            reliability=[bins],
            keep=["t=en+sw"],
            out=tmp_path / "out",
        )


@pytest.mark.parametrize("kind", ["metrics", "reliability"])
def test_what_an_earlier_training_gave_is_refused(kind, tmp_path):
    """A run of the same name whose checkpoint is another one now."""
    run = {"model": "m", "sft": "s", "smoothing": 0.1, "seed": 0}
    rows = [run | {"checkpoint": "now"}, run | {"seed": 1, "checkpoint": None}]
    listed = tables.SCHEMAS["runs"]
    tables.write(pa.Table.from_pylist(rows, listed), tmp_path / "runs.parquet", "runs")

    def call(**made_from):
        files = {}
        for name, make in (("metrics", number), ("reliability", bin_of)):
            files[name] = []
            for seed in (0, 1):
                value = {"value": 0.5} if name == "metrics" else {}
                row = make("en", **value, seed=seed)
                path = tmp_path / f"{name}-{seed}.parquet"
                table = pa.Table.from_pylist([row], tables.SCHEMAS[name])
                digest = made_from.get(name, "now") if seed == 0 else "any"
                tables.write(table, path, name, checkpoint=digest)
                files[name].append(path)
        checkpoints = tmp_path / "runs.parquet"
        aggregate(**files, keep=["t=en"], checkpoints=checkpoints, out=tmp_path)

    call()
    with pytest.raises(InputError, match=f"{kind}-0.* measured from another checkp"):
        call(**{kind: "before"})


def test_a_number_that_is_there_twice_is_refused(call):
    """Otherwise a language would count double."""
    with pytest.raises(InputError, match="some metrics are there twice"):
        call(("bn", "de", "en", "sw"), ("en",))


def test_csv_holds_what_parquet_holds(call, tmp_path):
    """Same rows, same columns, numbers to the last digit."""
    found = call(LANGUAGES)
    for kind, table in found.items():
        frame = pd.read_csv(tmp_path / "out" / f"{kind}.csv")
        assert list(frame.columns) == table.column_names
        assert len(frame) == len(table)
        column = "n" if kind == "reliability" else "value"
        assert frame[column].tolist() == table[column].to_pylist()


def test_a_level_is_the_mean_over_its_languages():
    """High: de and en; all: every language with the same weight; one seed, no sd."""
    values = {"bn": 0.1, "de": 0.2, "en": 0.4, "sw": 0.9}
    frame = pd.DataFrame([number(code, value) for code, value in values.items()])
    rows = summarise(frame).to_pylist()
    assert [row["level"] for row in rows] == ["high", "mid", "low", "all"]
    means = {row["level"]: row["value"] for row in rows}
    assert means == pytest.approx({"high": 0.3, "mid": 0.1, "low": 0.9, "all": 0.4})
    assert [row["n_languages"] for row in rows] == [2, 1, 1, 4]
    assert {row["n_seeds"] for row in rows} == {1}
    assert {row["sd_seeds"] for row in rows} == {None}


def test_seeds_are_a_component_of_their_own():
    """The mean is over seeds, then languages; sd is that of the seeds' means."""
    seeds = {0: (0.1, 0.3), 1: (0.2, 0.4), 2: (0.6, 0.8)}
    frame = pd.DataFrame(
        number(code, value, seed=seed)
        for seed, values in seeds.items()
        for code, value in zip(("de", "en"), values, strict=True)
    )
    row = summarise(frame).to_pylist()[-1]
    assert row["value"] == pytest.approx(0.4)
    assert row["sd_seeds"] == pytest.approx(statistics.stdev([0.2, 0.3, 0.7]))
    assert (row["n_seeds"], row["n_languages"]) == (3, 2)


def test_subsets_of_the_questions_are_kept_apart():
    """Culturally sensitive questions have rows of their own."""
    values = {"all": 0.1, "CS": 0.2}
    frame = pd.DataFrame(number("en", x, subset=name) for name, x in values.items())
    rows = tables.where(summarise(frame), level="all").to_pylist()
    assert {row["subset"]: row["value"] for row in rows} == values


def test_conditions_are_kept_apart():
    """Base and tuned models, and each smoothing, have rows of their own."""
    frame = pd.DataFrame(
        [
            number("en", 0.1, sft="none", smoothing=0.0),
            number("en", 0.2, smoothing=0.0),
            number("en", 0.3),
        ]
    )
    table = summarise(frame)
    assert tables.where(table, level="all")["value"].to_pylist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("smoothing", "run"), [(0.0, "m/s/ls-0/seed-0"), (0.1, "m/s/ls-0.1/seed-0")]
)
def test_only_the_study_s_runs_are_taken_and_all_of_them(call, smoothing, run):
    """A file of another run, put in the place of one's own, is told by its rows."""
    made = {"smoothing": smoothing}
    assert call(LANGUAGES, runs=[run], **made)["metrics"].num_rows
    other = run.replace("seed-", "seed-9")
    with pytest.raises(InputError, match=f"hold the run {run}, which is not of this"):
        call(LANGUAGES, runs=[other], **made)
    with pytest.raises(InputError, match=f"lack the run {other}; measure"):
        call(LANGUAGES, runs=[run, other], **made)


def test_a_run_may_lack_a_task_that_is_said_to_be_lacking_and_no_other(tmp_path):
    """One of two runs is measured on the second task; nothing is made up for it."""
    where = [("t", 0), ("t", 1), ("u", 0)]
    rows = [number("en", 0.5, task=task, seed=seed) for task, seed in where]
    bins = [bin_of("en", task=task, seed=seed) for task, seed in where]
    paths = {
        "metrics": [save(tmp_path / "m.parquet", rows, "metrics")],
        "reliability": [save(tmp_path / "r.parquet", bins, "reliability")],
    }
    keep, out = ["t=en", "u=en"], tmp_path / "out"
    with pytest.raises(InputError, match=r"lack en of u .* run m/s/ls-0\.1/seed-1;"):
        aggregate(**paths, keep=keep, out=out)
    lacking = ["m/s/ls-0.1/seed-1/u"]
    aggregate(**paths, keep=keep, lacking=lacking, out=out)
    found = tables.read(out / "metrics.parquet", "metrics")
    told = found.select(["task", "seed"]).to_pylist()
    assert [tuple(row.values()) for row in told] == [("t", 0), ("u", 0), ("t", 1)]
    also = "m/s/ls-0.1/seed-1/t"
    with pytest.raises(InputError, match=r"hold en of t .*, which is said to be"):
        aggregate(**paths, keep=keep, lacking=[*lacking, also], out=out)


def save_asked(folder: Path, seed: int, **facts: object) -> tuple[Path, Path]:
    """The files of one run, with what `measure` notes of how it was asked."""
    paths = []
    rows = {"metrics": number("de", 0.5, seed=seed), "reliability": bin_of("de")}
    for kind, row in rows.items():
        paths.append(folder / f"{kind}-{seed}.parquet")
        row |= {"seed": seed}
        table = pa.Table.from_pylist([row], tables.SCHEMAS[kind])
        tables.write(table, paths[-1], kind, task="t", **facts)
    return tuple(paths)


def test_the_tables_say_how_a_task_was_asked(tmp_path):
    """With the dtypes of all runs; runs that were asked in another way are refused."""
    facts = {"shots": 5, "max_questions": 20, "question_seed": 0}
    runs = [
        save_asked(tmp_path, seed, **facts, dtype=[dtype], **own)
        for seed, (dtype, own) in enumerate(
            [
                ("float32", {"opens_answer": [True], "own_tokens": 3}),
                ("bfloat16", {"opens_answer": [False, True], "own_tokens": 2}),
                ("float32", {"opens_answer": [True]}),
            ]
        )
    ]
    metrics, reliability = map(list, zip(*runs, strict=True))
    sources = {"metrics": metrics, "reliability": reliability}
    aggregate(**sources, keep=["t=de"], out=tmp_path / "out")
    asked = tables.read_metadata(tmp_path / "out" / "metrics.parquet")["asked"]
    assert asked["t"].items() >= facts.items()
    assert asked["t"]["dtype"] == ["bfloat16", "float32"]
    assert asked["t"]["opens_answer"] == {"m/s": False}
    assert asked["t"]["own_tokens"] == {"m/s": 3}
    assert asked["t"]["cut_options"] == {}
    save_asked(tmp_path, 1, **facts | {"max_questions": 100})
    with pytest.raises(InputError, match=r"-1\.parquet has max_questions 100.*20"):
        aggregate(**sources, keep=["t=de"], out=tmp_path / "out")

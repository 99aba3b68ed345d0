"""An output folder of lm_eval becomes a report in one command."""

import json
import shutil

import numpy as np
import pytest
import yaml
from toys import TOY, make_model, make_tokenizer, save_checkpoint, save_questions

from polycal.errors import InputError
from polycal.preparing.harness_folder import _split_name
from polycal.reporting.harness_report import report_samples
from polycal.scoring.score import score
from polycal.storage import tables
from polycal.storage.provenance import write_provenance

SUBJECTS = [f"subject_{number}" for number in range(6)]
LANGUAGES = ("en", "sw")
ASKED = "{{question.strip()}}\nA. {{options[0]}}\nB. {{options[1]}}\n"
ASKED += "C. {{options[2]}}\nD. {{options[3]}}\nAnswer:"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "Toy-1B"
    tokenizer = make_tokenizer()
    return save_checkpoint(folder, make_model(max_position_embeddings=512), tokenizer)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Global-MMLU's questions in miniature: each subject has two, in each language."""
    folder = tmp_path_factory.mktemp("questions")
    return {
        language: save_questions(
            folder / f"{language}.parquet",
            n=2 * len(SUBJECTS),
            language=language,
            subject=lambda index: SUBJECTS[index % len(SUBJECTS)],
            gold=lambda index: index % 4,
        )
        for language in LANGUAGES
    }


def name_of(row: dict) -> str:
    """The number of a question, without its language."""
    return row["question_id"].split("/")[-1]


@pytest.fixture(scope="module")
def logged(checkpoint, questions, tmp_path_factory):
    """What `lm_eval --log_samples` writes of a group of tasks: a file per subject."""
    pytest.importorskip("lm_eval")
    from lm_eval import simple_evaluate
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM

    folder = tmp_path_factory.mktemp("logged")
    asked = []
    for language, path in questions.items():
        for subject in SUBJECTS:
            rows = tables.where(tables.read(path, "questions"), split="test")
            rows = tables.where(rows, subject=subject).to_pylist()
            data = folder / f"{language}_{subject}.jsonl"
            # In every language the same id; save_questions puts the language first.
            docs = [row | {"question_id": name_of(row)} for row in rows]
            data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
            asked.append(
                ConfigurableTask(
                    config={
                        "task": f"quiz_full_{language}_{subject}",
                        "dataset_path": "json",
                        "dataset_kwargs": {"data_files": {"test": str(data)}},
                        "test_split": "test",
                        "output_type": "multiple_choice",
                        "doc_to_text": ASKED,
                        "doc_to_choice": ["A", "B", "C", "D"],
                        "doc_to_target": "gold",
                        "metric_list": [{"metric": "acc"}],
                    }
                )
            )
    model = HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32")
    found = simple_evaluate(model, tasks=asked, bootstrap_iters=0, device="cpu")
    tracker = EvaluationTracker(output_path=str(folder / "out"))
    tracker.general_config_tracker.log_experiment_args(
        model_source="hf",
        model_args=f"pretrained={checkpoint}",
        system_instruction=None,
        chat_template=None,
        fewshot_as_multiturn=False,
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name, own in samples.items():
        tracker.save_results_samples(task_name=name, samples=own)
    return folder / "out", found["results"]


def test_a_study_of_somebody_else_s_is_kept(logged, tmp_path):
    """Whatever its study's file is called, and even if polycal made the folder."""
    (tmp_path / "config.yaml").write_text("study: mine\n")
    write_provenance(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"holds files that .* did not make"):
        report_samples(folder=logged[0], out=tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_the_report_of_a_folder_has_the_harness_s_and_polycal_s_own_numbers(
    logged, checkpoint, questions, tmp_path
):
    """Its accuracies are the harness's; its scores are those that polycal gives."""
    out = tmp_path / "theirs"
    report_samples(folder=logged[0], out=out)
    assert (out / "results/partial/index.html").stat().st_size > 10_000
    study = yaml.safe_load((out / "study.yaml").read_text())
    (task,) = study["tasks"]
    assert (task["name"], task["languages"]) == ("quiz_full", list(LANGUAGES))
    assert study["scoring"] == ["letters"]
    run = f"{study['models'][0]['name']}/none/ls-0/seed-0/quiz_full"
    metrics = tables.read(out / f"results/metrics/{run}.parquet", "metrics")
    score(
        checkpoint=checkpoint,
        questions=list(questions.values()),
        scoring=["letters"],
        **TOY,
        store=tmp_path / "store",
        out=tmp_path / "own.parquet",
    )
    own = tables.read(tmp_path / "own.parquet", "predictions").to_pylist()
    expected = {(row["language"], name_of(row)): row for row in own}
    assert len(expected) == 2 * len(LANGUAGES) * len(SUBJECTS)
    for language in LANGUAGES:
        wanted = {"metric": "accuracy", "subset": "all", "calibrator": "none"}
        wanted |= {"language": language, "normaliser": "sum"}
        (accuracy,) = tables.where(metrics, **wanted)["value"].to_pylist()
        theirs = [
            result["acc,none"]
            for name, result in logged[1].items()
            if name.startswith(f"quiz_full_{language}_")
        ]
        assert len(theirs) == len(SUBJECTS)
        assert accuracy == pytest.approx(np.mean(theirs))
        path = out / f"results/predictions/{run}/{language}.parquet"
        rows = tables.read(path, "predictions").to_pylist()
        assert len(rows) == 2 * len(SUBJECTS)
        for row in rows:
            other = expected[language, row["question_id"]]
            np.testing.assert_allclose(row["logprobs"], other["logprobs"], atol=1e-4)
            assert (row["gold"], row["subject"]) == (other["gold"], other["subject"])
        facts = tables.read_metadata(path)
        assert facts["shots"] == 0
        assert facts["harness"]["dataset"] == "json"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("samples", "there is no .*samples_quiz_full_en_subject_0.*--log_samples"),
        ("lines", "has 1 samples, but its results state 2; it is not complete"),
        ("shots", "differ in shots"),
        ("results", "is not what lm_eval writes of a run"),
        ("all", "has no results_"),
    ],
)
def test_an_incomplete_folder_is_named(logged, tmp_path, spoil, message):
    """With what is missing; nothing is measured."""
    folder = tmp_path / "out"
    shutil.copytree(logged[0], folder)
    (results,) = folder.rglob("results_*.json")
    (samples,) = folder.rglob("samples_quiz_full_en_subject_0_*.jsonl")
    if spoil == "samples":
        samples.unlink()
    elif spoil == "lines":
        samples.write_text(samples.read_text().splitlines()[0] + "\n")
    elif spoil == "shots":
        facts = json.loads(results.read_text())
        facts["n-shot"]["quiz_full_sw_subject_3"] = 5
        results.write_text(json.dumps(facts))
    elif spoil == "results":
        results.write_text("[]")
    else:
        results.unlink()
    with pytest.raises(InputError, match=message):
        report_samples(folder=folder, out=tmp_path / "theirs")
    assert not list((tmp_path / "theirs").rglob("metrics/**/*.parquet"))


@pytest.mark.parametrize(
    ("name", "subset", "expected"),
    [
        ("global_mmlu_full_en_anatomy", "en", ("global_mmlu_full", "en", "anatomy")),
        (
            "global_mmlu_full_en_us_history",
            "en",
            ("global_mmlu_full", "en", "us_history"),
        ),
        ("xcopa_et", "et", ("xcopa", "et", "")),
        ("belebele_swh_Latn", "swh_Latn", ("belebele", "sw", "")),
        ("taken_en_stem", "en", ("taken", "en", "stem")),
        ("arc_easy", "ARC-Easy", ("arc_easy", "en", "")),
    ],
)
def test_a_task_s_name_tells_benchmark_language_and_part(name, subset, expected):
    """What the table of languages lacks is named by the user."""
    config = {"dataset_path": "owner/Data", "dataset_name": subset}
    named = {"swh_Latn": "sw", "arc_easy": "en", "et": "et"}
    assert _split_name(name, config, named) == expected
    with pytest.raises(InputError, match="language of the task quiz is not known"):
        _split_name("quiz", {"dataset_path": "json"}, {})

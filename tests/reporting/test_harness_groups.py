"""lm_eval's own groups of Global-MMLU: 57 tasks a language, two chat templates."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from toys import WORDS, make_model, make_tokenizer, save_checkpoint

from polycal.errors import InputError
from polycal.measuring.measure import measure
from polycal.preparing.checks import check_task
from polycal.preparing.tasks import prepare_task
from polycal.reporting.harness_report import _find_tokenizers, report_samples
from polycal.scoring.score import score
from polycal.storage import tables

pytestmark = pytest.mark.slow
lm_eval = pytest.importorskip("lm_eval")
TASKS = Path(lm_eval.__file__).parent / "tasks/global_mmlu/full"
LANGUAGES = ("en", "sw")
SUBJECTS = sorted(
    path.stem.removeprefix("global_mmlu_full_en_")
    for path in TASKS.glob("en/global_mmlu_full_en_*.yaml")
)
MODELS = ("Toy-Base", "Toy-Chat")
TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}[assistant]{% endif %}"


def make_benchmark(folder: Path) -> Path:
    """Global-MMLU in its own columns: a test and a dev question of each subject."""
    random = np.random.default_rng(0)
    configs = []
    for language in LANGUAGES:
        paths = {}
        for split in ("test", "dev"):
            path = folder / language / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [
                {
                    "sample_id": f"{subject}/{split}/0",
                    "subject": subject,
                    "subject_category": "STEM",
                    "question": f" {language}: {' '.join(random.choice(WORDS, 5))} ?\n",
                    **{f"option_{k}": f"{random.choice(WORDS)} {k}" for k in "abcd"},
                    "answer": "ABCD"[number % 4],
                    "cultural_sensitivity_label": "-",
                }
                for number, subject in enumerate(SUBJECTS)
            ]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            paths[split] = str(path.relative_to(folder))
        files = [{"split": split, "path": path} for split, path in paths.items()]
        configs.append({"config_name": language, "data_files": files})
    (folder / "README.md").write_text(
        f"---\n{yaml.safe_dump({'configs': configs})}---\n"
    )
    return folder


def take_tasks(folder: Path, benchmark: Path) -> Path:
    """lm_eval's own task files, reading the benchmark from this machine."""
    for language in LANGUAGES:
        shutil.copytree(TASKS / language, folder / language)
        (template,) = folder.glob(f"{language}/_*template_yaml")
        text = template.read_text()
        assert "CohereForAI/Global-MMLU" in text
        template.write_text(text.replace("CohereForAI/Global-MMLU", str(benchmark)))
    return folder


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """What lm_eval logs of both groups with two models, one behind a chat template."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    folder = tmp_path_factory.mktemp("groups")
    benchmark = make_benchmark(folder / "Global-MMLU")
    tasks = take_tasks(folder / "tasks", benchmark)
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    accuracies = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
        for seed, name in enumerate(MODELS):
            tokenizer = make_tokenizer()
            tokenizer.chat_template = TEMPLATE
            model = make_model(max_position_embeddings=512)
            for weight in model.parameters():
                weight.data += 0.01 * seed
            checkpoint = save_checkpoint(folder / "models" / name, model, tokenizer)
            tracker = EvaluationTracker(output_path=str(folder / "out"))
            found = simple_evaluate(
                HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32"),
                model_args=f"pretrained={checkpoint}",
                tasks=[f"global_mmlu_full_{language}" for language in LANGUAGES],
                num_fewshot=1,
                apply_chat_template=name == "Toy-Chat",
                task_manager=manager,
                bootstrap_iters=0,
                evaluation_tracker=tracker,
            )
            samples = found.pop("samples")
            tracker.save_results_aggregated(results=found, samples=samples)
            for task, own in samples.items():
                tracker.save_results_samples(task_name=task, samples=own)
            accuracies[name] = found["results"]
    return folder / "out", accuracies


def edit(path: Path, change: Callable[[dict], object]) -> None:
    """Change what a JSON file, or every line of a samples file, holds."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_57_tasks_in_two_languages_and_templates_become_one_report(logged, tmp_path):
    """Both models have lm_eval's own accuracy, on the documents' own questions."""
    out = tmp_path / "theirs"
    report_samples(folder=logged[0], out=out)
    assert (out / "results/partial/index.html").stat().st_size > 10_000
    study = yaml.safe_load((out / "study.yaml").read_text())
    assert [model["name"] for model in study["models"]] == ["toy-base", "toy-chat"]
    (task,) = study["tasks"]
    assert (task["name"], task["languages"]) == ("global_mmlu_full", list(LANGUAGES))
    assert task["shots"] == 1
    for language in LANGUAGES:
        rows = tables.read(
            out / f"resources/tasks/global_mmlu_full/{language}.parquet", "questions"
        ).to_pylist()
        assert sorted(row["subject"] for row in rows) == SUBJECTS
        for row in rows:
            assert re.fullmatch(rf"{language}: .* \?", row["question"]), row
    for name, theirs in logged[1].items():
        metrics = tables.read(
            out / f"results/metrics/{name.lower()}/none/ls-0/seed-0"
            "/global_mmlu_full.parquet",
            "metrics",
        )
        for language in LANGUAGES:
            wanted = {"metric": "accuracy", "subset": "all", "calibrator": "none"}
            rows = tables.where(metrics, **wanted, normaliser="sum", language=language)
            (accuracy,) = rows["value"].to_pylist()
            group = theirs[f"global_mmlu_full_{language}"]
            assert accuracy == pytest.approx(group["acc,none"])
            assert rows["n_questions"].to_pylist() == [57]


def test_the_57_tasks_have_the_numbers_of_polycal_s_own_scoring(logged, tmp_path):
    """Of the same model and repository: every option's score, and every metric."""
    report_samples(folder=logged[0], out=tmp_path / "theirs")
    folder, theirs = logged[0].parent, tmp_path / "theirs"
    run = "toy-base/none/ls-0/seed-0/global_mmlu_full"
    questions = []
    for language in LANGUAGES:
        questions.append(tmp_path / f"{language}.parquet")
        prepare_task(
            repo=str(folder / "Global-MMLU"),
            format="global_mmlu",
            task="global_mmlu_full",
            language=language,
            out=questions[-1],
        )
    names = {"model": "toy-base", "sft": "none", "smoothing": 0.0, "seed": 0}
    score(
        checkpoint=folder / "models" / "Toy-Base",
        questions=questions,
        scoring=["letters"],
        shots=1,
        **names,
        store=tmp_path / "store",
        out=tmp_path / "own.parquet",
    )
    check_task(questions=questions, policy="intersection", out=tmp_path / "check.json")
    kinds = ("metrics", "reliability", "replicates")
    measure(
        predictions=[tmp_path / "own.parquet"],
        check=tmp_path / "check.json",
        **{kind: tmp_path / f"{kind}.parquet" for kind in kinds},
        **{"n_replicates": 2, "seed": 0, "confidence": 0.95},
    )
    own = tables.read(tmp_path / "own.parquet", "predictions").to_pylist()
    by_name = {(row["language"], row["question_id"]): row for row in own}
    assert len(by_name) == len(LANGUAGES) * 57
    for language in LANGUAGES:
        path = theirs / f"results/predictions/{run}/{language}.parquet"
        for row in tables.read(path, "predictions").to_pylist():
            other = by_name[language, row["question_id"]]
            np.testing.assert_allclose(row["logprobs"], other["logprobs"], atol=1e-4)
            assert (row["gold"], row["subject"]) == (other["gold"], other["subject"])
    metrics = [
        {
            (row["language"], row["calibrator"], row["metric"]): row["value"]
            for row in tables.read(path, "metrics").to_pylist()
            if row["subset"] == "all" and row["value"] is not None
        }
        for path in (
            tmp_path / "metrics.parquet",
            theirs / f"results/metrics/{run}.parquet",
        )
    ]
    compared = metrics[0].keys() & metrics[1].keys()
    for name in ("accuracy", "confidence", "ece", "brier", "nll", "gap"):
        assert {("en", "none", name), ("sw", "none", name)} <= compared
    for key in compared:
        assert metrics[0][key] == pytest.approx(metrics[1][key], abs=2e-3), key
    # The harness does not log the mass of all letters.
    left = {name for *_, name in metrics[0].keys() ^ compared}
    assert left == {"log_mass", "letter_mass"}


def test_samples_in_another_order_are_the_same_questions(logged, tmp_path):
    """Several processes of lm_eval log theirs one after the other."""
    folder = tmp_path / "out"
    shutil.copytree(logged[0], folder)
    (path,) = folder.glob("*Toy-Chat/samples_global_mmlu_full_en_anatomy_*.jsonl")
    (path_of_base,) = folder.glob("*Toy-Base/samples_global_mmlu_full_en_anatomy_*")
    for file, order in ((path, (1, 0)), (path_of_base, (0, 1))):
        line = json.loads(file.read_text())
        lines = [
            {
                **line,
                "doc_id": number,
                "doc": {**line["doc"], "sample_id": f"q{number}"},
            }
            for number in order
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in lines))
        (results,) = file.parent.glob("results_*.json")
        facts = json.loads(results.read_text())
        facts["n-samples"]["global_mmlu_full_en_anatomy"]["effective"] = 2
        results.write_text(json.dumps(facts))
    report_samples(folder=folder, out=tmp_path / "theirs")
    questions = tmp_path / "theirs/resources/tasks/global_mmlu_full/en.parquet"
    names = tables.read(questions, "questions")["question_id"].to_pylist()
    assert [name for name in names if name[0] == "q"] == ["q0", "q1"]
    assert len(names) == 58


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("shots", r"Toy-Chat/.* differ in shots \(5 and 1\)"),
        ("seed", r"Toy-Chat/.* differ in shot_seed \(7 and 1234\)"),
        ("version", r"Toy-Chat/.* differ in version \(1.0 and 0.0\)"),
        ("question", r"toy-base and toy-chat were not .* 1 of 57 differ, .*anatomy"),
        ("gold", r"toy-base and toy-chat were not .* 1 of 57 differ, .*anatomy"),
        ("template", r"differ in chat_template \(other and [0-9a-f]{64}\)"),
    ],
)
def test_models_that_were_asked_otherwise_are_named(logged, tmp_path, spoil, message):
    """Nothing is measured; a template may differ between models, not in one."""
    folder = tmp_path / "out"
    shutil.copytree(logged[0], folder)
    (results,) = folder.glob("*Toy-Chat/results_*.json")
    (path,) = folder.glob("*Toy-Chat/samples_global_mmlu_full_sw_anatomy_*.jsonl")
    facts = json.loads(results.read_text())
    if spoil == "shots":
        facts["n-shot"] = dict.fromkeys(facts["n-shot"], 5)
    elif spoil == "seed":
        facts["config"]["fewshot_seed"] = 7
    elif spoil == "version":
        facts["versions"] = dict.fromkeys(facts["versions"], 1.0)
    elif spoil == "question":
        edit(path, lambda line: line["doc"].update(question="another"))
    elif spoil == "gold":
        edit(path, lambda line: line.update(target="D") or line.pop("acc"))
    else:
        other = json.loads(json.dumps(facts))
        name = "global_mmlu_full_sw_anatomy"
        other["chat_template_sha"] = "other"
        other["configs"] = {name: other["configs"].pop(name)}
        results.with_name("results_9.json").write_text(json.dumps(other))
        shutil.copy(path, path.with_name(f"samples_{name}_9.jsonl"))
    results.write_text(json.dumps(facts))
    with pytest.raises(InputError, match=message):
        report_samples(folder=folder, out=tmp_path / "theirs")
    assert not list((tmp_path / "theirs").rglob("metrics/**/*.parquet"))


def test_every_model_s_tokens_are_counted_by_its_own_tokenizer(tmp_path):
    """One folder holds those of several models; else nothing is counted."""
    (tmp_path / "a").mkdir()
    assert _find_tokenizers(tmp_path, ["a"]) == {"a": tmp_path}
    assert _find_tokenizers(None, ["a", "b"]) == {"a": None, "b": None}
    with pytest.raises(InputError, match=r"there is no .*/b; of several models"):
        _find_tokenizers(tmp_path, ["a", "b"])
    (tmp_path / "b").mkdir()
    assert _find_tokenizers(tmp_path, ["a", "b"]) == {
        "a": tmp_path / "a",
        "b": tmp_path / "b",
    }

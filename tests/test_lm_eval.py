"""The peer: every option's log-likelihood is that of lm_eval's hf backend."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from toys import make_model, make_tokenizer, save_checkpoint, save_questions

from polycal import tables
from polycal.prompts import LETTERS, SCORINGS
from polycal.score import score

TOLERANCE = 1e-4  # nats per option
N_QUESTIONS = 20


def make_task(scoring: str, data: Path, n_options: int) -> dict:
    """A task of the harness, written as its Global-MMLU tasks are."""
    letters = LETTERS[:n_options]
    listed = [f"{letter}. {{{{options[{i}]}}}}" for i, letter in enumerate(letters)]
    shown = listed if scoring == "letters" else []
    texts = ", ".join(f"options[{i}].strip()" for i in range(n_options))
    return {
        "task": scoring,
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "\n".join(["{{question.strip()}}", *shown, "Answer:"]),
        "doc_to_choice": list(letters)
        if scoring == "letters"
        else f"{{{{[{texts}]}}}}",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc"}],
    }


def ask_lm_eval(checkpoint: Path, questions: Path, n_options: int) -> dict:
    """Scoring -> [questions, options] log-likelihoods in nats."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    test = tables.where(tables.read(questions, "questions"), split="test")
    data = questions.with_name("harness.parquet")
    pq.write_table(test.replace_schema_metadata(None), data)
    found = simple_evaluate(
        model=HFLM(
            pretrained=str(checkpoint),
            dtype="float32",
            device="cpu",
            batch_size=4,
            # Before 5.21 transformers' default leaves out Gemma-2's soft cap.
            attn_implementation="eager",
        ),
        tasks=[make_task(scoring, data, n_options) for scoring in SCORINGS],
        task_manager=TaskManager(include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
    )
    logprobs = {}
    for scoring, samples in found["samples"].items():
        samples.sort(key=lambda sample: sample["doc_id"])
        names = [sample["doc"]["question_id"] for sample in samples]
        assert names == test["question_id"].to_pylist()
        logprobs[scoring] = np.array(
            [[value for value, _ in each["filtered_resps"]] for each in samples]
        )
    return logprobs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n_options", "bos", "max_length"),
    [
        ("llama", 4, True, 128),
        ("llama", 10, False, 128),
        ("llama", 4, True, 20),  # contexts are cut, options are not
        ("mistral", 4, True, 128),
        ("qwen3", 10, True, 128),
        ("gemma2", 4, True, 128),
    ],
)
def test_equal_to_lm_eval(kind, n_options, bos, max_length, tmp_path, monkeypatch):
    """Same model, same task, float32: 1e-4 nats per option and the same answers."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    checkpoint = save_checkpoint(
        tmp_path / "model",
        make_model(kind, max_position_embeddings=max_length),
        make_tokenizer(bos=bos),
    )
    questions = save_questions(
        tmp_path / "en.parquet", n=N_QUESTIONS, n_options=n_options
    )
    score(
        checkpoint=checkpoint,
        base=None,
        questions=[questions],
        scoring=list(SCORINGS),
        model="toy",
        sft="none",
        smoothing=0.0,
        seed=0,
        store=tmp_path / "store",
        out=tmp_path / "out.parquet",
    )
    table = tables.read(tmp_path / "out.parquet", "predictions")
    expected = ask_lm_eval(checkpoint, questions, n_options)
    for scoring, theirs in expected.items():
        rows = tables.where(table, scoring=scoring)
        assert any(rows["truncated"].to_pylist()) == (max_length == 20)
        ours = np.array(rows["logprobs"].to_pylist())
        assert ours.shape == theirs.shape == (N_QUESTIONS, n_options)
        difference = abs(ours - theirs).max()
        print(f"{kind}, {scoring}, {n_options} options: {difference:.1e} nats at most")
        assert difference <= TOLERANCE
        np.testing.assert_array_equal(ours.argmax(1), theirs.argmax(1))

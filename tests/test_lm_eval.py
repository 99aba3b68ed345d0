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


def make_task(scoring: str, data: dict[str, str], n_options: int) -> dict:
    """A task of the harness, written as its Global-MMLU tasks are."""
    letters = LETTERS[:n_options]
    listed = [f"{letter}. {{{{options[{i}]}}}}" for i, letter in enumerate(letters)]
    shown = listed if scoring == "letters" else []
    texts = ", ".join(f"options[{i}].strip()" for i in range(n_options))
    return {
        "task": scoring,
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": data},
        "test_split": "test",
        "fewshot_split": "dev",
        "fewshot_config": {"sampler": "first_n"},
        "output_type": "multiple_choice",
        "doc_to_text": "\n".join(["{{question.strip()}}", *shown, "Answer:"]),
        "doc_to_choice": list(letters)
        if scoring == "letters"
        else f"{{{{[{texts}]}}}}",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc"}],
    }


def ask_lm_eval(checkpoint: Path, questions: Path, n_options: int, shots: int) -> dict:
    """Scoring -> [questions, options] log-likelihoods in nats.

    As the harness's subtasks, each of which has its own subject's rows only.
    """
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    table = tables.where(tables.read(questions, "questions"), subject="money")
    data = {}
    for split in ("test", "dev"):
        rows = tables.where(table, split=split)
        data[split] = str(questions.with_name(f"{split}.parquet"))
        pq.write_table(rows.replace_schema_metadata(None), data[split])
    test = tables.where(table, split="test")
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
        num_fewshot=shots,
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
    ("kind", "n_options", "bos", "shots", "max_length"),
    [
        ("llama", 4, True, 0, 1024),
        ("llama", 10, False, 0, 1024),
        ("llama", 4, True, 0, 20),  # contexts are cut, options are not
        ("mistral", 4, True, 0, 1024),
        ("qwen3", 10, True, 0, 1024),
        ("gemma2", 4, True, 0, 1024),
        ("llama", 4, True, 5, 1024),
        ("llama", 10, False, 5, 1024),
        ("llama", 4, True, 5, 64),  # shots are cut
        ("gemma2", 4, True, 2, 1024),
    ],
)
def test_equal_to_lm_eval(
    kind, n_options, bos, shots, max_length, tmp_path, monkeypatch
):
    """Same model, same task, float32: 1e-4 nats per option and the same answers."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    checkpoint = save_checkpoint(
        tmp_path / "model",
        make_model(kind, max_position_embeddings=max_length),
        make_tokenizer(bos=bos),
    )
    # Every other dev question is of another subject, which no test question has.
    questions = save_questions(
        tmp_path / "en.parquet",
        n=N_QUESTIONS,
        n_dev=12,
        n_options=n_options,
        subject=lambda index: "money" if index >= 12 or index % 2 else "music",
    )
    score(
        checkpoint=checkpoint,
        base=None,
        questions=[questions],
        scoring=list(SCORINGS),
        shots=shots,
        model="toy",
        sft="none",
        smoothing=0.0,
        seed=0,
        store=tmp_path / "store",
        out=tmp_path / "out.parquet",
    )
    table = tables.read(tmp_path / "out.parquet", "predictions")
    expected = ask_lm_eval(checkpoint, questions, n_options, shots)
    for scoring, theirs in expected.items():
        rows = tables.where(table, scoring=scoring)
        assert any(rows["truncated"].to_pylist()) == (max_length < 1024)
        ours = np.array(rows["logprobs"].to_pylist())
        assert ours.shape == theirs.shape == (N_QUESTIONS, n_options)
        difference = abs(ours - theirs).max()
        case = f"{kind}, {scoring}, {n_options} options, {shots} shots"
        print(f"{case}: {difference:.1e} nats at most")
        assert difference <= TOLERANCE
        np.testing.assert_array_equal(ours.argmax(1), theirs.argmax(1))

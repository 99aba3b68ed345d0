"""The peer: every option's log-likelihood is that of lm_eval's hf backend."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from toys import TOY, WORDS, make_model, make_tokenizer, save_checkpoint, save_questions

from polycal.models.passes import PACKED_TYPES
from polycal.scoring.engine import Engine
from polycal.scoring.score import score
from polycal.storage import tables
from polycal.study.prompts import LETTERS, Prompt, build_prompt
from polycal.study.scorings import SCORINGS

TOLERANCE = 1e-4  # nats per option
N_QUESTIONS = 20
# Windows that cut most contexts, and caps that bite.
SETTINGS = {
    "mistral": {"sliding_window": 20},
    "qwen2": {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1},
    "gemma2": {
        "sliding_window": 20,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 5.0,
    },
    "gemma3_text": {"sliding_window": 20},
}


def make_prompts(scoring: str, shots: int) -> list[Prompt]:
    """Ten questions of four or ten options, all behind the same shots."""
    random = np.random.default_rng(shots)

    def some(most: int) -> str:
        return " ".join(random.choice(WORDS, random.integers(1, most)))

    def question(n_options: int) -> dict:
        return {
            "question": some(15),
            "options": [some(6) for _ in range(n_options)],
            "lead_in": "Answer:",
        }

    dev = [question(4) | {"gold": 1} for _ in range(shots)]
    asked = [question(n_options) for n_options in (4, 10) * 5]
    return [build_prompt(scoring, **each, shots=dev) for each in asked]


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("bos", [True, False], ids=["BOS", "no BOS"])
@pytest.mark.parametrize("kind", PACKED_TYPES)
def test_the_harness_and_polycal_agree_on_every_architecture(kind, bos, shots):
    """Both scorings, by the harness's own rules of tokens and of padding."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    changes = SETTINGS.get(kind, {})
    model = make_model(kind, max_position_embeddings=1024, **changes)
    tokenizer = make_tokenizer(bos=bos)
    prompts = [each for scoring in SCORINGS for each in make_prompts(scoring, shots)]
    lengths = [len(tokenizer.encode(each.context)) for each in prompts]
    assert np.mean(np.array(lengths) > 20) > 0.6
    ours = [each.logprobs for each in Engine(model, tokenizer).score(prompts)]
    model.set_attn_implementation("eager")  # in others it may lack the soft cap
    harness = HFLM(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=8,
        softmax_dtype=torch.float32,
    )
    requests = [
        Instance("loglikelihood", {}, (prompt.context, each), 0)
        for prompt in prompts
        for each in prompt.continuations
    ]
    found = iter(harness.loglikelihood(requests, disable_tqdm=True))
    for prompt, own in zip(prompts, ours, strict=True):
        theirs = np.array([next(found)[0] for _ in prompt.continuations])
        np.testing.assert_allclose(own, theirs, rtol=0, atol=TOLERANCE)
        assert own.argmax() == theirs.argmax()


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


def ask_lm_eval(
    checkpoint: Path,
    questions: Path,
    make: Callable[[str, dict[str, str]], dict],
    shots: int,
    model: Mapping = MappingProxyType({}),
    **settings: object,
) -> dict[str, np.ndarray]:
    """Scoring -> [questions, options] log-likelihoods in nats.

    As the harness's subtasks, each of which has its own subject's rows only.

    Args:
        checkpoint: its directory.
        questions: a questions table.
        make: the task, from a scoring and the files of the splits.
        shots: answered questions before each.
        model: further arguments of the harness's model.
        **settings: of `simple_evaluate`.
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
            **model,
        ),
        tasks=[make(scoring, data) for scoring in SCORINGS],
        num_fewshot=shots,
        task_manager=TaskManager(include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
        **settings,
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
        **TOY,
        store=tmp_path / "store",
        out=tmp_path / "out.parquet",
    )
    table = tables.read(tmp_path / "out.parquet", "predictions")
    make = functools.partial(make_task, n_options=n_options)
    expected = ask_lm_eval(checkpoint, questions, make, shots)
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

"""What the harness logs becomes predictions, and predictions become what it logs."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import make_tiny_model
from toys import make_model, make_swallowing_tokenizer, save_checkpoint

from polycal.cli import main
from polycal.errors import InputError
from polycal.models.tokens import load_tokenizer
from polycal.preparing.samples import export_samples, import_samples
from polycal.storage import tables

DOCS = [
    {"id": f"q{k}", "topic": "fish", "question": f"What is {k}?", "gold": k % 3}
    | {"options": ["one fish", "two", "3"][: 3 - k % 2 * (k % 3 < 2)]}
    for k in range(12)
]
RUN = {"model": "toy", "sft": "none", "smoothing": 0.0, "seed": 0, "task": "fish"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def logged(base, tmp_path_factory):
    """Files that lm_eval itself has written: of option texts, and of letters."""
    pytest.importorskip("lm_eval")
    import lm_eval
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM

    folder = tmp_path_factory.mktemp("logged")
    data = folder / "docs.jsonl"
    data.write_text("\n".join(map(json.dumps, DOCS)))
    choices = {"text": "{{options}}", "letters": "{{['A', 'B', 'C'][:options|length]}}"}
    shape = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{question}}\nAnswer:",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
    spaced = {"doc_to_text": "{{question}}\nAnswer: ", "target_delimiter": ""}
    asked = [
        ConfigurableTask(config={**shape, "task": name, "doc_to_choice": choice})
        for name, choice in choices.items()
    ] + [
        ConfigurableTask(
            config={**shape, **spaced, "task": "spaced", "doc_to_choice": "{{options}}"}
        )
    ]
    model = HFLM(pretrained=str(base), device="cpu", dtype="float32", batch_size=4)
    found = lm_eval.simple_evaluate(model, tasks=asked, bootstrap_iters=0, device="cpu")
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.model_name_sanitized = "toy"
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name, own in samples.items():
        tracker.save_results_samples(task_name=name, samples=own)
    paths = {name: next(folder.rglob(f"samples_{name}_*.jsonl")) for name in samples}
    return paths, found["results"]


def read_in(logged, folder, scoring, **more):
    """The two tables of a file."""
    paths = {"questions": folder / "questions.parquet", "out": folder / "en.parquet"}
    fields = {"question_id": "id", "subject": "topic", "language": "en"}
    import_samples(samples=logged[0][scoring], **RUN, **fields, **paths, **more)
    return tuple(
        tables.read(path, kind).to_pylist()
        for kind, path in zip(("questions", "predictions"), paths.values(), strict=True)
    )


@pytest.mark.parametrize("scoring", ["text", "letters"])
def test_the_harness_s_accuracy_is_that_of_the_rows(scoring, logged, base, tmp_path):
    """And its log-likelihoods are theirs, number by number."""
    questions, rows = read_in(logged, tmp_path, scoring, tokenizer=base)
    lines = map(json.loads, logged[0][scoring].read_text().splitlines())
    for row, line in zip(rows, lines, strict=True):
        theirs = [float(value) for value, _ in line["filtered_resps"]]
        np.testing.assert_allclose(row["logprobs"], theirs, rtol=1e-6)
        assert row["question_id"] == line["doc"]["id"]
    right = [np.argmax(row["logprobs"]) == row["gold"] for row in rows]
    assert np.mean(right) == pytest.approx(logged[1][scoring]["acc,none"])
    assert {row["scoring"] for row in rows} == {scoring}
    assert {row["truncated"] for row in rows} == {None}
    assert [each["gold"] for each in questions] == [doc["gold"] for doc in DOCS]
    if scoring == "letters":
        assert {n for row in rows for n in row["n_tokens"]} == {1}
    else:
        assert rows[0]["n_bytes"][0] == len("one fish")
        assert rows[0]["n_tokens"][0] > rows[0]["n_tokens"][1]


@pytest.mark.parametrize(
    ("doc", "question"),
    [
        ({"question": " Which? ", "passage": "A text."}, "A text.\nWhich?"),
        ({"flores_passage": "P", "question": "Q", "text": "T"}, "P\nQ"),
        ({"Question": "Which?", "topic": "fish"}, "Which?"),
        ({"premise": "It rained.", "question": "cause"}, "It rained.\ncause"),
        ({"frage": "Wer?"}, '{"doc_id": 0, "frage": "Wer?", "id": "q", "topic": "x"}'),
        ({"question": ["Wer?"], "query": "Who?"}, "Who?"),
    ],
)
def test_a_question_is_its_document_s_own_text(doc, question, base, tmp_path):
    """Not the prompt, which another model's chat template writes differently."""
    doc = {**doc, "id": "q", "topic": "x"}
    path = write_lines(tmp_path / "samples.jsonl", {"acc": 1.0, "doc": doc})
    (row,), _ = read_in(({"text": path}, None), tmp_path, "text", tokenizer=base)
    assert row["question"] == question


def test_tokens_are_counted_where_the_harness_splits(logged, base, tmp_path):
    """It moves white space at the end of a context to the option."""
    encode = load_tokenizer(base).encode
    _, rows = read_in(logged, tmp_path, "spaced", tokenizer=base)
    for row, doc in zip(rows, DOCS, strict=True):
        context = f"{doc['question']}\nAnswer:"
        wholes = [encode(f"{context} {option}") for option in doc["options"]]
        assert row["n_tokens"] == [len(ids) - len(encode(context)) for ids in wholes]
        assert min(row["n_tokens"]) > 0
    assert rows[0]["scoring"] == "text"


def test_measuring_takes_them(logged, base, tmp_path):
    """Check and metrics, as of scores of polycal's own."""
    read_in(logged, tmp_path, "text", tokenizer=base)
    check = tmp_path / "check.json"
    kinds = ("metrics", "reliability", "replicates")
    written = {kind: tmp_path / f"{kind}.parquet" for kind in kinds}
    task = ["--questions", str(tmp_path / "questions.parquet")]
    main(["check-task", *task, "--policy=intersection", f"--out={check}"])
    given = ["--predictions", str(tmp_path / "en.parquet"), f"--check={check}"]
    out = [f"--{kind}={path}" for kind, path in written.items()]
    sure = ["--n-replicates=100", "--seed=0", "--confidence=0.95"]
    main(["measure", *given, *out, *sure])
    rows = tables.read(written["metrics"], "metrics").to_pylist()
    wanted = {"metric": "accuracy", "normaliser": "sum", "subset": "all"}
    wanted["calibrator"] = "none"
    (accuracy,) = [row["value"] for row in rows if wanted.items() <= row.items()]
    assert accuracy == pytest.approx(logged[1]["text"]["acc,none"])


def test_the_way_there_and_back(logged, base, tmp_path):
    """Exported and imported again, the scores are the same bytes."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    _, rows = read_in(logged, tmp_path / "a", "text", tokenizer=base)
    export_samples(
        predictions=tmp_path / "a/en.parquet",
        questions=tmp_path / "a/questions.parquet",
        out=tmp_path,
    )
    paths = {"questions": tmp_path / "q.parquet", "out": tmp_path / "p.parquet"}
    fields = {"question_id": "question_id", "subject": "subject", "language": "en"}
    samples = tmp_path / "samples_fish_en_text.jsonl"
    import_samples(samples=samples, **RUN, **fields, **paths, tokenizer=base)
    again = tables.read(paths["out"], "predictions").to_pylist()
    for before, after in zip(rows, again, strict=True):
        assert before["logprobs"] == after["logprobs"]
        assert before["gold"] == after["gold"]
        assert before["question_id"] == after["question_id"]


def test_texts_need_a_tokenizer(logged, tmp_path):
    """The harness logs no number of tokens."""
    with pytest.raises(InputError, match=r"scores of texts; .*--tokenizer"):
        read_in(logged, tmp_path, "text")
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"doc": {}}, "'id' of its document is None"),
        ({"doc": "text"}, "no sample"),
        ({"doc": {"id": "\ud800", "topic": "x"}}, "which has half of a character"),
        ({"filtered_resps": "text that was generated"}, "23 scores of"),
        ({"filtered_resps": [["-1.5", "True"]]}, "1 scores of"),
        ({"filtered_resps": [["0.5", "True"], ["-1", "False"]]}, "no log-likelihoods"),
        ({"filtered_resps": [["nan", "True"], ["-1", "False"]]}, "no log-likelihoods"),
        ({"filtered_resps": [[10**400, True], [-1, False]]}, "OverflowError"),
        ({"resps": [[["-1.5", "True"]], [["-9", "False"]]]}, "resps differ from its"),
        ({"resps": [[["-1.5", "True"]]]}, "resps differ from its filtered_resps"),
        ({"resps": ["text that was generated"]}, "could not convert"),
        ({"arguments": []}, "different contexts"),
        ({"arguments": [["Q", {"until": ["."]}]]}, "generated text"),
        ({"arguments": {"gen_args_0": {"arg_0": "\ud800", "arg_1": "A"}}}, "surrogate"),
        ({"target": "9"}, "target '9' names none of its options"),
        ({"target": "2"}, "target '2' names none of its options"),
        ({"target": "C"}, "target 'C' names none of its options"),
        ({"target": ""}, "target '' names none of its options"),
        ({"target": "-1"}, "target '-1' names none of its options"),
        ({"target": "[0, 1]"}, "names none of its options"),
        ({"acc": "flipped"}, "its acc is"),
        ({"acc_norm": "flipped"}, "its acc_norm is"),
        ({"acc": [1.0]}, "its acc is"),
        ({"acc": 1.0, "target": "worst"}, r"its acc is 1.0, .* gives 0.0"),
        ({"acc": 0.0, "target": "best"}, r"its acc is 0.0, .* gives 1.0"),
    ],
)
def test_other_lines_are_named(change, words, logged, base, tmp_path):
    """By their number, with what is wrong."""
    first, second, *_ = logged[0]["text"].read_text().splitlines()
    line = json.loads(second)
    assert len(line["filtered_resps"]) == 2
    scores = [float(value) for value, _ in line["filtered_resps"]]
    targets = {"worst": np.argmin(scores), "best": np.argmax(scores)}
    change = dict(change)
    change |= {k: 1.0 - line[k] for k, value in change.items() if value == "flipped"}
    if change.get("target") in targets:
        change["target"] = str(targets[change["target"]])
        line.pop("acc_norm")
    path = tmp_path / "samples.jsonl"
    path.write_text(f"{first}\n{json.dumps(line | change)}\n")
    with pytest.raises(InputError, match=rf"line 2.*{words}"):
        read_in(({"text": path}, None), tmp_path, "text", tokenizer=base)


def write_lines(path, *changes) -> Path:
    """A file of one question per change, each with three options."""
    lines = [
        {
            "doc_id": number,
            "doc": {"id": f"q{number}", "topic": "fish"},
            "target": "0",
            "arguments": [["Question?", f" {text}"] for text in ("2", "1", "0")],
            "filtered_resps": [["-1.0", "True"], ["-2.0", "False"], ["-3.0", "False"]],
        }
        | change
        for number, change in enumerate(changes)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_options_whose_scores_lack_a_token_are_counted(base, tmp_path):
    """Where a tokenizer has one token for `: `, and one context of two ends so."""
    other = save_checkpoint(tmp_path / "m", make_model(), make_swallowing_tokenizer())
    asked = {"arguments": [["Answer:", f" {text}"] for text in ("2", "1", "0")]}
    lines = {"acc": 1.0}, {"acc": 1.0, **asked}
    path = write_lines(tmp_path / "samples.jsonl", *lines)
    for folder, expected in ((base, {}), (other, {"fish, en, text": 3})):
        read_in(({"text": path}, None), tmp_path, "text", tokenizer=folder)
        facts = tables.read_metadata(tmp_path / "en.parquet")
        assert facts["cut_options"] == expected


@pytest.mark.parametrize(
    ("numbers", "gold"), [({"acc": 1.0}, 0), ({"acc": 0.0}, 2), ({}, None)]
)
def test_a_target_that_is_index_and_text_is_told_by_the_accuracy(
    numbers, gold, base, tmp_path
):
    """Without any, it is refused: a guess would become a number."""
    path = write_lines(tmp_path / "samples.jsonl", numbers)
    files = ({"text": path}, None)
    if gold is None:
        with pytest.raises(InputError, match=r"line 1: .*read as text or index"):
            read_in(files, tmp_path, "text", tokenizer=base)
    else:
        _, (row,) = read_in(files, tmp_path, "text", tokenizer=base)
        assert row["gold"] == gold
        assert row["logprobs"] == [-1.0, -2.0, -3.0]


def test_two_samples_of_one_question_are_refused(base, tmp_path):
    """As joined files of several subjects hold them under `doc_id`."""
    change = {"acc": 1.0, "doc_id": 7, "doc": {"id": "q", "topic": "fish"}}
    path = write_lines(tmp_path / "samples.jsonl", change, change)
    with pytest.raises(InputError, match=r"2 samples .* q; .*--question-id"):
        read_in(({"text": path}, None), tmp_path, "text", tokenizer=base)


def test_a_file_without_lines_is_refused(base, tmp_path):
    """Nothing is written."""
    path = write_lines(tmp_path / "samples.jsonl")
    with pytest.raises(InputError, match="has no samples"):
        read_in(({"text": path}, None), tmp_path, "text", tokenizer=base)
    assert not list(tmp_path.glob("*.parquet"))


def test_scores_of_other_questions_are_not_exported(logged, base, tmp_path):
    """Nothing is written for questions that were not asked."""
    read_in(logged, tmp_path, "text", tokenizer=base)
    asked = tables.read(tmp_path / "questions.parquet", "questions")
    tables.write(asked.slice(3), tmp_path / "few.parquet", "questions")
    with pytest.raises(InputError, match=r"no scores of the questions .*few\.parquet"):
        export_samples(
            predictions=tmp_path / "en.parquet",
            questions=tmp_path / "few.parquet",
            out=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()

"""A predictions table holds what the engine says, and nothing is scored twice."""

import logging
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny import CHAT_TEMPLATE
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as tokenizer_models
from toys import make_model, make_tokenizer, save_checkpoint, save_questions
from transformers import PreTrainedTokenizerFast

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.models.tokens import load_tokenizer
from polycal.scoring import engine
from polycal.scoring.score import score
from polycal.storage import tables
from polycal.storage.provenance import read_provenance, write_provenance
from polycal.study.prompts import build_prompt

LANGUAGES = ("de", "en", "fr")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("models") / "toy", make_model())


@pytest.fixture(scope="module")
def questions(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("questions")
    return {
        each: save_questions(folder / f"{each}.parquet", language=each)
        for each in LANGUAGES
    }


@pytest.fixture
def call(tmp_path, checkpoint, questions):
    """Score some languages into `tmp_path`, and return the table's path."""

    def call(*languages: str, name: str = "out", **changes: object) -> Path:
        out = tmp_path / f"{name}.parquet"
        options = {
            "checkpoint": checkpoint,
            "base": None,
            "questions": [questions[each] for each in languages],
            "scoring": ["letters", "text"],
            "model": "toy",
            "sft": "none",
            "smoothing": 0.0,
            "seed": 0,
            "store": tmp_path / "store",
            "out": out,
        }
        score(**(options | changes))
        return out

    return call


@pytest.fixture
def no_loading(monkeypatch):
    """Loading a model is an error."""

    def load_model(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    return lambda: monkeypatch.setattr(models, "load_model", load_model)


def read(path: Path) -> list[dict]:
    return tables.read(path, "predictions").to_pylist()


def without_identity(rows: list[dict]) -> list[dict]:
    names = ("model", "sft", "smoothing", "seed")
    return [{k: v for k, v in row.items() if k not in names} for row in rows]


def test_rows_hold_the_engine_s_scores_in_order(call, checkpoint, questions):
    """Test split only; files, then scorings, then questions; one row each."""
    out = call("fr", "de", sft="alpaca", smoothing=0.1, seed=3)
    scorer = engine.Engine(
        models.load_model(checkpoint, dtype=torch.float32, device=torch.device("cpu")),
        load_tokenizer(checkpoint),
    )
    rows = iter(read(out))
    for language in ("fr", "de"):
        source = tables.read(questions[language], "questions")
        test = tables.where(source, split="test").to_pylist()
        assert len(test) == source.num_rows - 1
        for scoring in ("letters", "text"):
            prompts = [
                build_prompt(scoring, q["question"], q["options"], q["lead_in"])
                for q in test
            ]
            for question, scored in zip(test, scorer.score(prompts), strict=True):
                row = next(rows)
                expected = {name: question[name] for name in row if name in question}
                expected |= {"model": "toy", "sft": "alpaca", "smoothing": 0.1}
                expected |= {"seed": 3, "scoring": scoring, "truncated": False}
                expected |= {"logprobs": scored.logprobs.tolist()}
                expected |= {"n_tokens": [len(ids) for ids in scored.tokens]}
                assert {name: row[name] for name in expected} == expected
                options = [option.encode() for option in question["options"]]
                if scoring == "text":
                    assert row["n_bytes"] == [len(option) for option in options]
                    assert row["log_mass"] is None
                else:
                    assert row["n_bytes"] == [1] * len(options)
                    mass = np.log(np.exp(scored.logprobs.astype(float)).sum())
                    assert row["log_mass"] == pytest.approx(mass, abs=1e-6)
    assert next(rows, None) is None


def test_the_file_says_what_made_it(call, checkpoint, questions):
    """Digests, dtype, device and stage are in the metadata."""
    facts = tables.read_metadata(call("de", "en", stage=7))
    assert re.fullmatch("[0-9a-f]{64}", facts["checkpoint"])
    assert facts["questions"].keys() == {"de", "en"}
    assert (facts["dtype"], facts["device"]) == (
        (["float32"], ["cpu"])
        if not torch.cuda.is_available()
        else (["bfloat16"], [torch.cuda.get_device_name()])
    )
    assert facts["stage"] == 7
    assert facts["base"] is None


def test_company_does_not_change_a_bit(call, tmp_path):
    """A language alone, in a batch, and from the store: identical rows."""
    alone = read(call("en", name="alone"))
    batch = read(call("de", "en", "fr", name="batch", store=tmp_path / "other"))
    assert [row for row in batch if row["language"] == "en"] == alone
    mixed = call("de", "en", "fr", name="mixed")
    assert mixed.read_bytes() == (tmp_path / "batch.parquet").read_bytes()


def test_what_is_stored_is_not_scored_again(call, no_loading, caplog):
    """A second call loads nothing and writes the same bytes."""
    first = call("de", "en").read_bytes()
    no_loading()
    with caplog.at_level(logging.INFO):
        assert call("de", "en", name="again").read_bytes() == first
        assert len(read(call("en", name="fewer", scoring=["text"]))) == 6
    assert "questions/s" not in caplog.text


def test_an_added_language_is_the_only_one_scored(call, caplog):
    """The log names every language that is scored, and one start-up."""
    with caplog.at_level(logging.INFO):
        call("de", "en")
        assert scored_languages(caplog.text) == ["de", "de", "en", "en"]
        caplog.clear()
        call("de", "en", "fr")
    assert scored_languages(caplog.text) == ["fr", "fr"]
    assert caplog.text.count("start-up took") == 1


def scored_languages(log: str) -> list[str]:
    return re.findall(r"toy, (\w+), \w+: 6 questions in", log)


@pytest.fixture
def chat_checkpoint(tmp_path) -> Path:
    """A model whose chat template refuses the word yen."""
    tokenizer = make_tokenizer()
    refused = "{% if 'yen' in messages[-2].content %}{{ raise_exception('no yen') }}"
    tokenizer.chat_template = f"{refused}{{% endif %}}{CHAT_TEMPLATE}"
    model = make_model(max_position_embeddings=512)
    return save_checkpoint(tmp_path / "chat", model, tokenizer)


def test_chat_prompts_are_other_scores(call, chat_checkpoint, tmp_path, no_loading):
    """Of other contexts; plain ones are stored as they ever were."""
    asked = {"question": "which {} ?".format, "options": ["euro", "krona"]}
    questions = [save_questions(tmp_path / "q.parquet", n_dev=2, **asked)]
    given = {"questions": questions, "checkpoint": chat_checkpoint}
    plain = read(call(**given))
    chat = [read(call(**given, prompt="chat", shots=n)) for n in (0, 1)]
    turns = call(**given, prompt="chat", shots=1, shots_as="turns", name="turns")
    tables_of_rows = [plain, *chat, read(turns)]
    scores = {tuple(rows[0]["logprobs"]) for rows in tables_of_rows}
    assert len(scores) == len(tables_of_rows)
    facts = tables.read_metadata(turns)
    assert (facts["prompt"], facts["shots_as"]) == ("chat", "turns")
    assert facts["opens_answer"] == [True]
    no_loading()
    assert read(call(**given)) == plain
    assert read(call(**given, shots_as="turns")) == plain
    # Without shots it does not matter how they would be written.
    assert read(call(**given, prompt="chat", shots_as="turns")) == chat[0]
    keys = [
        tables.read_metadata(path)["key"] for path in tmp_path.glob("store/*.parquet")
    ]
    assert {"prompt" in key for key in keys} == {True, False}


def test_a_question_that_the_template_refuses_is_named(call, chat_checkpoint, tmp_path):
    """As one that cannot be scored; a model without a template never gets so far."""
    questions = save_questions(
        tmp_path / "q.parquet",
        question=lambda index: f"{'yen' * (index == 3)} ?",
        options=["euro", "krona"],
    )
    asked = {"questions": [questions], "prompt": "chat"}
    with pytest.raises(
        InputError, match=r"question en/3 .*a prompt: .*refuses it: no yen"
    ):
        call(checkpoint=chat_checkpoint, **asked)
    with pytest.raises(InputError, match=r"toy has no chat template, which `prompt: c"):
        call(**asked)


@pytest.fixture
def parallel(tmp_path) -> list[Path]:
    """40 questions of three subjects in two languages; the second lacks one of them."""
    paths = []
    for language in ("en", "sw"):
        path = save_questions(
            tmp_path / f"{language}.parquet",
            language=language,
            n=40,
            question_id=lambda index: f"q{index}",
            subject=lambda index: "abc"[min(index % 4, 2)],
        )
        paths.append(path)
    table = tables.read(paths[1], "questions")
    lacking = table.filter([name != "q7" for name in table["question_id"].to_pylist()])
    tables.write(lacking, paths[1], "questions")
    return paths


def names_of(path: Path, language: str) -> list[str]:
    return [
        row["question_id"]
        for row in read(path)
        if (row["language"], row["scoring"]) == (language, "text")
    ]


def test_more_questions_score_only_the_new_ones(call, parallel, caplog, no_loading):
    """The log counts them; the numbers are those of all at once, up to rounding."""
    asked = {"questions": parallel, "reference": parallel[0], "question_seed": 5}
    with caplog.at_level(logging.INFO):
        call(**asked, max_questions=8)
        few = read(call(**asked, max_questions=8))
        caplog.clear()
        some = read(call(**asked, max_questions=24))
        counts = re.findall(r"toy, (\w+), (\w+): (\d+) questions in", caplog.text)
        assert sum(int(n) for language, _, n in counts if language == "en") == 2 * 16
        caplog.clear()
        out = call(questions=parallel)
        counts = re.findall(r"toy, (\w+), (\w+): (\d+) questions in", caplog.text)
        assert sum(int(n) for language, _, n in counts if language == "en") == 2 * 16
    assert [row for row in some if row in few] == few
    every = read(out)
    assert [row for row in every if row in some] == some
    at_once = read(call(questions=parallel, name="other", store=out.parent / "other"))
    for one, other in zip(every, at_once, strict=True):
        np.testing.assert_allclose(
            one.pop("logprobs"), other.pop("logprobs"), atol=1e-4
        )
        assert one.pop("log_mass") == pytest.approx(other.pop("log_mass"), abs=1e-4)
        assert one == other
    no_loading()
    assert read(call(**asked, max_questions=8)) == few


def test_every_language_is_asked_the_same_questions(call, parallel):
    """But for those that it lacks; a seed chooses others."""
    asked = {"questions": parallel, "reference": parallel[0], "max_questions": 30}
    out = call(**asked)
    english, swahili = (names_of(out, code) for code in ("en", "sw"))
    assert len(english) == 30
    assert [name for name in english if name != "q7"] == swahili
    assert "q7" in english
    assert names_of(call(**asked, question_seed=1), "en") != english
    facts = tables.read_metadata(out)
    assert (facts["max_questions"], facts["question_seed"]) == (30, 1)
    alone = call(questions=[parallel[1]], reference=parallel[0], max_questions=30)
    assert names_of(alone, "sw") == swahili


def test_a_language_without_any_chosen_question_is_refused(call, parallel, tmp_path):
    """Its ids are of another kind."""
    foreign = save_questions(tmp_path / "fr.parquet", language="fr")
    with pytest.raises(InputError, match=r"fr\.parquet has none of the questions"):
        call(questions=[foreign], reference=parallel[0], max_questions=3)


@pytest.fixture
def few(tmp_path) -> Path:
    """Six questions of a subject with two dev questions, six of one with three."""
    return save_questions(
        tmp_path / "few.parquet",
        n=12,
        n_dev=5,
        subject=lambda index: "ab"[index % 2],
    )


def test_shots_are_in_front_of_the_question(call, checkpoint, few):
    """The scores are those of prompts with the first dev questions of the subject."""
    source = tables.read(few, "questions").to_pylist()
    scorer = engine.Engine(
        models.load_model(checkpoint, dtype=torch.float32, device=torch.device("cpu")),
        load_tokenizer(checkpoint),
    )
    prompts = [
        build_prompt(
            "letters",
            each["question"],
            each["options"],
            each["lead_in"],
            [shot for shot in source[:5] if shot["subject"] == each["subject"]][:2],
        )
        for each in source[5:]
    ]
    out = call(questions=[few], scoring=["letters"], shots=2)
    expected = [each.logprobs.tolist() for each in scorer.score(prompts)]
    assert [row["logprobs"] for row in read(out)] == expected
    assert any(row["truncated"] for row in read(out)) == any(
        any(each.truncated) for each in scorer.score(prompts)
    )
    facts = tables.read_metadata(out)
    assert (facts["shots"], facts["fewer_shots"]) == (2, {})


def test_a_question_among_its_own_shots_gets_another_one(call, few, caplog, tmp_path):
    """It would be told its answer; the next dev question stands in for it."""
    rows = tables.read(few, "questions").to_pylist()
    dev = [row for row in rows if row["split"] == "dev"]
    copied = next(row for row in rows if row["split"] == "test")
    own = next(row for row in dev if row["subject"] == copied["subject"])
    own |= {key: copied[key] for key in ("question", "options", "gold")}
    path = tmp_path / "few.parquet"
    table = pa.Table.from_pylist(rows, tables.SCHEMAS["questions"])
    tables.write(table, path, "questions")
    own["question"] = "another question"
    plain = tmp_path / "plain.parquet"
    table = pa.Table.from_pylist(
        [row for row in rows if row is not own], tables.SCHEMAS["questions"]
    )
    tables.write(table, plain, "questions")
    asked = {"scoring": ["letters"], "shots": 1}
    out = call(questions=[path], name="few", **asked)
    expected = call(questions=[plain], name="plain", **asked)
    found = [read(path)[0]["logprobs"] for path in (out, expected)]
    np.testing.assert_allclose(*found, atol=1e-5)
    assert tables.read_metadata(out)["replaced_shots"] == {"en": 1}
    assert "among their own shots, and get another one: {'en': 1}" in caplog.text


def test_a_subject_with_too_few_shots_is_told(call, few, caplog):
    """In the log and in the metadata, also when the scores come from the store."""
    for _ in range(2):
        out = call(questions=[few], shots=3)
        assert "questions with fewer than 3 shots: {'en': 6}" in caplog.text
        assert tables.read_metadata(out)["fewer_shots"] == {"en": 6}
        caplog.clear()


def test_shots_need_dev_questions(call, tmp_path):
    """A benchmark without a dev split cannot give any."""
    bare = save_questions(tmp_path / "bare.parquet", n_dev=0)
    assert len(read(call(questions=[bare]))) == 12
    with pytest.raises(
        InputError, match=r"bare\.parquet has no dev questions to take 1"
    ):
        call(questions=[bare], shots=1)


def test_the_lead_in_of_the_questions_is_used(call, tmp_path):
    """Another word in the file gives other scores, of the same questions."""
    asked = {"question": "which currency", "options": ["euro", "yen"], "gold": 0}
    own = save_questions(tmp_path / "en.parquet", **asked, lead_in="euro:")
    other = save_questions(tmp_path / "other" / "en.parquet", **asked)
    first, second = (read(call(questions=[path])) for path in (own, other))
    assert first[0]["logprobs"] != second[0]["logprobs"]
    assert [row["n_tokens"] for row in first] == [row["n_tokens"] for row in second]


@pytest.mark.parametrize(
    "change", ["stage", "dtype", "checkpoint", "questions", "shots"]
)
def test_what_determines_the_scores_is_scored_again(change, call, caplog, tmp_path):
    """Another stage, dtype, weights or question text find nothing in the store."""
    call("en")
    changes = {
        "stage": lambda: 2,
        "dtype": lambda: "bfloat16",
        "shots": lambda: 1,
        "checkpoint": lambda: save_checkpoint(
            tmp_path / "toy", make_model(rms_norm_eps=1e-3)
        ),
        "questions": lambda: [
            save_questions(tmp_path / "en.parquet", subject="changed")
        ],
    }
    with caplog.at_level(logging.INFO):
        call("en", **{change: changes[change]()})
    assert scored_languages(caplog.text) == ["en", "en"]


def test_two_names_for_one_checkpoint_stay_apart(call, no_loading):
    """Scores are shared through the store; names never are."""
    first = read(call("en", name="first", sft="a", smoothing=0.1, seed=1))
    no_loading()
    second = read(call("en", name="second", sft="b", smoothing=0.2, seed=2))
    assert without_identity(first) == without_identity(second)
    assert {(row["sft"], row["smoothing"], row["seed"]) for row in first} == {
        ("a", 0.1, 1)
    }
    assert {(row["sft"], row["smoothing"], row["seed"]) for row in second} == {
        ("b", 0.2, 2)
    }


def test_dtypes_that_mix_are_said(call, tmp_path, monkeypatch, caplog):
    """`auto` on two machines puts two dtypes into one file; nobody may miss it."""
    call("en")
    monkeypatch.setattr(models, "pick_dtype", lambda *_: torch.bfloat16)
    out = call("en", "de")
    assert (
        "mixes dtypes ['bfloat16', 'float32']; choose one with --dtype" in caplog.text
    )
    assert tables.read_metadata(out)["dtype"] == ["bfloat16", "float32"]


def test_a_stored_file_that_is_truncated_is_refused_by_name(call, tmp_path):
    """It is neither used nor replaced silently."""
    call("en")
    for path in (tmp_path / "store").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"[0-9a-f]{64}\.parquet is not a complete"):
        call("en")


def test_an_adapter_is_scored_on_its_base(call, checkpoint, tmp_path):
    """Its scores differ from the base's, its base is in the key and is asked for."""
    model = get_peft_model(
        models.load_model(checkpoint, dtype=torch.float32, device=torch.device("cpu")),
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False),
    )
    adapter = save_checkpoint(tmp_path / "adapter", model)
    out = call("en", checkpoint=adapter, base=checkpoint)
    base = call("en", name="base", base=checkpoint)
    assert read(out)[0]["logprobs"] != read(base)[0]["logprobs"]
    assert tables.read_metadata(out)["base"] == tables.read_metadata(base)["checkpoint"]
    with pytest.raises(InputError, match=r"adapter is an adapter; .*--base"):
        call("en", checkpoint=adapter)


def test_an_adapter_on_other_weights_than_it_was_made_for_is_refused(
    call, checkpoint, tmp_path
):
    """They may have the same shapes, such as a base model that was exchanged."""
    model = get_peft_model(make_model(), LoraConfig(r=2, target_modules=["q_proj"]))
    adapter = save_checkpoint(tmp_path / "adapter", model)
    made, base = (read_provenance(each)["digest"] for each in (adapter, checkpoint))
    write_provenance(adapter, digest=made, base=base)
    call("en", checkpoint=adapter, base=checkpoint)
    weights = make_model()
    weights.model.norm.weight.data += 1
    exchanged = save_checkpoint(tmp_path / "exchanged", weights)
    with pytest.raises(InputError, match=r"adapter of other weights than .*exchanged"):
        call("en", checkpoint=adapter, base=exchanged)


def test_a_question_without_a_finite_score_is_named(call, tmp_path):
    """A diverged checkpoint stops at its first question, with its id."""
    model = make_model()
    model.model.norm.weight.data[0] = float("nan")
    broken = save_checkpoint(tmp_path / "broken", model)
    with pytest.raises(InputError, match=r"broken cannot score question en/\d .*nan"):
        call("en", checkpoint=broken)


def test_the_next_language_is_tokenised_while_one_is_scored(call, monkeypatch):
    """The scoring of a language waits here until its successor has its tokens."""
    tokenised = [threading.Event() for _ in LANGUAGES]
    begun, scored = iter(tokenised), iter([*tokenised[1:], tokenised[-1]])
    tokenize, score_tokens = engine.Engine.tokenize, engine.Engine.score_tokens

    def noted(self, prompts):
        found = tokenize(self, prompts)
        next(begun).set()
        return found

    def waiting(self, asked, follow):
        assert next(scored).wait(timeout=400)
        return score_tokens(self, asked, follow)

    monkeypatch.setattr(engine.Engine, "tokenize", noted)
    monkeypatch.setattr(engine.Engine, "score_tokens", waiting)
    rows = read(call(*LANGUAGES, scoring=["letters"]))
    assert list(dict.fromkeys(row["language"] for row in rows)) == list(LANGUAGES)


@pytest.fixture
def loading_in_turn(monkeypatch):
    """Threads stand for jobs, which are processes: transformers loads in one at a time.

    While it loads, it replaces `PreTrainedModel.tie_weights` of all threads, and two of
    them leave it replaced for the rest of the process.
    """
    load_model, turn = models.load_model, threading.Lock()

    def load_in_turn(*args, **settings):
        with turn:
            return load_model(*args, **settings)

    monkeypatch.setattr(models, "load_model", load_in_turn)


@pytest.mark.usefixtures("loading_in_turn")
def test_jobs_of_one_checkpoint_score_at_the_same_time(
    call, monkeypatch, tmp_path, questions
):
    """Eight jobs, as on eight GPUs: each waits in its scoring until all are there."""
    score_tokens, all_there = engine.Engine.score_tokens, threading.Barrier(8)

    def meeting(self, asked, follow):
        all_there.wait(timeout=400)
        return score_tokens(self, asked, follow)

    monkeypatch.setattr(engine.Engine, "score_tokens", meeting)
    codes = [f"a{letter}" for letter in "abcdefgh"]
    for code in codes:
        questions[code] = save_questions(tmp_path / f"{code}.parquet", language=code)
    with ThreadPoolExecutor(8) as jobs:
        calls = [
            jobs.submit(call, code, name=code, scoring=["letters"]) for code in codes
        ]
        assert [len(read(each.result())) for each in calls] == [6] * 8
    assert not list((tmp_path / "store").glob(".*"))


@pytest.mark.usefixtures("loading_in_turn")
def test_two_jobs_never_score_the_same_part(call, monkeypatch, tmp_path):
    """What the first is scoring the second leaves to it, and scores the rest first."""
    score_tokens = engine.Engine.score_tokens
    begun, others_done, scored = threading.Event(), threading.Event(), []

    def noted(self, asked, follow):
        job = threading.current_thread().name
        scored.append(job)
        if job.startswith("first"):
            begun.set()
            assert others_done.wait(timeout=400)
        found = score_tokens(self, asked, follow)
        if scored.count(job) == 2:
            others_done.set()
        return found

    monkeypatch.setattr(engine.Engine, "score_tokens", noted)
    one = {"scoring": ["text"]}
    with (
        ThreadPoolExecutor(1, "first") as first,
        ThreadPoolExecutor(1, "second") as second,
    ):
        slow = first.submit(call, "de", name="slow", **one)
        assert begun.wait(timeout=400)
        timing = tmp_path / "timing.tsv"
        job = second.submit(call, *LANGUAGES, name="all", timing=timing, **one)
        assert len(read(job.result())) == 18
        assert len(read(slow.result())) == 6
    assert [job.split("_")[0] for job in scored] == ["first", "second", "second"]
    head, row = (line.split("\t") for line in timing.read_text().splitlines())
    assert head == ["s", "questions", "scoring", "loading"]
    assert row[1] == "12"
    assert float(row[0]) == pytest.approx(float(row[2]) + float(row[3]), abs=0.01)


def test_the_size_of_a_pass_can_be_given(call, caplog):
    """It is in the log, beside what the start-up took."""
    with caplog.at_level(logging.INFO):
        call("en", max_tokens=70)
    assert re.search(
        r"imports took [\d.]+ s: .* 70 tokens per pass(.|\n)*start-up took", caplog.text
    )


def save_with_vocabulary(folder: Path, pieces: list[str], merges=()) -> Path:
    """A checkpoint whose tokenizer knows these pieces and [unk] only."""
    names = {piece: index for index, piece in enumerate(["[unk]", *pieces])}
    model = tokenizer_models.BPE(names, list(merges), unk_token="[unk]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([])
    tokenizer.decoder = decoders.Fuse()
    return save_checkpoint(
        folder,
        make_model(),
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[unk]"),
    )


def test_letters_of_several_tokens_have_no_mass(call, tmp_path, caplog):
    """` A` as two tokens still has a score; log_mass is null and that is said."""
    split = save_with_vocabulary(tmp_path / "split", [" ", *"ABCD"])
    rows = read(call("en", checkpoint=split, scoring=["letters"]))
    assert {tuple(row["n_tokens"]) for row in rows} == {(2, 2, 2, 2)}
    assert {row["log_mass"] for row in rows} == {None}
    assert "a letter has 2 tokens; log_mass is null" in caplog.text


def test_options_that_share_a_token_with_their_context_are_scored_whole(
    call, tmp_path, caplog
):
    """Where `: A` is one token, nothing would be left of ` A`; it is counted."""
    merges = [(":", " "), (": ", "A")]
    pieces = [*" :ABCD", ": ", ": A"]
    swallowing = save_with_vocabulary(tmp_path / "swallowing", pieces, merges)
    plain = save_with_vocabulary(tmp_path / "plain", pieces)
    tables_read = [
        call("en", name=folder.name, checkpoint=folder, scoring=["letters"])
        for folder in (swallowing, plain)
    ]
    rows, expected = map(read, tables_read)
    assert {tuple(row["n_tokens"]) for row in rows} == {(2, 2, 2, 2)}
    for row, other in zip(rows, expected, strict=True):
        np.testing.assert_allclose(row["logprobs"], other["logprobs"], atol=1e-5)
    n_options = 4 * len(rows)
    facts = [tables.read_metadata(path)["own_tokens"] for path in tables_read]
    assert facts == [{"toy, en, letters": n_options}, {}]
    assert f"{n_options} of {n_options} options share a token" in caplog.text
    one = call(
        "en",
        name="one",
        checkpoint=swallowing,
        scoring=["letters"],
        max_questions=1,
    )
    assert tables.read_metadata(one)["own_tokens"] == {"toy, en, letters": 4}


def test_letters_that_are_one_token_are_refused(call, tmp_path):
    """A tokenizer that does not know C and D cannot tell them apart."""
    unknown = save_with_vocabulary(tmp_path / "unknown", [" ", *"AB"])
    with pytest.raises(InputError, match="two letters the same tokens"):
        call("en", checkpoint=unknown)


def test_files_that_do_not_fit_are_named(call, questions, tmp_path):
    """Dev rows only, a language twice, a directory that polycal did not make."""
    dev = save_questions(tmp_path / "dev.parquet", split="dev")
    with pytest.raises(InputError, match=r"dev\.parquet must hold test .* it has none"):
        call("en", questions=[dev])
    with pytest.raises(
        InputError, match=r"en\.parquet: toy, en, letters is given twice"
    ):
        call("en", "de", "en")
    make_model().save_pretrained(tmp_path / "plain")
    with pytest.raises(InputError, match=r"plain has no provenance\.json"):
        call("en", checkpoint=tmp_path / "plain")


def command(
    checkpoint: Path, files: list[Path], folder: Path, *, most: int = 8
) -> list[str]:
    """A job that waits to be killed before it stores more than so many parts."""
    code = f"""
import logging, pathlib, time
from polycal.scoring.score import score
from polycal.scoring.store import Store

left, put = iter(range({most})), Store.put

def put_some(*given, **facts):
    if next(left, None) is None:
        time.sleep(1000)
    put(*given, **facts)

Store.put = put_some
logging.basicConfig(level="INFO")
score(
    checkpoint=pathlib.Path({str(checkpoint)!r}),
    base=None,
    questions={list(map(str, files))!r},
    scoring=["letters", "text"],
    model="toy",
    sft="none",
    smoothing=0,
    seed=0,
    store=pathlib.Path({str(folder / "store")!r}),
    out=pathlib.Path({str(folder / "out.parquet")!r}),
)
"""
    return [sys.executable, "-X", "importtime", "-c", code]


@pytest.mark.slow
def test_kill_9_loses_only_the_language_in_progress(call, checkpoint, tmp_path):
    """Started again, it scores the rest only and ends with the undisturbed bytes."""
    files = [
        save_questions(tmp_path / f"{each}.parquet", language=each, n=400)
        for each in ("aa", "bb", "cc", "dd")
    ]
    folder = tmp_path / "killed"
    folder.mkdir()
    with (tmp_path / "log").open("w") as log:  # a pipe that nobody reads would fill up
        job = subprocess.Popen(command(checkpoint, files, folder, most=7), stderr=log)
        while job.poll() is None and not stored(folder):
            time.sleep(0.005)
        job.kill()
        job.wait()
    assert job.returncode == -signal.SIGKILL, (tmp_path / "log").read_text()[-4000:]
    before = stored(folder)
    assert 1 <= len(before) < 8
    assert not (folder / "out.parquet").exists()

    second = run(command(checkpoint, files, folder))
    assert scored_parts(second) == 8 - len(before)
    assert before.items() <= stored(folder).items()
    calm = call(questions=files, name="calm", store=tmp_path / "another")
    assert (folder / "out.parquet").read_bytes() == calm.read_bytes()

    third = run(command(checkpoint, files, folder))
    assert scored_parts(third) == 0
    for library in ("torch", "transformers"):
        line = re.compile(rf"\| +{library}$", re.MULTILINE)  # of -X importtime
        assert line.search(second)
        assert not line.search(third)


def stored(folder: Path) -> dict[str, tuple[int, int]]:
    """Entries of the store: name -> inode and time, which change when rewritten."""
    found = {path.name: path.stat() for path in (folder / "store").glob("*.parquet")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def run(arguments: list[str]) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def scored_parts(log: str) -> int:
    return len(re.findall("400 questions in", log))

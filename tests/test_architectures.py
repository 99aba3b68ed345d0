"""Every supported architecture is tuned and scored exactly, whatever its tokenizer."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from tiny import (
    CHAT_TEMPLATE,
    make_tiny_conversations,
    make_tiny_examples,
    make_tiny_tokenizer,
)
from torch.nn.functional import cross_entropy
from toys import make_model, make_tokenizer, reference, save_checkpoint, save_questions
from transformers import AutoModelForCausalLM, GemmaTokenizer

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.models.tokens import load_tokenizer
from polycal.scoring.engine import Engine
from polycal.scoring.score import score
from polycal.storage import tables
from polycal.storage.provenance import read_provenance
from polycal.study.prompts import Prompt, build_prompt
from polycal.study.recipe import Recipe, Rendering
from polycal.tuning.batches import pad_examples
from polycal.tuning.examples import Example
from polycal.tuning.networks import make_network, outline_network
from polycal.tuning.rendering import Tally, make_examples
from polycal.tuning.trainer import SmoothingTrainer
from polycal.tuning.tune import tune

CPU = torch.device("cpu")
IDS = torch.arange(2, 40)[None]
WINDOW = {"sliding_window": 8}
CAPS = {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 3.0}
KINDS = {
    "llama": {},
    "mistral": WINDOW,
    "gemma2": WINDOW | CAPS,
    "gemma3_text": WINDOW | {"layer_types": ["sliding_attention", "full_attention"]},
    "qwen2": {},
    "qwen3": {},
}
# What each of the settings above is when it does nothing.
WITHOUT = {
    "sliding_window": 10_000,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
}
SPECIALITIES = [
    (kind, setting) for kind in KINDS for setting in WITHOUT if setting in KINDS[kind]
]
TOLERANCE = 1e-4  # nats
RECIPE = Recipe(
    lr=1e-2,
    max_steps=2,
    warmup_ratio=0,
    batch_size=8,
    micro_batch_size=4,
    lora_rank=4,
    dtype="float32",
)


def save_base(folder: Path, kind: str, tokenizer=None, **changes: object) -> Path:
    """A random model of a kind, and a tokenizer that has no pad token."""
    settings = KINDS[kind] | {"max_position_embeddings": 256}
    settings |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    model = make_model(kind, **(settings | changes))
    return save_checkpoint(folder, model, tokenizer or make_tiny_tokenizer())


def load(checkpoint: Path) -> torch.nn.Module:
    return models.load_model(checkpoint, dtype=torch.float32, device=CPU)


def load_eager(checkpoint: Path, **changes: object) -> torch.nn.Module:
    """As transformers writes the formulas down, without polycal."""
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, attn_implementation="eager", dtype=torch.float32, **changes
    )
    return model.eval()


def call_tune(base: Path, conversations: Path, out: Path, **changes: object) -> Path:
    examples = out.with_name(f"{out.name}-examples")
    tune(
        base=base,
        examples=make_tiny_examples(examples, base=base, conversations=conversations),
        model="toy",
        sft="toy",
        smoothing=0.1,
        seed=0,
        recipe=dataclasses.replace(RECIPE, **changes),
        out=out,
    )
    return out


def call_score(checkpoint: Path, questions: Path, base: Path | None = None) -> list:
    """Rows of predictions, written next to the checkpoint."""
    out = checkpoint.with_name(f"{checkpoint.name}.parquet")
    score(
        checkpoint=checkpoint,
        base=base,
        questions=[questions],
        scoring=["letters", "text"],
        model="toy",
        sft="toy",
        smoothing=0.1,
        seed=0,
        store=checkpoint.with_name(f"{checkpoint.name}-store"),
        out=out,
    )
    return tables.read(out, "predictions").to_pylist()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Where cores are busy, threads wait for each other longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("architectures")


@pytest.fixture(scope="module")
def conversations(folder) -> Path:
    return make_tiny_conversations(folder / "toy.parquet", n=18)


@pytest.fixture(scope="module")
def questions(folder) -> Path:
    return save_questions(folder / "en.parquet", n=3)


@pytest.fixture(scope="module", params=KINDS)
def base(request, folder) -> Path:
    return save_base(folder / request.param, request.param)


def read_examples(conversations: Path, tokenizer) -> list[Example]:
    table = tables.read(conversations, "conversations")
    return list(make_examples(table.to_batches(), tokenizer, Rendering(), Tally()))


@pytest.fixture
def examples(conversations) -> list[Example]:
    return read_examples(conversations, make_tiny_tokenizer())


def make_trainer(model, examples, folder, *, smoothing: float) -> SmoothingTrainer:
    return SmoothingTrainer(
        model,
        examples,
        recipe=RECIPE,
        smoothing=smoothing,
        bfloat16=False,
        seed=0,
        folder=str(folder),
    )


def expected_loss(
    model, examples: list[Example], *, smoothing: float, rows: int | None = None
) -> torch.Tensor:
    """PyTorch's loss on the full logits of every example alone.

    `rows` leaves out the vocabulary's rows from there on.
    """
    logits, labels = [], []
    for each in examples:
        found = model(torch.tensor(each.tokens)[None], use_cache=False).logits
        logits.append(found[0, :-1, :rows])
        labels += np.where(each.targets, each.tokens, -100)[1:].tolist()
    return cross_entropy(
        torch.cat(logits), torch.tensor(labels), label_smoothing=smoothing
    )


def note_tokens(model: torch.nn.Module) -> list[list[int]]:
    """A list that grows by the rows of token ids that the model reads."""
    read: list[list[int]] = []
    model.get_input_embeddings().register_forward_pre_hook(
        lambda _, arguments: read.extend(arguments[0].tolist())
    )
    return read


@pytest.mark.parametrize("method", ["full", "lora"])
def test_tuned_and_scored_from_directories(base, method, conversations, questions):
    """Two steps change the scores, which are those of the eager model.

    Neither the tokenizer nor the embeddings get an entry more.
    """
    out = base.with_name(f"{base.name}-{method}")
    call_tune(base, conversations, out, method=method)
    before, tokenizer = load_eager(base), load_tokenizer(out)
    if method == "full":
        after, rows = load_eager(out), call_score(out, questions)
    else:
        after = PeftModel.from_pretrained(load_eager(base), out).eval()
        rows = call_score(out, questions, base)
    assert tokenizer.get_vocab() == load_tokenizer(base).get_vocab()
    assert len(after.get_input_embeddings().weight) == before.config.vocab_size

    test = tables.where(tables.read(questions, "questions"), split="test").to_pylist()
    assert [(row["scoring"], row["question_id"]) for row in rows] == [
        (scoring, each["question_id"])
        for scoring in ("letters", "text")
        for each in test
    ]
    for row, question in zip(rows, [*test, *test], strict=True):
        prompt = build_prompt(
            row["scoring"],
            question["question"],
            question["options"],
            question["lead_in"],
        )
        expected = reference(after, tokenizer, prompt)
        np.testing.assert_allclose(row["logprobs"], expected, rtol=0, atol=TOLERANCE)
        moved = np.subtract(expected, reference(before, tokenizer, prompt))
        assert abs(moved).max() > 100 * TOLERANCE


def test_the_loss_and_its_gradient_are_those_of_full_eager_logits(
    base, examples, tmp_path
):
    """In a padded batch through the hook, in training and in validation."""
    network, eager = load(base), load_eager(base)
    trainer = make_trainer(network, examples, tmp_path, smoothing=0.3)
    line = trainer.validate(examples)
    expected = expected_loss(eager, examples, smoothing=0.3)
    assert line["loss"] == pytest.approx(expected.item(), abs=1e-5)
    plain = expected_loss(eager, examples, smoothing=0)
    assert line["nll"] == pytest.approx(plain.item(), abs=1e-5)
    assert line["loss"] != pytest.approx(line["nll"], abs=1e-3)

    batch = pad_examples(examples)
    assert not batch["attention_mask"].all(), "nothing is padded"
    network.train()
    n_targets = sum(each.n_targets for each in examples)
    loss = trainer.compute_loss(network, batch, num_items_in_batch=n_targets)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    theirs = dict(eager.named_parameters())
    for name, weight in network.named_parameters():
        assert weight.grad.any(), name
        torch.testing.assert_close(weight.grad, theirs[name].grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_outline_is_the_network_but_for_its_weights(base, method):
    """Names, shapes, dtypes, what is tied and what is trained; buffers as they are.

    So a process that did not read the weights computes the same once it has them.
    """
    recipe = dataclasses.replace(RECIPE, method=method)
    network = make_network(base, recipe, torch.float32, CPU)
    outline = outline_network(base, recipe, torch.float32)
    assert str(outline) == str(network)
    ours, theirs = (dict(each.named_parameters()) for each in (outline, network))
    assert list(ours) == list(theirs)
    for name, weight in ours.items():
        for told in ("shape", "dtype", "device", "requires_grad"):
            assert getattr(weight, told) == getattr(theirs[name], told), name
    assert len({weight.data_ptr() for weight in ours.values()}) == len(ours)
    ours, theirs = (dict(each.named_buffers()) for each in (outline, network))
    assert list(ours) == list(theirs) != []
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    outline.load_state_dict(network.state_dict())
    tokens = torch.arange(40)[None]
    given, expected = (each(input_ids=tokens).logits for each in (outline, network))
    assert torch.equal(given, expected)


@pytest.mark.parametrize(("kind", "setting"), SPECIALITIES)
def test_what_is_special_to_an_architecture_bites(
    kind, setting, folder, conversations, examples
):
    """The equalities above would not hold if a window or a soft cap were left out."""
    checkpoint = save_base(folder / f"{kind}-{setting}", kind)
    changes = {setting: WITHOUT[setting]}
    with torch.no_grad():
        right, wrong = (
            expected_loss(load_eager(checkpoint, **each), examples, smoothing=0.3)
            for each in ({}, changes)
        )
    assert abs(float(right - wrong)) > 1e-3


@pytest.mark.parametrize(
    ("kind", "changes", "asked", "is_default"),
    [
        ("gemma2", {}, "sdpa", False),
        ("gemma2", {"attn_logit_softcapping": None}, None, True),
        ("llama", {}, None, True),
        ("llama", {}, "flash_attention_2", True),
    ],
)
def test_a_soft_cap_in_attention_is_not_left_out(
    kind, changes, asked, is_default, tmp_path
):
    """Whatever config.json asks for; without one, transformers may take what it likes.

    That is a fused kernel, which is faster than the formulas as they are written.
    """
    base = save_base(tmp_path / "base", kind, **changes)
    expected = load_eager(base)(IDS, use_cache=False).logits
    default = AutoModelForCausalLM.from_pretrained(base).config._attn_implementation
    settings = json.loads((base / "config.json").read_text())
    settings["_attn_implementation"] = asked
    (base / "config.json").write_text(json.dumps(settings))
    (base / "provenance.json").unlink()  # it has another file's digest
    model = load(base)
    torch.testing.assert_close(model(IDS, use_cache=False).logits, expected)
    assert model.config._attn_implementation == (default if is_default else "eager")


@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize("writes", [True, False])
def test_bos_is_read_once_or_never(adds, writes, conversations, tmp_path):
    """By the tokenizer's rule in scoring, and never twice if the template writes it."""
    tokenizer = make_tokenizer(bos=adds)
    tokenizer.chat_template = CHAT_TEMPLATE if writes else None
    network = load(save_base(tmp_path / "base", "llama", tokenizer))
    tokenizer = load_tokenizer(tmp_path / "base")
    examples = read_examples(conversations, tokenizer)
    trainer = make_trainer(network, examples, tmp_path, smoothing=0.1)
    trainer.validate(examples)  # the first pass of all is of one token
    read, bos = note_tokens(network), tokenizer.bos_token_id
    for each in examples:  # one at a time: padding has the id of BOS
        trainer.validate([each])
    assert len(read) == len(examples) > 0
    assert {(row.count(bos), row[0] == bos) for row in read} == {
        (int(adds or writes), adds or writes)
    }
    read.clear()
    Engine(network, tokenizer).score([Prompt("which currency:", (" euro",))])
    found = {(row.count(bos), row[0] == bos) for row in read}  # packed, and checked
    assert found == {(int(adds), adds)}


def make_gemma_tokenizer(**options: object) -> GemmaTokenizer:
    """Gemma's rules, its special tokens, bytes and letters; no merges."""
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    names += [f"<0x{byte:02X}>" for byte in range(256)]
    names += ["▁", *map(chr, range(ord("a"), ord("z") + 1))]
    return GemmaTokenizer(
        vocab={name: index for index, name in enumerate(names)},
        add_bos_token=True,
        **options,
    )


GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "<start_of_turn>{{ role }}\n{{ message['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@pytest.mark.parametrize("template", [None, GEMMA_TEMPLATE])
def test_a_gemma_reads_bos_in_training_and_in_scoring(
    template, conversations, questions, tmp_path, monkeypatch
):
    """Without it Gemma's likelihoods are worthless; its tokenizer gives it by default.

    Its base models have no chat template, its tuned ones write BOS in theirs; the
    candidate's tokenizer keeps the rule.
    """
    tokenizer = make_gemma_tokenizer()
    tokenizer.chat_template = template
    base = save_base(
        *(tmp_path / "base", "gemma2", tokenizer),
        **{"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2},
    )
    load_model, lists = models.load_model, []

    def load_and_note(*args: object, **options: object) -> torch.nn.Module:
        model = load_model(*args, **options)
        lists.append(note_tokens(model))
        return model

    monkeypatch.setattr(models, "load_model", load_and_note)
    out = call_tune(base, conversations, tmp_path / "out")
    assert len(call_score(out, questions)) > 0
    trained, scored = lists
    assert len(scored) > 0
    bos = tokenizer.bos_token_id
    assert {row[0] for row in trained} == {bos}
    # One for each example of the steps and of the validation, which the untuned model
    # reads, too; one of the first pass.
    n_validation = read_provenance(out)["counts"]["validation"]
    n_examples = 2 * RECIPE.batch_size + 2 * n_validation
    assert sum(row.count(bos) for row in trained) == n_examples + 1
    # Three questions packed into one row, and the check's rows of one option.
    assert {(row[0], row.count(bos)) for row in scored} == {(bos, 3), (bos, 1)}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_missing_pad_token_is_not_made_up(method, conversations, questions, tmp_path):
    """Nothing needs one: not the batches, not the Trainer, not the saved candidate."""
    base = save_base(tmp_path / "base", "llama")
    assert load_tokenizer(base).pad_token is None
    out = call_tune(base, conversations, tmp_path / "out", method=method)
    assert load_tokenizer(out).pad_token is None
    model = models.load_model(out, base=base, dtype=torch.float32, device=CPU)
    assert model.config.pad_token_id is None
    assert len(call_score(out, questions, base)) > 0


def test_rows_without_a_token_work_and_count_as_classes(
    conversations, questions, tmp_path
):
    """Embeddings are often padded to a multiple; K in the smoothing is all rows."""
    base = save_base(tmp_path / "base", "qwen2", vocab_size=384)
    tokenizer = load_tokenizer(base)
    assert len(tokenizer) < 384
    examples = read_examples(conversations, tokenizer)
    trainer = make_trainer(load(base), examples, tmp_path, smoothing=0.3)
    found = trainer.validate(examples)["loss"]
    with torch.no_grad():
        every, named = (
            float(expected_loss(load_eager(base), examples, smoothing=0.3, rows=rows))
            for rows in (384, len(tokenizer))
        )
    assert found == pytest.approx(every, abs=1e-5)
    assert found != pytest.approx(named, abs=1e-3)
    out = call_tune(base, conversations, tmp_path / "out")
    assert len(load(out).get_input_embeddings().weight) == 384
    assert len(call_score(out, questions)) > 0


def test_too_few_rows_are_told_before_any_work(
    conversations, questions, tmp_path, monkeypatch
):
    """A token was added and the model not resized: both numbers and what to do."""
    tokenizer = make_tiny_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|a|>", "<|b|>"]})
    base = save_base(tmp_path / "base", "llama", tokenizer, vocab_size=rows)
    said = (
        rf"base: the tokenizer's ids need {rows + 2} rows of the embeddings, the model "
        rf"has {rows}; call its resize_token_embeddings\({rows + 2}\)"
    )
    monkeypatch.setattr("polycal.tuning.training.SmoothingTrainer", None)
    monkeypatch.setattr(Engine, "score", None)
    for method in ("full", "lora"):
        with pytest.raises(InputError, match=said):
            call_tune(base, conversations, tmp_path / "out", method=method)
    with pytest.raises(InputError, match=said):
        call_score(base, questions)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "base.parquet").exists()


def test_the_remedy_for_too_few_rows_works(conversations, questions, tmp_path):
    """A model that was resized as the message says is tuned and scored."""
    tokenizer = make_tiny_tokenizer()
    model = make_model(vocab_size=len(tokenizer), max_position_embeddings=256)
    tokenizer.add_tokens(["<|user|>", "<|assistant|>"])
    model.resize_token_embeddings(len(tokenizer))
    base = save_checkpoint(tmp_path / "base", model, tokenizer)
    out = call_tune(base, conversations, tmp_path / "out")
    assert len(call_score(out, questions)) > 0


def test_tokens_that_are_no_text_need_no_row(tmp_path):
    """Gemma-3's smallest models have none for images; padding is never read, either.

    Unless its token ends texts, too; and a token is predicted as well as read.
    """
    image = {"image_token": "<image_soft_token>"}
    make_gemma_tokenizer(extra_special_tokens=image).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    rows = len(tokenizer) - 1
    assert tokenizer.convert_tokens_to_ids("<image_soft_token>") == rows
    model = make_model("gemma3_text", vocab_size=rows)
    models.check_rows(model, tokenizer, tmp_path)

    tokenizer = make_tiny_tokenizer()
    rows = len(tokenizer)
    model = make_model(vocab_size=rows)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    assert tokenizer.pad_token_id == rows
    models.check_rows(model, tokenizer, tmp_path)
    tokenizer.eos_token = "<pad>"
    with pytest.raises(InputError, match=f"need {rows + 1} rows .* has {rows};"):
        models.check_rows(model, tokenizer, tmp_path)
    model.lm_head = torch.nn.Linear(32, rows - 1, bias=False)
    with pytest.raises(InputError, match=f"need {rows} rows .* has {rows - 1};"):
        models.check_rows(model, make_tiny_tokenizer(), tmp_path)

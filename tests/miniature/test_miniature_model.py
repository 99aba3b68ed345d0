"""The embedded study's base model and its tokenizer."""

import itertools
import json
import os
import subprocess
import sys
from importlib.resources import files
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from polycal.errors import InputError
from polycal.miniature.corpus import Document, draw_documents
from polycal.miniature.facts import load_world, written_languages
from polycal.miniature.instructions import make_instructions
from polycal.miniature.make import make_miniature
from polycal.miniature.model import build_model, pack, take_step, train_tokenizer
from polycal.miniature.questions import make_questions
from polycal.study.prompts import LETTERS, build_prompt

pytestmark = pytest.mark.slow  # two processes make the study: 20 s
PARTS = ("model", "sft", "global_mmlu", "mmlu_prox")
MAKE = f"""
import sys
from pathlib import Path
import torch
from polycal.miniature.make import make_miniature
from polycal.miniature.model import build_model, pack, take_step, train_tokenizer
torch.set_num_threads(1)
folders = {{name: Path(sys.argv[1]) / name for name in {PARTS}}}
make_miniature(seed=int(sys.argv[2]), pretrain_steps=2, **folders)
"""


def start(folder: Path, *, seed: int, hash_seed: str) -> subprocess.Popen:
    """Make the study in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, str(folder), str(seed)],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
    )


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> tuple[Path, Path]:
    """Made twice from one seed, at the same time, in two processes."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    jobs = [
        start(folder, seed=0, hash_seed=str(number))
        for number, folder in enumerate(folders, 1)
    ]
    assert [job.wait() for job in jobs] == [0, 0]
    return tuple(folders)


@pytest.fixture(scope="module")
def tokenizer(studies):
    return AutoTokenizer.from_pretrained(studies[0] / "model", local_files_only=True)


@pytest.fixture(scope="module")
def model(studies):
    return AutoModelForCausalLM.from_pretrained(
        studies[0] / "model", local_files_only=True, dtype=torch.float32
    )


@pytest.fixture(scope="module")
def world():
    return load_world(seed=0)


@pytest.fixture(scope="module")
def texts(world) -> dict[str, list[str]]:
    """Language -> every question with its right answer, in both scorings."""
    questions = [
        each for held in make_questions(world, seed=0).values() for each in held
    ]
    found = {}
    for language in written_languages():
        found[language] = []
        for each in questions:
            kind = each.fact.kind
            names = [world.name_answer(kind, code, language) for code in each.options]
            for scoring in ("letters", "text"):
                asked = world.ask(each.fact, language)
                prompt = build_prompt(scoring, asked, names, "Answer:")
                found[language].append(prompt.context + prompt.continuations[each.gold])
    return found


@pytest.fixture(scope="module")
def encoded(tokenizer, texts) -> dict[str, list[list[int]]]:
    """The token ids of `texts`."""
    return {language: tokenizer(held)["input_ids"] for language, held in texts.items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_one_seed_gives_the_same_bytes(studies):
    """Weights, tokenizer, data and cards: all files of two processes are equal."""
    first, second = map(contents, studies)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert {name.split("/")[0] for name in first} == set(PARTS)


def test_the_model_is_an_ordinary_one(studies, model, tokenizer):
    """A Llama of a few million parameters, finite, as wide as its tokenizer."""
    stored = json.loads((studies[0] / "model/config.json").read_text())
    assert stored["dtype"] == "bfloat16"
    assert model.config.model_type == "llama"
    assert 1e6 < sum(each.numel() for each in model.parameters()) < 5e6
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.config.pad_token_id == tokenizer.pad_token_id
    with torch.inference_mode():
        logits = model(**tokenizer(["Where?\nAnswer:"], return_tensors="pt")).logits
    assert torch.isfinite(logits).all()


def test_a_letter_after_a_space_is_one_token(tokenizer):
    """What the harness asks for is one token, in and after a prompt."""
    ids = {letter: tokenizer.encode(f" {letter}")[1:] for letter in LETTERS}
    assert all(len(each) == 1 for each in ids.values())
    assert len({each[0] for each in ids.values()}) == len(LETTERS)
    context = tokenizer.encode("Where?\nAnswer:")
    for letter, held in ids.items():
        assert tokenizer.encode(f"Where?\nAnswer: {letter}") == context + held


def test_every_text_comes_back(tokenizer, texts, encoded):
    """All prompts of all languages survive the way to tokens and back, none unknown."""
    for language, held in encoded.items():
        assert not any(tokenizer.unk_token_id in ids for ids in held), language
        assert all(ids[0] == tokenizer.bos_token_id for ids in held)
        back = tokenizer.batch_decode([ids[1:] for ids in held])
        assert back == texts[language], language


def test_the_corpus_and_the_sft_set_are_known_too(tokenizer, world):
    """No unknown token in what the model is trained and tuned on."""
    rows = make_instructions(world, seed=0)
    held = [value for row in rows for value in row.values()]
    held += [document.text for document in islice(draw_documents(world, seed=1), 2000)]
    assert not any(
        tokenizer.unk_token_id in ids for ids in tokenizer(held)["input_ids"]
    )


def test_a_prompt_fits_the_model(encoded, model):
    """No question with its options is longer than the positions of the model."""
    longest = max(len(ids) for held in encoded.values() for ids in held)
    assert longest <= model.config.max_position_embeddings


def test_the_chat_template_renders_the_harness_way(tokenizer):
    """A turn ends in EOS; the generation prompt is the start of the answer's turn."""
    asked = [{"role": "user", "content": "Where?"}]
    answered = [*asked, {"role": "assistant", "content": "Here"}]
    prompt = tokenizer.apply_chat_template(
        asked, tokenize=False, add_generation_prompt=True
    )
    assert prompt == "<s>Where?\nAnswer:"
    whole = tokenizer.apply_chat_template(answered, tokenize=False)
    assert whole == "<s>Where?\nAnswer: Here</s>"
    ids = tokenizer.apply_chat_template(answered, return_dict=False)
    assert ids[-1] == tokenizer.eos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[:-1] == tokenizer.encode("Where?\nAnswer: Here")
    assert tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_dict=False
    ) == tokenizer.encode("Where?\nAnswer:")


def test_another_seed_is_refused_for_the_shipped_model(tmp_path):
    """The message names the value; no folder appears."""
    folders = {name: tmp_path / name for name in PARTS}
    with pytest.raises(InputError, match="trained on the facts of seed 0; give"):
        make_miniature(seed=1, pretrain_steps=None, **folders)
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_model_is_copied_whole(tmp_path):
    """Without steps the base model is the one of the package, small and undamaged."""
    folders = {name: tmp_path / name for name in PARTS}
    make_miniature(**folders)
    copied = contents(folders["model"])
    assert copied == contents(Path(str(files("polycal.miniature") / "base")))
    assert len(copied["model.safetensors"]) < 10e6
    config = json.loads(copied["config.json"])
    assert (config["model_type"], config["dtype"]) == ("llama", "bfloat16")


def test_the_shipped_tokenizer_is_made_by_today_s_code(world):
    """Texts and names have not changed since the shipped model was trained."""
    shipped = files("polycal.miniature") / "base" / "tokenizer.json"
    trained = train_tokenizer(world, seed=0).backend_tokenizer
    assert json.loads(trained.to_str()) == json.loads(shipped.read_text())


def test_what_is_random_is_not_learnt(tokenizer, world):
    """Of a question with options, only the options have no target."""
    document = Document("Which?\n", "A. one\nB. two\n", "Answer: B")
    row = next(pack(tokenizer, itertools.repeat(document)))
    ids, targets = map(list, zip(*row, strict=True))
    one = [tokenizer.bos_token_id]
    parts = [
        tokenizer(part, add_special_tokens=False)["input_ids"] for part in document
    ]
    one += [*itertools.chain(*parts), tokenizer.eos_token_id]
    assert ids == (one * len(ids))[: len(ids)]
    start, listed, end = len(parts[0]) + 1, len(parts[1]), len(parts[2]) + 1
    assert targets[:start] == one[:start]
    assert targets[start : start + listed] == [-100] * listed
    assert targets[start + listed : start + listed + end] == one[start + listed :]


def test_the_loss_is_that_of_transformers(tokenizer, world):
    """A step's loss and gradient are those of the model's own, where all is learnt."""
    torch.manual_seed(1)
    ours, theirs = build_model(tokenizer), build_model(tokenizer)
    theirs.load_state_dict(ours.state_dict())
    documents = (Document(document.text) for document in draw_documents(world, seed=1))
    rows = list(itertools.islice(pack(tokenizer, documents), 8))
    loss = take_step(ours, iter(rows))
    ids = torch.tensor(rows)[..., 0]
    expected = theirs(input_ids=ids, labels=ids).loss
    expected.backward()
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-6)

"""Random faults of what comes with a model: tokenizer, chat template, checkpoint."""

import functools
import json
import random
import re
import shutil
import tempfile
from pathlib import Path

from peft import LoraConfig, get_peft_model
from random_faults import TEXTS, spoil_file, spoil_json, spoil_value
from tiny import CHAT_TEMPLATE, make_tiny_model
from transformers import AutoModelForCausalLM

from polycal.errors import InputError
from polycal.models import ADAPTER, ADAPTER_WEIGHTS
from polycal.models.chat_templates import ChatWriter, RefusedError
from polycal.models.meta_loading import check_model
from polycal.models.tokens import digest_tokenizer, load_tokenizer, tokenize_prompts
from polycal.preparing.released import prepare_released
from polycal.preparing.snapshot import prepare_model
from polycal.study.prompts import Prompt, build_chat
from polycal.tuning.chat import Chat

_CONVERSATION = {
    "example_id": 0,
    "input": None,
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what is red ?"},
        {"role": "assistant", "content": "a colour"},
        {"role": "user", "content": "and Österreich ?"},
        {"role": "assistant", "content": "a stone house"},
    ],
}
_PROMPTS = [
    Prompt("What is red? ", ("a colour", " a stone", "ß")),
    Prompt("रुपया\nAnswer:", (" A", " B")),
]
# Pieces of a template, most of which make no sense where they are put.
_PIECES = [
    "{% for message in messages %}",
    "{% endfor %}",
    "{% if add_generation_prompt %}",
    "{% endif %}",
    "{% set x = messages[1:] %}",
    "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
    "{{ raise_exception('no') }}",
    "{{ messages[0]['content'] | trim }}",
    "{{ message.content[9].x }}",
    "{{ 1 // 0 }}",
    "{{ none + 1 }}",
    "{{ messages | tojson }}",
    "{{ bos_token }}",
    "{{ eos_token",
    "{% generation %}",
    "{% include 'x' %}",
    "{{ ''.__class__ }}",
    "{{ messages.append(messages[0]) }}",
    "{{ strftime_now('%d\ud800') }}",
    "{# ",
    "}}",
    *TEXTS,
]


@functools.cache
def _make_base() -> Path:
    """A model as the Hub has it, in two files of weights with an index."""
    folder = Path(tempfile.mkdtemp(prefix="borders-"))
    make_tiny_model(folder)
    (folder / "provenance.json").unlink()
    return folder


def _copy_base(folder: Path) -> Path:
    return Path(shutil.copytree(_make_base(), folder / "model"))


def tokenizers(chance: random.Random, folder: Path) -> str:
    """Files of a tokenizer with random values in them, or with other bytes."""
    model = _copy_base(folder)
    names = ("tokenizer.json", "tokenizer_config.json")
    spoil_json(chance, model / chance.choice(names))
    check_model(model)
    tokenizer = load_tokenizer(model)
    assert len(digest_tokenizer(tokenizer)) == 64
    asked = tokenize_prompts(tokenizer, _PROMPTS)
    assert [len(own) for own in asked.continuations] == [3, 2]
    return "table"


def chat_templates(chance: random.Random, folder: Path) -> str:
    """Chat templates with pieces of others in them, or with other characters."""
    template = CHAT_TEMPLATE
    if chance.random() < 0.2:
        template = "".join(chance.choices(_PIECES, k=chance.randrange(1, 6)))
    for _ in range(chance.randrange(1, 3)):
        borders = [match.start() for match in re.finditer(r"(?=\{[{%])|$", template)]
        anywhere = chance.randrange(len(template) + 1)
        begin = chance.choice(borders) if chance.random() < 0.6 else anywhere
        end = begin + chance.choice([0, 0, 1, 5, 40])
        template = template[:begin] + chance.choice(_PIECES) + template[end:]
    tokenizer = load_tokenizer(_make_base())
    tokenizer.chat_template = template
    question = build_chat("letters", "Why ?", ["yes", "no"], "So:", (), as_turns=False)
    try:
        (*texts,) = Chat(tokenizer, "own").render(_CONVERSATION)
        for text, spans in texts:
            for begin, end in spans:
                assert 0 <= begin <= end <= len(text)
        prompt = ChatWriter(tokenizer, folder).write(question)
    except RefusedError as error:
        raise InputError(str(error)) from error  # counted where many are rendered
    tokenize_prompts(tokenizer, [prompt])
    return "table"


def configurations(chance: random.Random, folder: Path) -> str:
    """A config.json with random values in it, or with other bytes."""
    model = _copy_base(folder)
    spoil_json(chance, model / "config.json")
    return _prepare(model)


def weight_indices(chance: random.Random, folder: Path) -> str:
    """An index of weights with random values in it, or with other bytes."""
    model = _copy_base(folder)
    shard = "model-00001-of-00001.safetensors"
    (model / "model.safetensors").rename(model / shard)
    header = _read_header(model / shard)
    index = {"metadata": {}, "weight_map": dict.fromkeys(header, shard)}
    index["weight_map"].pop("__metadata__", None)
    path = model / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    spoil_json(chance, path)
    return _prepare(model)


def weight_headers(chance: random.Random, folder: Path) -> str:
    """Weights whose header says something else, or that end early."""
    model = _copy_base(folder)
    _spoil_weights(chance, model / "model.safetensors")
    return _prepare(model)


def adapters(chance: random.Random, folder: Path) -> str:
    """What peft saves, of which the configuration or the weights are damaged."""
    adapter = Path(shutil.copytree(_make_adapter(), folder / "adapter"))
    if chance.random() < 0.5:
        spoil_json(chance, adapter / ADAPTER)
    else:
        _spoil_weights(chance, adapter / ADAPTER_WEIGHTS)
    out, names = folder / "prepared", {"model": "m", "sft": "s"}
    prepare_released(repo=str(adapter), base=_make_base(), **names, out=out)
    assert (out / "provenance.json").exists()
    return "table"


@functools.cache
def _make_adapter() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="borders-"))
    settings = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    model = AutoModelForCausalLM.from_pretrained(_make_base())
    get_peft_model(model, settings).save_pretrained(folder)
    return folder


def _spoil_weights(chance: random.Random, path: Path) -> None:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    if chance.random() < 0.7:
        header = _read_header(path)
        if chance.random() < 0.2:  # what nothing depends on
            header["__metadata__"] = {"format": "pt", "made by": chance.choice(TEXTS)}
        else:
            header = spoil_value(chance, header)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    else:
        path.write_bytes(content[: 8 + size])
        spoil_file(chance, path)
        path.write_bytes(path.read_bytes() + content[8 + size :])


def _read_header(path: Path) -> dict:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])


def _prepare(model: Path) -> str:
    out = model.with_name("prepared")
    prepare_model(repo=str(model), model="m", out=out)
    assert (out / "provenance.json").exists()
    return "table"

"""Train the base model: a BPE tokenizer and a small Llama."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    get_cosine_schedule_with_warmup,
)

from polycal.miniature.corpus import draw_documents
from polycal.miniature.facts import World, written_languages
from polycal.models.loading import save
from polycal.storage.files import replacing_folder
from polycal.storage.provenance import write_provenance
from polycal.study.prompts import LETTERS

_logger = logging.getLogger(__name__)
_BOS, _EOS, _PAD, _UNK = "<s>", "</s>", "<pad>", "<unk>"
_VOCABULARY = 6000
_ROWS, _LENGTH = 16, 128  # of one step
_THREADS = 2  # fixed, because rounding depends on the number of threads
_LR, _WARMUP = 3e-3, 0.05
# The user's text, then the harness's `Answer:`, so that a small model can apply what it
# learns here to the benchmarks' prompts.
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ 'Answer: ' + message['content'] + eos_token }}"
    "{% else %}{{ message['content'] + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Answer:' }}{% endif %}"
)


def write_model(world: World, *, seed: int, steps: int, out: Path) -> None:
    """Train the tokenizer and the model; write them as `save_pretrained` does."""
    tokenizer = train_tokenizer(world, seed=seed)
    model = pretrain(tokenizer, world, seed=seed, steps=steps)
    with replacing_folder(out) as folder:
        save(model, tokenizer, folder)
        write_provenance(folder, seed=seed, pretrain_steps=steps)


def train_tokenizer(world: World, *, seed: int) -> PreTrainedTokenizerFast:
    """Train BPE over characters on the names and sentences of all languages.

    Raises:
        RuntimeError: a letter after a space is not one token.
    """
    backend = Tokenizer(models.BPE(unk_token=_UNK))
    # A word carries the space before it; a line break stands alone.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("\n"), "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="never"),
            pre_tokenizers.Split(Regex(r"[:?.,()]"), "isolated"),
        ]
    )
    backend.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[_PAD, _BOS, _EOS, _UNK],
        show_progress=False,
    )
    backend.train_from_iterator(_tokenizer_texts(world, seed), trainer)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{_BOS} $A",
        pair=f"{_BOS} $A {_BOS} $B",
        special_tokens=[(_BOS, backend.token_to_id(_BOS))],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=_BOS,
        eos_token=_EOS,
        pad_token=_PAD,
        unk_token=_UNK,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    for letter in LETTERS:
        if len(tokenizer.tokenize(f" {letter}")) != 1:
            raise RuntimeError(f"the tokenizer splits {letter!r} after a space")
    return tokenizer


def _tokenizer_texts(world: World, seed: int) -> Iterator[str]:
    """Yield all questions and answers once, and the beginning of the corpus."""
    for language in written_languages():
        for fact in world.facts:
            yield world.ask(fact, language)
            yield f" {world.name_answer(fact.kind, fact.answer, language)}"
    yield from itertools.islice(draw_documents(world, seed=seed), 5000)


def pretrain(
    tokenizer: PreTrainedTokenizerFast, world: World, *, seed: int, steps: int
) -> LlamaForCausalLM:
    """Train a Llama on packed documents, from BOS to EOS."""
    torch.set_num_threads(_THREADS)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LR, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(_WARMUP * steps), steps)
    rows = _pack(tokenizer, draw_documents(world, seed=seed + 1))
    model.train()
    for step in range(1, steps + 1):
        batch = torch.tensor(list(itertools.islice(rows, _ROWS)))
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps:
            _logger.info(
                "pre-training: step %d of %d, loss %.3f", step, steps, loss.item()
            )
    return model.eval()


def _pack(
    tokenizer: PreTrainedTokenizerFast, documents: Iterator[str]
) -> Iterator[list[int]]:
    """Yield rows of token ids; a document that does not fit continues in the next."""
    pending: list[int] = []
    while True:
        while len(pending) < _LENGTH:
            texts = list(itertools.islice(documents, _ROWS))
            for ids in tokenizer(texts)["input_ids"]:
                pending += [*ids, tokenizer.eos_token_id]
        yield pending[:_LENGTH]
        pending = pending[_LENGTH:]

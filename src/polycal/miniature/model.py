"""Train the base model: a BPE tokenizer and a small Llama."""

import csv
import itertools
import logging
import statistics
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from polycal.miniature.corpus import Document, draw_documents
from polycal.miniature.facts import World, written_languages
from polycal.models.loading import save
from polycal.storage.files import replacing_folder
from polycal.storage.provenance import write_provenance
from polycal.study.prompts import LETTERS

_logger = logging.getLogger(__name__)
_BOS, _EOS, _PAD, _UNK = "<s>", "</s>", "<pad>", "<unk>"
_VOCABULARY = 8000
_ROWS, _LENGTH = 8, 256  # of one step
_THREADS = 2  # fixed, because rounding depends on the number of threads
_LR, _BETAS, _WARMUP = 3e-3, (0.9, 0.98), 100  # steps
_IGNORED = -100  # a target without a loss
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
    """Train the tokenizer and the model; write them as `save_pretrained` does.

    The weights are bfloat16. `pretraining.csv` gets the loss (nats per learnt token)
    by step.
    """
    tokenizer = train_tokenizer(world, seed=seed)
    model, losses = pretrain(tokenizer, world, seed=seed, steps=steps)
    with replacing_folder(out) as folder:
        save(model.to(torch.bfloat16), tokenizer, folder)
        with (folder / "pretraining.csv").open("w", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(["step", "tokens", "loss"])
            for step, loss in losses:
                writer.writerow([step, step * _ROWS * _LENGTH, f"{loss:.3f}"])
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
    for document in itertools.islice(draw_documents(world, seed=seed), 5000):
        yield document.text


def pretrain(
    tokenizer: PreTrainedTokenizerFast, world: World, *, seed: int, steps: int
) -> tuple[LlamaForCausalLM, list[tuple[int, float]]]:
    """Train a Llama on packed documents, from BOS to EOS.

    The rate is constant after its warm-up and falls to 0 in the last fifth.

    Returns:
        The model, and (step, mean loss of the steps since the last one in nats).
    """
    torch.set_num_threads(_THREADS)
    torch.manual_seed(seed)
    model = build_model(tokenizer)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_LR, betas=_BETAS, weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1, (step + 1) / _WARMUP, (steps - step) / max(1, steps // 5)),
    )
    rows = pack(tokenizer, draw_documents(world, seed=seed + 1))
    model.train()
    losses, recent = [], []
    for step in range(1, steps + 1):
        recent.append(take_step(model, rows))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps:
            losses.append((step, statistics.fmean(recent)))
            recent.clear()
            _logger.info(
                "pre-training: step %d of %d, loss %.3f", step, steps, losses[-1][1]
            )
    return model.eval(), losses


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return a Llama of 2.6 M parameters with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=160,
            intermediate_size=448,
            num_hidden_layers=4,
            num_attention_heads=5,
            num_key_value_heads=5,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def take_step(model: LlamaForCausalLM, rows: Iterator[list[tuple[int, int]]]) -> float:
    """Add a batch's gradient to the parameters, clipped; return its loss in nats."""
    batch = torch.tensor(list(itertools.islice(rows, _ROWS)))
    ids, targets = batch[..., 0], batch[:, 1:, 1]
    learnt = targets != _IGNORED
    # Logits only where there is a target: the LM head is a third of the work.
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1][learnt]
    loss = torch.nn.functional.cross_entropy(model.lm_head(hidden), targets[learnt])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    return loss.item()


def pack(
    tokenizer: PreTrainedTokenizerFast, documents: Iterator[Document]
) -> Iterator[list[tuple[int, int]]]:
    """Yield rows of (token id, target); a long document continues in the next row.

    The target is the id itself, or -100 where the model does not learn to predict it.
    """
    pending: list[tuple[int, int]] = []
    while True:
        while len(pending) < _LENGTH:
            batch = list(itertools.islice(documents, 64))
            parts = [
                tokenizer(list(texts), add_special_tokens=False)["input_ids"]
                for texts in zip(*batch, strict=True)
            ]
            for start, listed, end in zip(*parts, strict=True):
                learnt = [tokenizer.bos_token_id, *start]
                pending += zip(learnt, learnt, strict=True)
                pending += zip(listed, itertools.repeat(_IGNORED))
                learnt = [*end, tokenizer.eos_token_id]
                pending += zip(learnt, learnt, strict=True)
        yield pending[:_LENGTH]
        pending = pending[_LENGTH:]

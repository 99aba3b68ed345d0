"""What the scoring of option log-likelihoods is compared with, and what it reads.

The peers are backends of lm_eval: transformers' models (hf), and vLLM where that is
installed. Both get the model that polycal has.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from polycal.models.tokens import tokenize_prompts
from polycal.study.prompts import Prompt

_AT_ONCE = 4096  # requests that vLLM is given; it makes its batches itself


def ask(harness: LM, prompts: Sequence[Prompt]) -> list[np.ndarray]:
    """Log-likelihoods of all options by a peer, in nats."""
    requests = [
        Instance("loglikelihood", {}, (prompt.context, each), index)
        for prompt in prompts
        for index, each in enumerate(prompt.continuations)
    ]
    found = iter(harness.loglikelihood(requests, disable_tqdm=True))
    return [np.array([next(found)[0] for _ in p.continuations]) for p in prompts]


@dataclass(frozen=True)
class Lengths:
    """Tokens of some prompts.

    Attributes:
        blocks: of the shots of every subject.
        shared: of the shots of every prompt.
        contexts: of every context, the shots included.
        options: of every option of every prompt.
    """

    blocks: list[int]
    shared: list[int]
    contexts: list[int]
    options: list[list[int]]

    def read_by_hf(self, index: int) -> int:
        """Tokens of the prompt's requests; options of one token have one in common."""
        context, options = self.contexts[index], self.options[index]
        if max(options) == 1:
            return context
        return sum(context + each - 1 for each in options)

    def read_by_vllm(self, index: int) -> int:
        """Tokens of the prompt's requests; vLLM reads no cache for prompts' logits."""
        context, options = self.contexts[index], self.options[index]
        return sum(context + each for each in options)


def count_tokens(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]
) -> Lengths:
    """Lengths of prompts."""
    tokenized = tokenize_prompts(tokenizer, prompts)
    contexts, options = tokenized.contexts, tokenized.continuations
    texts = {each.shared for each in prompts}
    shared = {
        text: len(tokenizer(text, verbose=False)["input_ids"]) if text else 0
        for text in texts
    }
    return Lengths(
        list(shared.values()),
        [shared[each.shared] for each in prompts],
        [len(each) for each in contexts],
        [[len(tokens) for tokens in each] for each in options],
    )


@dataclass(frozen=True)
class Peer:
    """One backend of lm_eval.

    Attributes:
        name: in the table.
        harness: that is asked.
        reads: how many tokens it reads for one prompt.
    """

    name: str
    harness: LM
    reads: Callable[[Lengths, int], int]


def list_peers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int
) -> list[Peer]:
    """The peers that are installed, loaded.

    Args:
        model: on the device where all compute.
        tokenizer: its tokenizer.
        batch_size: requests at a time, for transformers.
    """
    hf = load_hf(model, tokenizer, batch_size)
    peers = [Peer("lm_eval", hf, Lengths.read_by_hf)]
    if find_spec("vllm"):
        peers.append(Peer("vllm", _load_vllm(model, tokenizer), Lengths.read_by_vllm))
    return peers


def load_hf(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int
) -> LM:
    """The model behind lm_eval's hf backend, with its softmax in float32."""
    return HFLM(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=batch_size,
        softmax_dtype=torch.float32,
    )


def _load_vllm(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LM:
    """The model in vLLM's own processes, on as many cores as polycal has."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")  # GiB
    from lm_eval.models.vllm_causallms import VLLM

    with tempfile.TemporaryDirectory() as name:
        model.save_pretrained(Path(name))
        tokenizer.save_pretrained(Path(name))
        return VLLM(
            pretrained=name,
            tokenizer=name,
            dtype=str(model.dtype).removeprefix("torch."),
            batch_size=_AT_ONCE,
            max_model_len=model.config.max_position_embeddings,
            gpu_memory_utilization=0.5,
        )

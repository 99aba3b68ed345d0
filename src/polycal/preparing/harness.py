"""Read the samples that lm-evaluation-harness logs of a multiple-choice task.

A samples file has a JSON line per question: the document, every request, the
log-likelihood of every option, the target, and the harness's own metrics.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polycal.errors import InputError
from polycal.study.cells import read_text
from polycal.study.prompts import LETTERS

# What json, float, dict and list raise on values that are not what is expected.
_UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
)
# Fields of a document that hold what its question is about, and the question.
_PASSAGES = ("flores_passage", "passage", "article", "context", "premise", "story")
_QUESTIONS = ("question", "question_stem", "query", "ctx", "sentence", "goal", "prompt")
_QUESTIONS += ("problem", "hypothesis", "statement", "text", "input")


@dataclass(frozen=True)
class Sample:
    """A question that the harness asked."""

    where: str  # file and line
    doc: Mapping[str, Any]  # the document, and `doc_id`
    context: str  # text before the continuations
    continuations: list[str]  # what was scored after it
    logprobs: list[float]  # of each continuation, summed, in nats
    target: str  # the right option, as it was logged
    metrics: Mapping[str, Any]  # the harness's own numbers of this question, by name

    @property
    def options(self) -> list[str]:
        """Return the continuations without the white space around them."""
        return [text.strip() for text in self.continuations]

    @property
    def question(self) -> str:
        """Return the document's own text, which no prompt or chat template shaped.

        It is the passage and the question, by the names of fields in public tasks of
        the harness; a document without such fields is returned whole, as JSON.

        Raises:
            InputError: it is no text.
        """
        texts = {
            str(name).lower(): value.strip()
            for name, value in self.doc.items()
            if isinstance(value, str) and value.strip()
        }
        asked = [texts[name] for name in _PASSAGES if name in texts]
        asked += [texts[name] for name in _QUESTIONS if name in texts][:1]
        text = "\n".join(asked) or json.dumps(self.doc, ensure_ascii=False)
        return read_text(text, f"{self.where}: its document") or ""

    @property
    def is_by_letter(self) -> bool:
        """Return whether the continuations are the letters A, B, ..."""
        return self.options == list(LETTERS[: len(self.continuations)])

    def name(self, field: str) -> str:
        """Return a field of the document that names something.

        Raises:
            InputError: the document has no such field, or it holds no name.
        """
        value = self.doc.get(field)
        if isinstance(value, bool | None | list | dict) or not str(value).strip():
            raise InputError(
                f"{self.where}: {field!r} of its document is {value!r}, which names "
                f"nothing; its fields are {', '.join(map(str, self.doc))}"
            )
        return read_text(str(value), f"{self.where}: {field!r} of its document") or ""


def read_samples(path: Path) -> list[Sample]:
    """Read a samples file.

    Raises:
        InputError: it has no line, or a line that is not a sample of a multiple-choice
            task; the message names the line.
    """
    samples = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            try:
                samples.append(_parse(json.loads(line), where))
            except _UNREADABLE as error:
                raise InputError(
                    f"{where} is no sample of a multiple-choice task that can be read "
                    f"({type(error).__name__}: {error}); lm_eval --log_samples writes "
                    "them"
                ) from error
    if not samples:
        raise InputError(f"{path} has no samples")
    return samples


def _parse(line: Mapping, where: str) -> Sample:
    arguments = line["arguments"]  # a list in versions before 0.4.4
    requests = arguments.values() if isinstance(arguments, dict) else arguments
    pairs = [
        (request["arg_0"], request["arg_1"]) if isinstance(request, dict) else request
        for request in requests
    ]
    contexts = [context for context, _ in pairs]
    continuations = [continuation for _, continuation in pairs]
    for text in (*contexts, *continuations):
        if not isinstance(text, str):
            raise ValueError(f"it asks for generated text ({str(text)[:40]})")
        text.encode()  # a lone surrogate is no text
    if len(set(contexts)) != 1:
        raise ValueError("its options have different contexts")
    if not 2 <= len(continuations) <= len(LETTERS):
        raise ValueError(
            f"it has {len(continuations)} options, not 2 to {len(LETTERS)}"
        )
    answers = line["filtered_resps"]
    if not isinstance(answers, list) or len(answers) != len(continuations):
        raise ValueError(
            f"it has {len(answers)} scores of {len(continuations)} options"
        )
    logprobs = [float(answer[0]) for answer in answers]
    if not all(-math.inf < logprob <= 0 for logprob in logprobs):
        raise ValueError(f"its scores are no log-likelihoods: {logprobs}")
    # The harness's filter takes the first answer to each request, and changes none.
    if "resps" in line and [float(one[0][0]) for one in line["resps"]] != logprobs:
        raise ValueError("its resps differ from its filtered_resps")
    metrics = {name: line[name] for name in _OWN_NUMBERS if name in line}
    doc = {"doc_id": line["doc_id"], **line["doc"]}
    target = str(line["target"]).strip()
    return Sample(where, doc, contexts[0], continuations, logprobs, target, metrics)


def find_golds(samples: Sequence[Sample]) -> list[int]:
    """Return the index of each sample's right option.

    A task logs all targets in one way: as index, text or letter. The way is the one in
    which every target names an option and the harness's own numbers follow from it.

    Raises:
        InputError: there is no such way (the message names the first sample that rules
            out the best one), or two ways give different answers.
    """
    golds: dict[str, list[int]] = {}
    objections: dict[str, tuple[int, str]] = {}
    for name, read in _READINGS.items():
        golds[name] = []
        for number, sample in enumerate(samples):
            index = read(sample.target, sample.options)
            if index is None:
                reason = f"its target {sample.target!r} names none of its options"
                reason += f" ({len(sample.options)})"
            else:
                reason = next(_contradictions(sample, index), "")
            if index is None or reason:
                objections[name] = number, f"{sample.where}: {reason}"
                break
            golds[name].append(index)
    ways = [name for name in golds if name not in objections]
    if not ways:
        # The longest way says most; a contradiction says more than an unread target.
        number, reason = max(
            objections.values(), key=lambda pair: (pair[0], "names none" not in pair[1])
        )
        raise InputError(f"{reason}; log the samples again with lm_eval 0.4")
    if any(golds[name] != golds[ways[0]] for name in ways):
        raise InputError(
            f"{samples[0].where}: its target {samples[0].target!r} and all others can "
            f"be read as {' or '.join(ways)}, and no `acc` is logged that tells which; "
            "log `acc`"
        )
    return golds[ways[0]]


def _read_index(target: str, options: Sequence[str]) -> int | None:
    is_index = target.isascii() and target.isdigit() and int(target) < len(options)
    return int(target) if is_index else None


def _read_text(target: str, options: list[str]) -> int | None:
    return options.index(target) if target in options else None


def _read_letter(target: str, options: Sequence[str]) -> int | None:
    letters = list(LETTERS[: len(options)])
    return letters.index(target) if target in letters else None


_READINGS = {"text": _read_text, "index": _read_index, "letter": _read_letter}


def _contradictions(sample: Sample, gold: int) -> Iterator[str]:
    """Yield each of the harness's own numbers that this right option contradicts."""
    texts = sample.continuations
    # The delimiter between context and option is not logged, and does not count.
    margin = min(len(text) - len(text.lstrip()) for text in texts)
    for name, sizes in _OWN_NUMBERS.items():
        if name not in sample.metrics:
            continue
        stated = sample.metrics[name]
        derived = [
            float(_find_best(sample.logprobs, sizes(texts, left_out)) == gold)
            for left_out in (0, margin)
        ]
        if stated not in derived:
            yield (
                f"its {name} is {stated!r}, but {gold} as the right option gives "
                f"{min(derived)}"
            )


def _find_best(logprobs: Sequence[float], sizes: Sequence[int]) -> int:
    """Return the harness's answer: the first of the highest scores."""
    shares = [
        value / size if size else -math.inf
        for value, size in zip(logprobs, sizes, strict=True)
    ]
    return shares.index(max(shares))


# The harness's metric -> (continuations, characters before the option's text) -> what
# it divides each option's score by.
_OWN_NUMBERS = {
    "acc": lambda texts, _: [1] * len(texts),
    "acc_norm": lambda texts, left_out: [len(text[left_out:]) for text in texts],
    "acc_bytes": lambda texts, left_out: [
        len(text[left_out:].encode()) for text in texts
    ],
}

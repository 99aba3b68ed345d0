"""Questions as long as those of MMLU and MMLU-Pro, subject by subject.

`subjects.csv` has, of every subject, the number of questions and the natural logarithms
of lengths in characters: mean and standard deviation of its questions and of the mean
of a question's options, and the standard deviation of the options within a question.
They were read from the benchmarks' own questions on GitHub: MMLU's 14,042 of
HaeChan0305/MLILAB-FedLLM (commit d92730e, data/mmlu/test), MMLU-Pro's 12,032 of
TIGER-AI-Lab/MMLU-Pro (commit f418b11, eval_results). The words are those of the
embedded study, in 48 languages.
"""

import csv
import itertools
import math
import random
from dataclasses import dataclass
from pathlib import Path

from polycal.miniature.corpus import draw_documents
from polycal.miniature.facts import load_world
from polycal.study.prompts import Prompt, build_prompt

BENCHMARKS = {4: "mmlu", 10: "mmlu_pro"}  # by the number of options
_LONGEST = 2.33  # standard deviations: the longest hundredth is cut


@dataclass(frozen=True)
class Subject:
    """A subject's number of questions, and logarithms of lengths in characters."""

    benchmark: str
    subject: str
    questions: int
    question: float
    question_sd: float
    options: float
    options_sd: float
    option_sd: float

    def length(self, n_options: int) -> float:
        """Characters of a question with its options, about: the mean, if log-normal."""
        option_variance = self.options_sd**2 + self.option_sd**2
        return math.exp(self.question + self.question_sd**2 / 2) + (
            n_options * math.exp(self.options + option_variance / 2)
        )


def load_subjects(benchmark: str) -> list[Subject]:
    """All subjects of a benchmark."""
    kinds = Subject.__annotations__
    with Path(__file__).with_name("subjects.csv").open() as lines:
        rows = [
            Subject(**{name: kinds[name](value) for name, value in row.items()})
            for row in csv.DictReader(lines)
        ]
    return [row for row in rows if row.benchmark == benchmark]


def pick_subjects(n_options: int, n: int) -> list[Subject]:
    """Subjects of the benchmark with so many options, from short to long.

    They are those of `n` questions that are evenly spread among all of the benchmark's
    in the order of their subjects' lengths.
    """
    found = sorted(
        load_subjects(BENCHMARKS[n_options]), key=lambda each: each.length(n_options)
    )
    ends = list(itertools.accumulate(each.questions for each in found))
    places = [(index + 0.5) / n * ends[-1] for index in range(n)]
    return [
        next(each for each, end in zip(found, ends, strict=True) if place < end)
        for place in places
    ]


def write_subjects(
    scoring: str, *, options: int, shots: int, n: int, subjects: int
) -> list[list[Prompt]]:
    """Prompts of each picked subject: `n` questions with shots of their own."""
    writer = Writer()
    return [
        writer.write(each, scoring, options=options, shots=shots, n=n)
        for each in pick_subjects(options, subjects)
    ]


class Writer:
    """Writes questions of a subject's lengths, by chance but always the same."""

    def __init__(self) -> None:
        """Take the embedded study's words."""
        documents = itertools.islice(draw_documents(load_world(seed=0), seed=0), 3000)
        self._text = " ".join(" ".join(each.text for each in documents).split())
        self._chance = random.Random(0)

    def write(
        self, subject: Subject, scoring: str, *, options: int, shots: int, n: int
    ) -> list[Prompt]:
        """So many questions with the same shots, which are as long as they are."""
        answered = [self._ask(subject, scoring, options) for _ in range(shots)]
        shared = "".join(f"{p.context}{p.continuations[0]}\n\n" for p in answered)
        asked = [self._ask(subject, scoring, options) for _ in range(n)]
        return [Prompt(shared + p.context, p.continuations, shared) for p in asked]

    def _ask(self, subject: Subject, scoring: str, n_options: int) -> Prompt:
        usual = self._draw(subject.options, subject.options_sd)
        options = [
            self._some(self._draw(usual, subject.option_sd)) for _ in range(n_options)
        ]
        question = self._some(self._draw(subject.question, subject.question_sd))
        return build_prompt(scoring, question, options, "Answer:")

    def _draw(self, mean: float, deviation: float) -> float:
        return min(self._chance.gauss(mean, deviation), mean + _LONGEST * deviation)

    def _some(self, log_length: float) -> str:
        length = max(1, round(math.exp(log_length)))
        begin = self._chance.randrange(len(self._text) - length)
        return self._text[begin : begin + length].strip() or "0"

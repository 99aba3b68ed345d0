"""Sizes of everything that a study names: models, SFT sets and benchmarks.

Files on this machine are counted; the tables in `data/` list what is on the Hub. An
unknown size is None, never a guess.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median_high
from types import MappingProxyType

from polycal.models.gpu_types import Gpu
from polycal.planning.data_sizes import (
    Questions,
    SftSet,
    count_prepared_questions,
    measure_local_questions,
    measure_local_sft,
    measure_prepared_questions,
    measure_prepared_sft,
)
from polycal.planning.model_sizes import Model, find_model, read_table
from polycal.storage import tables
from polycal.study import grid, layout

UNKNOWN_TOKENS = 500  # of a conversation of an SFT set of unknown size


class SizedStudy:
    """A study with the sizes of the models, SFT sets and benchmarks that it names.

    Every method raises an InputError if a file that holds a size is broken.

    Attributes:
        config: the complete study.
        gpu: the type of GPU of the jobs whose model asks for one.
        resources: folder of prepared models, SFT sets and tasks; it may be absent.
        models: short name -> size, or None if unknown.
        sft: short name of a data set -> size, or None if unknown.
    """

    def __init__(
        self,
        config: Mapping,
        gpu: Gpu,
        resources: Path,
        configurations: Mapping[str, Path] = MappingProxyType({}),
    ):
        """Find the sizes.

        Args:
            config: the complete study.
            gpu: type of GPU of the jobs whose model asks for one.
            resources: folder of what is prepared; it may be absent.
            configurations: directories with config.json, by the model's repository,
                where it is known without being prepared.
        """
        self.config, self.gpu, self.resources = config, gpu, resources
        self._configurations = configurations
        self.models: dict[str, Model | None] = {
            entry["name"]: self._find_model(
                entry["repo"], layout.MODEL, model=entry["name"]
            )
            for entry in config["models"]
        }
        self.sft: dict[str, SftSet | None] = {
            entry["name"]: self._find_sft(entry)
            for entry in grid.list_data_sets(config)
        }

    def change(self, sections: Mapping) -> "SizedStudy":
        """Return the study with other values of some sections of its config."""
        changed = {**self.config, **sections}
        return SizedStudy(changed, self.gpu, self.resources, self._configurations)

    def _find_model(self, repo: str, pattern: str, **names: str) -> Model | None:
        prepared = layout.below(self.resources, pattern, **names)
        return find_model(repo, self._configurations.get(repo, prepared))

    def size_of(self, run: grid.Run) -> Model | None:
        """Return the size of the checkpoint of a run, or None if unknown.

        A released checkpoint of unknown size, such as an adapter, has that of its base
        model.
        """
        names = {"model": run.model, "sft": run.sft}
        own = None
        if run in grid.expand_released(self.config):
            repo = grid.get_checkpoint(self.config, **names)["repo"]
            own = self._find_model(repo, layout.RELEASED, **names)
        return own or self.models[run.model]

    def gpu_of(self, model: str) -> Gpu | None:
        """Return the GPU that a model's jobs use, or None if they use the CPU."""
        return self.gpu if grid.entry(self.config["models"], model)["gpus"] else None

    def _find_sft(self, entry: Mapping) -> SftSet | None:
        """Return the size of an SFT set: prepared, on this machine, or of the Hub."""
        path = layout.below(self.resources, layout.SFT, sft=entry["name"])
        facts = tables.read_metadata(path) if path.is_file() else {}
        # A set that is prepared otherwise will be made again.
        same = (facts.get(key) == entry[key] for key in ("repo", "format", "filter"))
        if facts and all(same):
            left_out = facts.get("counts", {}).get("dropped_by_max_examples", 0)
            return measure_prepared_sft(path, left_out)
        if grid.is_local(entry["repo"]):
            return measure_local_sft(entry["repo"], entry["format"])
        row = read_table("sft_sizes.csv").get(entry["repo"])
        if row is None:
            return None
        size = row["download_mb"] * 1e6
        return SftSet(row["rows"], row["tokens"], size, prepared=False)

    def examples(self, sft: str) -> tuple[float | None, float]:
        """Return the conversations of an SFT set, None if unknown, and tokens of one.

        The study's cap is applied, and rows are cut at its `max_length`.
        """
        entry, size = grid.entry(self.config["sft"], sft), self.sft[sft]
        longest = self.config["recipe"]["max_length"]
        if size is None:
            return entry["max_examples"], min(UNKNOWN_TOKENS, longest)
        rows = min(size.rows, entry["max_examples"] or size.rows)
        return rows, size.cut(longest)

    def questions(
        self, task: Mapping, language: str, model: str | None = None
    ) -> Questions | None:
        """Return the size of a benchmark's language; None if unknown.

        A prepared file has the exact number of questions, a local benchmark that of
        its rows; at most `max_questions` of them are asked. Tokens are those of
        benchmark_sizes.csv where it has the benchmark, because they were measured and
        files give only bytes.

        Args:
            task: the benchmark's entry in the study.
            language: its code.
            model: whose tokens are counted; None: Llama-3's.
        """
        path = layout.below(
            self.resources, layout.QUESTIONS, task=task["name"], language=language
        )
        number = None
        if path.is_file():
            number = count_prepared_questions(path, task["repo"])
        row = read_table("benchmark_sizes.csv").get(task["repo"])
        most = task.get("max_questions") or sys.maxsize
        if row is None:
            read = None
            if number is not None:
                read = measure_prepared_questions(path)
            elif grid.is_local(task["repo"]):
                read = measure_local_questions(task, language)
            return read and replace(read, number=min(read.number, most))
        size = self.models[model] if model else None
        factor = find_fertility(language, size.tokenizer if size else "llama3")
        return Questions(
            min(row["questions"] if number is None else number, most),
            row["options"],
            row["letters_tokens"] * factor,
            row["text_tokens"] * factor,
            row["option_tokens"] * factor,
            row["download_mb"] * 1e6,
        )


def find_fertility(language: str, tokenizer: str) -> float:
    """Return the tokens of a text in a language per token of Llama-3 in English.

    Measured on the Universal Declaration of Human Rights; the median of all languages
    for one that is not in the table.
    """
    table = read_table("fertility.csv")
    factors = [row[tokenizer] for row in table.values()]
    return table[language][tokenizer] if language in table else median_high(factors)

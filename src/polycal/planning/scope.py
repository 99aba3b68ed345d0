"""A study together with the sizes of all that it names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from polycal.models.gpu_types import Gpu
from polycal.planning import costs
from polycal.planning.model_sizes import Model, find_model
from polycal.planning.sizes import (
    Questions,
    SftSet,
    find_examples,
    find_questions,
    find_sft,
)
from polycal.study import grid

UNKNOWN_TOKENS = 500  # of a conversation of an SFT set that nobody knows


@dataclass(frozen=True)
class Scope:
    """A study and the sizes of what it names; None where nobody knows."""

    config: Mapping
    gpu: Gpu
    resources: Path
    models: dict[str, Model | None]
    sft: dict[str, SftSet | None]

    def gpu_of(self, model: str) -> Gpu | None:
        """The GPU that a model's jobs use; None: they use the CPU."""
        return self.gpu if grid.entry(self.config["models"], model)["gpus"] else None

    def questions(
        self, task: Mapping, language: str, model: str | None = None
    ) -> Questions | None:
        """The size of a benchmark's language, in a model's tokens or in Llama-3's."""
        size = self.models[model] if model else None
        tokenizer = size.tokenizer if size else "llama3"
        return find_questions(task, language, tokenizer, self.resources)

    def unknown_languages(self, task: Mapping) -> list[str]:
        """The languages of a benchmark whose size nobody knows."""
        languages = task["languages"]
        return [each for each in languages if self.questions(task, each) is None]

    def examples(
        self, sft: str, model: str | None = None
    ) -> tuple[float | None, float]:
        """Conversations of an SFT set, and mean tokens of one.

        Exact for a model whose tokens of the set have been made as the study says.
        """
        entry, recipe = grid.entry(self.config["sft"], sft), self.config["recipe"]
        made = model and find_examples(model, entry, recipe, self.resources)
        if made:
            return made
        size = self.sft[sft]
        tokens = size.tokens if size else UNKNOWN_TOKENS
        return costs.count_examples(entry, size), tokens


def measure_scope(config: Mapping, *, gpu: Gpu, resources: Path) -> Scope:
    """Find the sizes of what a study names.

    Args:
        config: a complete study.
        gpu: what jobs run on whose model asks for a GPU.
        resources: folder of prepared models, SFT sets and tasks; it may be absent.

    Raises:
        InputError: a file that tells a size is broken.
    """
    models = {each["name"]: find_model(each, resources) for each in config["models"]}
    sft = {each["name"]: find_sft(each, resources) for each in config["sft"]}
    return Scope(config, gpu, resources, models, sft)

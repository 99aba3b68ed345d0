"""Make the study of `polycal try`: a model, or one beside the model it was tuned from.

What is wrong with it is found here, before weights are downloaded.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from polycal.errors import InputError
from polycal.models import ADAPTER
from polycal.preparing import hub
from polycal.preparing.released import read_adapter
from polycal.preparing.snapshot import VOCABULARIES, WITHOUT_WEIGHTS
from polycal.study.config import complete, complete_format, suggest_name
from polycal.study.grid import BASE, is_local
from polycal.study.reading import load_yaml
from polycal.study.scorings import PromptForm, Scoring

_TASKS = files("polycal") / "data" / "tasks.yaml"


class Released(NamedTuple):
    """A model's repository."""

    name: str  # short name for a study
    repo: str  # Hub id, or the absolute path of a directory
    revision: str | None  # the commit of a Hub repository
    folder: Path  # a directory with its configuration and tokenizer
    asked: str = ""  # the revision that was asked for, as @revision; "" for none

    @property
    def source(self) -> dict[str, str]:
        """Return the keys that name the repository in a study."""
        revision = {"revision": self.revision} if self.revision else {}
        return {"repo": self.repo, **revision}


def make_study(
    *,
    model: str,
    against: str | None,
    task: str,
    format: str,
    languages: Sequence[str],
    max_questions: int,
    prompt: PromptForm,
    scoring: Sequence[Scoring],
    gpus: int,
) -> tuple[dict, dict[str, Path]]:
    """Return a study, with the keys alone that differ from their defaults.

    Returned, too, is a directory with the configuration of each repository of a model.
    The arguments are those of `polycal try`, and the GPUs that a job takes.

    Raises:
        InputError: a model, the benchmark or one of its languages is not there, or a
            model lacks what the study needs.
    """
    name, benchmark = _find_task(task, format)
    codes = [code for text in languages for code in text.split(",") if code]
    asked = {"name": name, **benchmark, "prompt": prompt, "languages": codes}
    asked["max_questions"] = max_questions
    # Checked without the models, whose names are known only when they are found.
    entry = {"name": "model", "repo": "./model"}
    complete({"study": "a trial", "models": [entry], "sft": [], "tasks": [asked]})
    tuned = _find_model(model)
    base = _find_model(against) if against else tuned
    _check_model(base, tuned, prompt)
    test = complete_format(benchmark["format"])["splits"]["test"]
    for code in codes:
        hub.find_splits(
            benchmark["repo"],
            name=code,
            splits=[test],
            revision=benchmark.get("revision"),
        )
    # The title says which revisions were asked for: `polycal try` goes on with a study
    # of another commit, but not with one of another revision.
    title, sft = f"{tuned.name}{tuned.asked}", []
    if against:
        own_name = _name_apart(tuned.name, base.name)
        title = f"{own_name}{tuned.asked} against {base.name}{base.asked}"
        sft = [{"name": own_name, "checkpoints": {base.name: tuned.source}}]
    study = {
        "study": title,
        "models": [{"name": base.name, **base.source, "gpus": gpus}],
        "sft": sft,
        "tasks": [asked],
        "scoring": list(scoring),
    }
    return study, {found.repo: found.folder for found in (base, tuned)}


def _name_apart(name: str, base: str) -> str:
    """Return the tuned model's name, which a table shows beside its base model's."""
    name = "tuned" if name == BASE else name  # BASE means no tuning in a study
    return suggest_name(name, ending="-tuned") if name == base else name


def _find_task(task: str, format: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a task, and what a study says of its repository."""
    known = load_yaml(_TASKS.read_text(encoding="utf-8"))
    if task in known:
        return task, known[task]
    folder = Path(task)
    if not folder.is_dir():
        raise InputError(
            f"--task {task} is neither a benchmark that polycal knows "
            f"({', '.join(known)}) nor a directory; other benchmarks of the Hub need a "
            "study (docs/benchmarks.md)"
        )
    name = suggest_name(folder.resolve().name) or "benchmark"
    return name, {"repo": str(folder.absolute()), "format": format}


def _find_model(repo: str) -> Released:
    """Return a model's repository, with its small files on this machine."""
    folder, revision, asked = Path(repo), None, ""
    if folder.is_dir():
        name, repo = folder.resolve().name, str(folder.absolute())
    elif is_local(repo):
        raise InputError(f"there is no directory {repo}")
    else:
        repo, _, revision = repo.partition("@")
        asked = revision and f"@{revision}"
        name = repo.rpartition("/")[2]
        patterns = [*WITHOUT_WEIGHTS, ADAPTER]
        folder = hub.download(
            repo, revision=revision or "main", repo_type="model", patterns=patterns
        )
        revision = folder.name
    if not any((folder / file).exists() for file in ("config.json", ADAPTER)):
        raise InputError(f"{repo} has no config.json, so it is no transformers model")
    return Released(suggest_name(name) or "model", repo, revision, folder, asked)


def _check_model(base: Released, tuned: Released, prompt: PromptForm) -> None:
    """Refuse an adapter alone, and a chat prompt without a template."""
    if not (base.folder / "config.json").exists():
        settings = read_adapter(base.repo, base.folder)
        own_base = settings.get("base_model_name_or_path") or "the base model"
        raise InputError(
            f"{base.repo} is a LoRA adapter; name the model that it belongs to: "
            f"--model {base.repo} --against {own_base}"
        )
    if prompt == "chat":
        from polycal.models.tokens import load_tokenizer

        for model in dict.fromkeys((base, tuned)):
            # An adapter without a tokenizer has that of its base model.
            has_own = any((model.folder / name).exists() for name in VOCABULARIES)
            tokenizer = load_tokenizer((model if has_own else base).folder)
            try:
                tokenizer.get_chat_template()
            except ValueError:
                raise InputError(
                    f"{model.repo} has no chat template; ask both with --prompt plain, "
                    "or the tuned model alone, without --against"
                ) from None

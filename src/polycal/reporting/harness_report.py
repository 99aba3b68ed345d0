"""The report of what lm-evaluation-harness logged, from its output folder."""

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import yaml

from polycal.errors import InputError
from polycal.measuring.measure import measure
from polycal.measuring.measured import find_measured
from polycal.preparing.checks import check_task
from polycal.preparing.harness import Sample, find_golds, read_samples
from polycal.preparing.harness_folder import Logged, find_logged
from polycal.preparing.samples import Label, write_tables
from polycal.reporting.measured_page import compare_measured, write_page
from polycal.storage import tables
from polycal.storage.files import check_folder, replacing
from polycal.storage.provenance import mark_folder
from polycal.study import grid, layout
from polycal.study.config import load_study
from polycal.study.scorings import Policy
from polycal.verb import verb

# Fields of a document that may name its question in every language, and its groups.
_IDS = ("sample_id", "question_id", "id")
_SUBJECTS, _CATEGORIES = ("subject", "category"), ("subject_category", "category")
_CULTURE = "cultural_sensitivity_label"
_WIDTH = 12  # digits of the greatest number of a document
_NEVER = "./never-read"  # a repository that the report does not need
_FILE = "study.yaml"
_MARK = "# Written by `polycal report-samples`, which writes it again."
_logger = logging.getLogger(__name__)


@verb()
def report_samples(
    *,
    folder: Path,
    tokenizer: Path | None = None,
    languages: Mapping | None = None,
    policy: Policy = "intersection",
    out: Path,
) -> None:
    """Write the study and the report of an output folder of lm-evaluation-harness.

    Every model of the folder is a base model of the study. Tasks, languages and
    subjects are found by themselves.

    Args:
        folder: what `lm_eval --log_samples --output_path` named.
        tokenizer: directory of the model, or of a folder for each of several models,
            under its short name; needed where options are texts.
        languages: codes of languages that polycal does not know by the harness's name,
            as JSON: {NAME of a language or task: CODE}.
        policy: which questions are compared, if languages lack different ones.
        out: folder to write the study into: new, empty or of this verb.

    Raises:
        InputError: `out` holds other files, the folder holds no complete run, a sample
            contradicts the harness's own numbers, or languages and models do not fit
            together.
    """
    check_folder(out, verb="report_samples")
    logged = find_logged(folder, languages or {})
    models = sorted({own.model for own in logged})
    tokenizers = _find_tokenizers(tokenizer, models)
    mark_folder(out, "report_samples")
    results = out / layout.RESULTS
    cells: dict[tuple[str, str, str], list[Logged]] = {}
    for own in logged:
        cells.setdefault((own.task, own.model, own.language), []).append(own)
    tasks: dict[str, list[str]] = {}
    scorings: dict[str, str] = {}
    first_asked: dict[Path, tuple[str, pa.Table]] = {}
    for (task, model, language), parts in sorted(cells.items()):
        scoring = _import(task, model, language, parts, tokenizers[model], out)
        path = _questions(out, task, language)
        table = tables.read(path, "questions")
        other, asked = first_asked.setdefault(path, (model, table))
        if not table.equals(asked):
            raise InputError(
                f"{task}, {language}: {other} and {model} were not asked the same "
                f"questions: {_describe_difference(asked, table)}; run lm_eval again "
                "for one of them, with the same data and --limit"
            )
        if scorings.setdefault(task, scoring) != scoring:
            raise InputError(f"{task}: some languages are scored by letters, some not")
        if language not in tasks.setdefault(task, []):
            tasks[task].append(language)
    if len(set(scorings.values())) > 1:
        raise InputError(
            f"{folder} has tasks of letters and of texts ({scorings}); put the results "
            "of each into a folder of its own"
        )
    config = _write_study(folder, models, tasks, scorings, policy, logged, out)
    study = load_study(config)
    statistics = study["statistics"]
    for task, codes in tasks.items():
        check = layout.below(results, layout.CHECK, task=task)
        asked = [_questions(out, task, code) for code in codes]
        check_task(questions=asked, policy=policy, out=check)
        for model in models:
            run = vars(grid.Run(model, grid.BASE, "0", 0))
            own = [
                _predictions(out, model, task, code)
                for code in codes
                if (task, model, code) in cells
            ]
            measured = functools.partial(
                layout.below, results, layout.MEASURED, task=task, **run
            )
            if own:
                measure(
                    predictions=own,
                    check=check,
                    metrics=measured(kind="metrics"),
                    reliability=measured(kind="reliability"),
                    replicates=measured(kind="replicates"),
                    n_replicates=statistics["replicates"],
                    seed=statistics["seed"],
                    confidence=statistics["confidence"],
                )
    complete = find_measured(study, results)
    page = layout.below(results, layout.PARTIAL_REPORT)
    compare_measured(study, results, complete, page)
    write_page(study, results, complete, page)


def _find_tokenizers(
    folder: Path | None, models: Sequence[str]
) -> dict[str, Path | None]:
    """Return the directory of each model's tokenizer.

    Raises:
        InputError: there are several models, and a folder lacks that of one.
    """
    if folder is None or len(models) == 1:
        return dict.fromkeys(models, folder)
    for model in models:
        if not (folder / model).is_dir():
            raise InputError(
                f"there is no {folder / model}; of several models, --tokenizer names a "
                f"folder that holds the directory of each: {', '.join(models)}"
            )
    return {model: folder / model for model in models}


def _describe_difference(first: pa.Table, second: pa.Table) -> str:
    """Return how many questions of two tables differ, and one of them."""
    by_name = [
        {row["question_id"]: row for row in table.to_pylist()}
        for table in (first, second)
    ]
    names = sorted(by_name[0].keys() | by_name[1].keys())
    differing = [name for name in names if by_name[0].get(name) != by_name[1].get(name)]
    return f"{len(differing)} of {len(names)} differ, such as {differing[0]}"


def _questions(out: Path, task: str, language: str) -> Path:
    resources = out / layout.RESOURCES
    return layout.below(resources, layout.QUESTIONS, task=task, language=language)


def _predictions(out: Path, model: str, task: str, language: str) -> Path:
    run = vars(grid.Run(model, grid.BASE, "0", 0))
    names = {"task": task, "languages": language}
    return layout.below(out / layout.RESULTS, layout.PREDICTIONS, **run, **names)


def _import(
    task: str,
    model: str,
    language: str,
    parts: Sequence[Logged],
    tokenizer: Path | None,
    out: Path,
) -> str:
    """Write the tables of one model and language; return the scoring."""
    lines: list[Sample] = []
    golds: list[int] = []
    names: list[str] = []  # of the part that a sample is of
    for part in parts:
        own = read_samples(part.path)
        if part.n_samples not in (None, len(own)):
            raise InputError(
                f"{part.path} has {len(own)} samples, but its results state "
                f"{part.n_samples}; it is not complete"
            )
        # Several processes log their own samples one after the other.
        own.sort(key=lambda line: str(line.doc["doc_id"]).zfill(_WIDTH))
        lines += own
        golds += find_golds(own)
        names += [part.part] * len(own)
    cell = {"task": task, "language": language}
    questions, facts = _questions(out, task, language), parts[0].facts
    return write_tables(
        parts[0].path.parent,
        lines,
        golds,
        _label(lines, names, f"{task}, {language}"),
        identity={"model": model, "sft": grid.BASE, "smoothing": 0.0, "seed": 0},
        cell=cell,
        tokenizer=tokenizer,
        questions=questions,
        out=_predictions(out, model, task, language),
        shots=facts["shots"],
        harness={key: value for key, value in facts.items() if key != "shots"},
    )


def _label(lines: Sequence[Sample], parts: Sequence[str], title: str) -> list[Label]:
    """Return the names and groups of samples, by the fields of their documents."""

    def find(fields: Sequence[str]) -> str | None:
        return next(
            (name for name in fields if all(name in line.doc for line in lines)), None
        )

    field = find(_IDS)
    names = [line.name(field) for line in lines] if field else []
    if len(set(names)) < len(lines):
        _logger.warning(
            "%s: no field names a question; languages are compared by the order of "
            "their questions",
            title,
        )
        names = [
            f"{part}/{line.doc['doc_id']}"
            for line, part in zip(lines, parts, strict=True)
        ]
    subject, category = find(_SUBJECTS), find(_CATEGORIES)
    labels = []
    for name, line, part in zip(names, lines, parts, strict=True):
        culture = line.doc.get(_CULTURE)
        own_subject = line.name(subject) if subject else part
        labels.append(
            Label(
                name,
                own_subject,
                line.name(category) if category else own_subject,
                culture if culture in ("CS", "CA") else None,
            )
        )
    return labels


def _write_study(
    folder: Path,
    models: Sequence[str],
    tasks: Mapping[str, Sequence[str]],
    scorings: Mapping[str, str],
    policy: Policy,
    logged: Sequence[Logged],
    out: Path,
) -> Path:
    shots = {own.task: own.facts["shots"] or 0 for own in logged}
    study = {
        "study": f"lm-evaluation-harness, {folder.name}",
        "models": [{"name": name, "repo": _NEVER} for name in models],
        "sft": [],
        "smoothing": [0],
        "tasks": [
            {
                "name": task,
                "repo": _NEVER,
                "format": "global_mmlu",  # it is not read either
                "languages": list(codes),
                "questions": policy,
                "shots": shots[task],
            }
            for task, codes in tasks.items()
        ],
        "scoring": sorted(set(scorings.values())),
    }
    path = out / _FILE
    with replacing(path) as temporary:
        text = yaml.safe_dump(study, sort_keys=False, allow_unicode=True)
        temporary.write_text(f"{_MARK}\n{text}", encoding="utf-8")
    return path

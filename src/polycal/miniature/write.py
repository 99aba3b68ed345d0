"""Write the data sets and the shipped model in exactly the layout of the Hub."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from polycal.miniature.facts import World, written_languages
from polycal.miniature.questions import Question
from polycal.storage.files import replacing_folder
from polycal.storage.provenance import write_provenance
from polycal.study.prompts import LETTERS

# Categories of the benchmarks for the kinds of facts.
_SUBJECT_CATEGORIES = {"currency": "Business", "language": "Humanities"}
_CATEGORIES = {"currency": "economics", "language": "other"}
_ORIGIN = (
    "Made by polycal from Unicode CLDR (package Babel), a function of one seed. "
    "Names are CLDR's, with the English name where it has none; question sentences "
    "were written by hand."
)


def copy_base(out: Path) -> None:
    """Write the base model that polycal ships (`make base` trains it)."""
    base = files("polycal.miniature") / "base"
    with replacing_folder(out) as folder:
        for file in base.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())


def write_global_mmlu(questions: Sequence[Question], world: World, out: Path) -> None:
    """Write `<language>/{test,dev}-00000-of-00001.parquet` and the card."""
    codes = [code for code, row in written_languages().items() if row.in_global_mmlu]
    rows = {
        code: [(each.split, _global_mmlu_row(each, world, code)) for each in questions]
        for code in codes
    }
    _write_benchmark(rows, {"test": "test", "dev": "dev"}, out)


def _global_mmlu_row(question: Question, world: World, language: str) -> dict:
    kind = question.fact.kind
    options: list[str | None] = [
        world.name_answer(kind, code, language) for code in question.options
    ]
    return {
        "sample_id": f"{kind}/{question.split}/{question.number}",
        "subject": kind,
        "subject_category": _SUBJECT_CATEGORIES[_topic(kind)],
        "question": world.ask(question.fact, language),
        **{f"option_{name}": text for name, text in zip("abcd", options, strict=True)},
        "answer": LETTERS[question.gold],
        "required_knowledge": "[]",
        "time_sensitive": "[]",
        "reference": "[]",
        "culture": "[]",
        "region": "[]",
        "country": "[]",
        "cultural_sensitivity_label": "-",
        "is_annotated": False,
    }


def write_mmlu_prox(questions: Sequence[Question], world: World, out: Path) -> None:
    """Write `<language>/{test,validation}-00000-of-00001.parquet` and the card."""
    codes = [code for code, row in written_languages().items() if row.in_mmlu_prox]
    ordered = sorted(questions, key=lambda each: each.split)  # dev has the first ids
    rows = {
        code: [
            (each.split, _mmlu_prox_row(number, each, world, code))
            for number, each in enumerate(ordered)
        ]
        for code in codes
    }
    _write_benchmark(rows, {"test": "test", "dev": "validation"}, out)


def _mmlu_prox_row(
    number: int, question: Question, world: World, language: str
) -> dict:
    kind = question.fact.kind
    options: list[str | None] = [
        world.name_answer(kind, code, language) for code in question.options
    ]
    options += [None] * (len(LETTERS) - len(options))
    return {
        "question_id": number,
        "question": world.ask(question.fact, language),
        **{f"option_{index}": option for index, option in enumerate(options)},
        "answer": LETTERS[question.gold],
        "answer_index": question.gold,
        "cot_content": "",
        "category": _CATEGORIES[_topic(kind)],
        "src": f"cldr-{kind}",
        "question_id_src": number,
    }


def _topic(kind: str) -> str:
    return "currency" if "currency" in kind else "language"


def write_sft(rows: Sequence[dict[str, str]], out: Path) -> None:
    """Write `data/train-00000-of-00001.parquet` in Alpaca's columns, and the card."""
    with replacing_folder(out) as folder:
        _write_split(rows, folder / "data", "train")
        (folder / "README.md").write_text(
            "---\nconfigs:\n- config_name: default\n  data_files:\n"
            "  - split: train\n    path: data/train-*\n---\n\n"
            f"{_ORIGIN}\n\nEnglish only. Half of the facts, drawn by chance, so about "
            "half of the benchmarks' questions are about a fact that is in this set.\n"
        )
        write_provenance(folder)


def _write_benchmark(
    rows: Mapping[str, Sequence[tuple[str, dict]]], splits: Mapping[str, str], out: Path
) -> None:
    """Write each language's rows, which come with their split, and the card."""
    with replacing_folder(out) as folder:
        for code, own in rows.items():
            for split, name in splits.items():
                _write_split([row for s, row in own if s == split], folder / code, name)
        _write_card(folder, rows, list(splits.values()))
        write_provenance(folder)


def _write_split(rows: Sequence[dict], folder: Path, split: str) -> None:
    """Write rows that have the Hub's columns in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def _write_card(folder: Path, configs: Iterable[str], splits: Sequence[str]) -> None:
    """Write the `configs:` block by which `datasets` finds the files of a language."""
    lines = ["---", "configs:"]
    for config in configs:
        # Quoted, or YAML reads `no` and the like as something else.
        lines += [f"- config_name: '{config}'", "  data_files:"]
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", "", _ORIGIN, ""]))

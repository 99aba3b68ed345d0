"""Benchmarks as the Hub holds them: small, with every column of the real ones."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SPLITS = {
    "global_mmlu": ("test", "dev"),
    "mmlu_prox": ("test", "validation"),
}
_TYPES = {
    "is_annotated": pa.bool_(),
    "question_id": pa.int64(),
    "answer_index": pa.int64(),
    "question_id_src": pa.int64(),
}


def global_mmlu_row(number: int = 0, **changes) -> dict:
    """A row with all columns of CohereLabs/Global-MMLU and its Lite version."""
    return {
        "sample_id": f"anatomy/test/{number}",
        "subject": "anatomy",
        "subject_category": "STEM",
        "question": f"Question {number}?",
        "option_a": "one",
        "option_b": "two",
        "option_c": "three",
        "option_d": "four",
        "answer": "B",
        "required_knowledge": "['none', 'none']",
        "time_sensitive": "['No', 'No']",
        "reference": "[]",
        "culture": "[]",
        "region": "[]",
        "country": "[]",
        "cultural_sensitivity_label": "-",
        "is_annotated": False,
    } | changes


def mmlu_prox_row(number: int = 70, *, options=("one", "two", "three"), **changes):
    """A row with all columns of li-lab/MMLU-ProX; missing options are nulls."""
    texts = [*options, *[None] * (10 - len(options))]
    return {
        "question_id": number,
        "question": f"Question {number}?",
        **{f"option_{index}": text for index, text in enumerate(texts)},
        "answer": "B",
        "answer_index": 1,
        "cot_content": "",
        "category": "computer science",
        "src": "ori_mmlu",
        "question_id_src": 5,
    } | changes


def belebele_row(passage: int, number: int, **changes) -> dict:
    """A row with all columns of facebook/belebele."""
    return {
        "link": f"https://en.wikinews.org/wiki/Passage_{passage}",
        "question_number": number,
        "flores_passage": f"Passage {passage}. ",
        "question": f"Question {number} of {passage}?",
        "mc_answer1": "one",
        "mc_answer2": "two",
        "mc_answer3": "three",
        "mc_answer4": "four",
        "correct_answer_num": "3",
        "dialect": "swh_Latn",
        "ds": "2023-05-03",
    } | changes


def include_row(number: int, *, lite: bool = False, **changes) -> dict:
    """A row with all columns of CohereLabs/include-base-44, or of include-lite-44."""
    options = ["one", "two", "three", "four"]
    names = [f"option_{letter}" for letter in "abcd"]
    shown = dict(zip(names, options, strict=True))
    return {
        "language": "German",
        "country": "Germany",
        "domain": "STEM",
        "subject": "Biology",
        "regional_feature": "agnostic",
        "level": "Academic",
        "question": f"Frage {number}?",
        **({"choices": options} if lite else shown),
        "answer": 2,
    } | changes


ROWS = {"global_mmlu": global_mmlu_row, "mmlu_prox": mmlu_prox_row}


def make_repository(folder: Path, format: str, test: list[dict], dev=None) -> Path:
    """Global-MMLU or MMLU-ProX in the Hub's exact layout, for the language `sw`."""
    dev = [ROWS[format]()] if dev is None else dev
    splits = dict(zip(SPLITS[format], (test, dev), strict=True))
    return write_repository(folder, {"sw": splits})


def write_repository(
    folder: Path,
    configs: Mapping[str, Mapping[str, Sequence[dict]]],
    *,
    lines: bool = False,
) -> Path:
    """A directory in the Hub's layout: a card, and Parquet or JSON lines.

    Args:
        folder: to write.
        configs: config -> split -> rows.
        lines: Belebele's layout: `data/<config>.jsonl`, one split.
    """
    card = ["---", "configs:"]
    for config, splits in configs.items():
        card += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            place = f"{config}/{split}-00000-of-00001.parquet"
            pattern = f"{config}/{split}-*"
            if lines:
                place = pattern = f"data/{config}.jsonl"
            card += [f"  - split: {split}", f"    path: {pattern}"]
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            if rows:
                write_file(path, rows)
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))
    return folder


def write_file(path: Path, rows: Sequence[dict]) -> Path:
    """Write rows as Parquet, a JSON array, JSON lines or CSV, by the path's suffix."""
    if path.suffix == ".parquet":
        pq.write_table(_make_table(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _make_table(rows: Sequence[dict]) -> pa.Table:
    kinds = {str: pa.string(), int: pa.int64(), list: pa.list_(pa.string())}
    fields = [
        (name, _TYPES.get(name) or kinds.get(type(value), pa.string()))
        for name, value in rows[0].items()
    ]
    return pa.Table.from_pylist(rows, pa.schema(fields))

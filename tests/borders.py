"""Random faults of what enters polycal from outside, and what becomes of each."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from repositories import global_mmlu_row, mmlu_prox_row, write_file

from polycal.errors import InputError
from polycal.preparing.samples import import_samples
from polycal.preparing.sft import prepare_sft
from polycal.preparing.tasks import read_task
from polycal.storage import tables

OUTCOMES = ("table", "dropped", "refused")
_TEXTS = [
    "",
    " ",
    "None",
    "A",
    "B ",
    "é",
    "\ud800",
    "\u200b",
    "[1, 2",
    "0",
    "a\nb",
    "\0",
]
_NUMBERS = [0, 1, -1, 4, 10**30, 1.5, -0.0, 1e308, float("nan"), float("inf")]
_KEYS = ["role", "content", "from", "value", "text", "arg_0", "arg_1", "question"]
_KINDS = [pa.int64(), pa.float64(), pa.bool_(), pa.string(), pa.date32(), pa.binary()]


def random_value(chance: random.Random, depth: int = 2) -> object:
    """Any value that JSON can hold, NaN and halves of characters included."""
    kind = chance.randrange(7 if depth else 5)
    if kind < 2:
        return chance.choice(_TEXTS)
    if kind < 4:
        return chance.choice([*_NUMBERS, True, False])
    if kind == 4:
        return None
    members = [random_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 5:
        return members
    return {chance.choice(_KEYS): member for member in members}


def spoil_value(chance: random.Random, value: object) -> object:
    """Return a value with a random part replaced, removed or added."""
    inner = isinstance(value, dict | list) and len(value) > 0
    if not inner or chance.random() < 0.2:
        return random_value(chance)
    copy = dict(value) if isinstance(value, dict) else list(value)
    key = chance.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
    if chance.random() < 0.1:
        del copy[key]
    else:
        copy[key] = spoil_value(chance, copy[key])
    return copy


def spoil_file(chance: random.Random, path: Path) -> None:
    """Cut a file off, or change some of its bytes."""
    data = bytearray(path.read_bytes())
    if chance.random() < 0.3:
        data = data[: chance.randrange(len(data))]
    for _ in range(chance.randrange(1, 4) if data else 0):
        place = chance.randrange(len(data))
        if chance.random() < 0.7:
            data[place] ^= 1 << chance.randrange(8)
        else:
            data[place:place] = chance.randbytes(chance.randrange(1, 5))
    path.write_bytes(data)


def spoil_rows(chance: random.Random, rows: list[dict]) -> list[object]:
    """Return rows of which one in eight, or all, have a fault."""
    often = chance.random() < 0.2
    return [
        spoil_value(chance, row) if often or chance.random() < 0.125 else row
        for row in rows
    ]


def _read_questions(folder: Path, format: str) -> str:
    table, facts = read_task(
        repo=str(folder), revision=None, format=format, task="t", language="sw"
    )
    assert len(table) > 0
    counts = facts["counts"]["test"]
    dropped = sum(n for name, n in counts.items() if name.startswith("dropped"))
    assert len(table) + dropped == counts["rows"]
    return "dropped" if dropped else "table"


def benchmark_rows(chance: random.Random, folder: Path) -> str:
    """Rows of Global-MMLU and MMLU-ProX in JSON, with random values in them."""
    format = chance.choice(["global_mmlu", "mmlu_prox"])
    make = global_mmlu_row if format == "global_mmlu" else mmlu_prox_row
    rows = spoil_rows(chance, [make(number) for number in range(40)])
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "sw.jsonl").write_text(lines)
    return _read_questions(folder, format)


def benchmark_types(chance: random.Random, folder: Path) -> str:
    """Columns of Parquet of another type than they should be."""
    columns = {key: [] for key in global_mmlu_row()}
    for number in range(20):
        for key, value in global_mmlu_row(number).items():
            columns[key].append(value)
    table = pa.table(columns)
    for name in chance.sample(table.column_names, chance.randrange(1, 4)):
        kind = chance.choice(_KINDS)
        values = [None if chance.random() < 0.3 else k for k in range(20)]
        if chance.random() < 0.3:
            column = pa.array([[k] for k in range(20)], pa.list_(pa.int64()))
        elif kind in (pa.string(), pa.binary()):
            column = pa.array([k if k is None else str(k) for k in values]).cast(kind)
        elif kind == pa.bool_():
            column = pa.array([k if k is None else k % 2 == 0 for k in values])
        else:
            column = pa.array(values, pa.int32()).cast(kind)
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, folder / "sw.parquet")
    return _read_questions(folder, "global_mmlu")


def benchmark_files(chance: random.Random, folder: Path) -> str:
    """Files of every kind, cut off or with other bytes."""
    kind = chance.choice(["parquet", "jsonl", "json", "csv"])
    path = folder / f"sw.{kind}"
    write_file(path, [global_mmlu_row(number) for number in range(10)])
    spoil_file(chance, path)
    return _read_questions(folder, "global_mmlu")


def benchmark_headers(chance: random.Random, folder: Path) -> str:
    """A README.md whose header is damaged."""
    (folder / "sw").mkdir()
    rows = [global_mmlu_row(number) for number in range(3)]
    write_file(folder / "sw" / "test-00000-of-00001.parquet", rows)
    header = "---\nconfigs:\n- config_name: sw\n  data_files:\n  - split: test\n"
    header += "    path: sw/test-*\ndataset_info:\n- config_name: sw\n  splits:\n"
    header += "  - name: test\n    num_examples: 3\n---\n"
    (folder / "README.md").write_text(header)
    spoil_file(chance, folder / "README.md")
    return _read_questions(folder, "global_mmlu")


def _read_conversations(path: Path, format: str) -> str:
    out = path.with_name("out.parquet")
    prepare_sft(repo=str(path), format=format, sft="s", out=out)
    counts = tables.read_metadata(out)["counts"]
    kept = len(tables.read(out, "conversations"))
    dropped = sum(n for name, n in counts.items() if name.startswith("dropped"))
    assert kept > 0
    assert kept + dropped == counts["rows"]
    return "dropped" if dropped else "table"


def sft_rows(chance: random.Random, folder: Path) -> str:
    """Conversations of every format in JSON, with random values in them."""
    format = chance.choice(["messages", "sharegpt", "alpaca"])
    turns = [("user", "human", "q"), ("assistant", "gpt", "a")]
    row = {
        "messages": {
            "messages": [{"role": role, "content": text} for role, _, text in turns]
        },
        "sharegpt": {
            "conversations": [{"from": role, "value": text} for _, role, text in turns]
        },
        "alpaca": {"instruction": "q", "input": "", "output": "a"},
    }[format]
    rows = spoil_rows(chance, [row] * 120 if chance.random() < 0.5 else [row] * 10)
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return _read_conversations(path, format)


def sft_files(chance: random.Random, folder: Path) -> str:
    """SFT sets of every kind of file, cut off or with other bytes."""
    kind = chance.choice(["parquet", "jsonl", "json", "csv"])
    path = folder / f"set.{kind}"
    rows = [{"instruction": f"q{k}", "input": "", "output": f"a{k}"} for k in range(10)]
    write_file(path, rows)
    spoil_file(chance, path)
    return _read_conversations(path, "alpaca")


def harness_samples(chance: random.Random, folder: Path) -> str:
    """Samples of lm_eval with random values in them, or with other bytes."""
    lines = [
        {
            "doc_id": number,
            "doc": {"id": f"q{number}", "subject": "s"},
            "target": "B",
            "arguments": {
                f"gen_args_{k}": {"arg_0": "Question?\nAnswer:", "arg_1": f" {letter}"}
                for k, letter in enumerate("ABCD")
            },
            "filtered_resps": [[str(-1.0 - k), "False"] for k in range(4)],
            "acc": 0.0,
        }
        for number in range(6)
    ]
    path = folder / "samples.jsonl"
    if chance.random() < 0.5:
        lines[0] = spoil_value(chance, lines[0])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if chance.random() < 0.5:
        spoil_file(chance, path)
    out = folder / "out.parquet"
    import_samples(
        samples=path,
        model="m",
        sft="none",
        smoothing=0.0,
        seed=0,
        task="t",
        language="en",
        question_id="id",
        subject="subject",
        questions=folder / "questions.parquet",
        out=out,
    )
    # A changed byte may lose a line at the end, never a part of a row.
    rows = tables.read(out, "predictions").to_pylist()
    assert rows
    assert all(0 <= row["gold"] < len(row["logprobs"]) for row in rows)
    return "table"


BORDERS: dict[str, Callable[[random.Random, Path], str]] = {
    own.__name__: own
    for own in (
        benchmark_rows,
        benchmark_types,
        benchmark_files,
        benchmark_headers,
        sft_rows,
        sft_files,
        harness_samples,
    )
}


def cross(border: str, seed: int, folder: Path) -> str:
    """Return the outcome of one round: a table, a counted drop, or one line.

    Anything else is raised: a traceback, or a message of several lines.
    """
    try:
        return BORDERS[border](random.Random(f"{border} {seed}"), folder)
    except InputError as error:
        if len(str(error).splitlines()) == 1:
            return "refused"
        raise AssertionError(f"{border}, {seed}: {error!r} is not one line") from error

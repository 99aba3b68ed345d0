"""Random faults of what enters polycal from outside, and what becomes of each."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
from model_borders import (
    adapters,
    chat_templates,
    configurations,
    tokenizers,
    weight_headers,
    weight_indices,
)
from random_faults import NUMBERS, spoil_file, spoil_json, spoil_rows, spoil_value
from repositories import global_mmlu_row, mmlu_prox_row, write_file
from study import small_study

from polycal.errors import InputError
from polycal.measuring.measure import measure
from polycal.preparing.samples import import_samples
from polycal.preparing.sft import prepare_sft
from polycal.preparing.tasks import read_task
from polycal.reporting import harness_report
from polycal.storage import tables
from polycal.storage.provenance import digest_facts
from polycal.study.config import complete

OUTCOMES = ("table", "dropped", "refused")
_KINDS = [pa.int64(), pa.float64(), pa.bool_(), pa.string(), pa.date32(), pa.binary()]


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
    kind = chance.choice(["parquet", "jsonl", "json", "csv", "arrow"])
    rows = [global_mmlu_row(number) for number in range(10)]
    if kind == "arrow":
        path = _save_to_disk(folder / "sw", rows)
        if chance.random() < 0.3:
            spoil_json(chance, folder / "sw" / "state.json")
    else:
        path = write_file(folder / f"sw.{kind}", rows)
    spoil_file(chance, path)
    return _read_questions(folder, "global_mmlu")


def _save_to_disk(folder: Path, rows: list[dict]) -> Path:
    """Write what the `datasets` library writes, in a tenth of its time."""
    folder.mkdir()
    path = folder / "data-00000-of-00001.arrow"
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as s:
        s.write_table(table)
    state = {"_data_files": [{"filename": path.name}], "_split": "test"}
    (folder / "state.json").write_text(json.dumps(state))
    return path


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


def _read_conversations(path: Path, format: str, **options: object) -> str:
    out = path.with_name("out.parquet")
    prepare_sft(repo=str(path), format=format, sft="s", out=out, **options)
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


def roles(chance: random.Random, folder: Path) -> str:
    """A study's map of roles with random values, over a set with as many roles."""
    names = ["chatgpt", "tool", "human", "gpt", "", "\ud800", "x" * 300]
    chosen = {
        chance.choice(names): chance.choice(["assistant", "drop", "user"])
        for _ in range(chance.randrange(1, 4))
    }
    if chance.random() < 0.3:
        chosen = spoil_value(chance, chosen)
    sft = {"name": "s", "repo": str(folder / "set.jsonl"), "format": "sharegpt"}
    study = complete(small_study(sft=[sft | {"roles": chosen}]))
    turns = [
        {"from": chance.choice(["human", *names]), "value": "q"},
        {"from": chance.choice(["gpt", *names]), "value": "a"},
    ]
    plain = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    odd = {chance.randrange(120) for _ in range(chance.randrange(3))}
    rows = [{"conversations": turns if k in odd else plain} for k in range(120)]
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return _read_conversations(path, "sharegpt", roles=study["sft"][0]["roles"])


def harness_samples(chance: random.Random, folder: Path) -> str:
    """Samples of lm_eval with random values in them, or with other bytes."""
    lines = _make_samples(6)
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


def harness_folders(chance: random.Random, folder: Path) -> str:
    """An output folder of lm_eval in which a file is damaged, renamed or gone."""
    own = folder / "out" / "owner__model"
    own.mkdir(parents=True)
    date = "2026-01-02T03-04-05.678901"
    names = [f"global_mmlu_full_{code}_anatomy" for code in ("en", "sw")]
    results = {
        "model_name": "owner/model",
        "configs": {
            name: {"output_type": "multiple_choice", "dataset_path": "o/d"}
            for name in names
        },
        "n-shot": dict.fromkeys(names, 0),
        "n-samples": {name: {"original": 6, "effective": 6} for name in names},
        "versions": dict.fromkeys(names, 0.0),
        "config": {"model": "hf", "model_args": {}, "limit": None},
        "chat_template_sha": None,
    }
    (own / f"results_{date}.json").write_text(json.dumps(results))
    for name in names:
        lines = "".join(json.dumps(line) + "\n" for line in _make_samples(6))
        (own / f"samples_{name}_{date}.jsonl").write_text(lines)
    path = chance.choice(sorted(own.iterdir()))
    fault = chance.random()
    if fault < 0.7 and path.suffix == ".json":
        spoil_json(chance, path)
    elif fault < 0.9:
        spoil_file(chance, path)
    elif fault < 0.95:
        path.unlink()
    else:
        path.rename(path.with_name(chance.choice(["x.json", "samples_x.jsonl"])))
    # What follows reads polycal's own tables, and takes seconds.
    nothing = dict.fromkeys(("measure", "compare_measured", "write_page"), mock.DEFAULT)
    with mock.patch.multiple(harness_report, **nothing):
        harness_report.report_samples(folder=folder / "out", out=folder / "study")
    for path in (folder / "study/results/predictions").rglob("*.parquet"):
        assert len(tables.read(path, "predictions"))
    return "table"


def _make_samples(n: int) -> list[dict]:
    return [
        {
            "doc_id": number,
            "doc": {"id": f"q{number}", "subject": "s", "question": f"{number}?"},
            "target": "B",
            "arguments": {
                f"gen_args_{k}": {"arg_0": "Question?\nAnswer:", "arg_1": f" {letter}"}
                for k, letter in enumerate("ABCD")
            },
            "filtered_resps": [[str(-1.0 - k), "False"] for k in range(4)],
            "acc": 0.0,
        }
        for number in range(n)
    ]


def predictions(chance: random.Random, folder: Path) -> str:
    """Predictions of somebody else's: other values, types, columns or bytes."""
    run = {"model": "m", "sft": "s", "smoothing": 0.1, "seed": 0, "task": "t"}
    asked = {"subject": "a", "category": "b", "culture": None, "gold": 1}
    rows = [
        run
        | {"language": code, "scoring": scoring, "question_id": f"q{number}"}
        | asked
        | {"logprobs": [-1.0, -2.0], "n_tokens": [1, 2], "n_bytes": [2, 3]}
        | {"log_mass": -0.5, "truncated": False}
        for code in ("en", "sw")
        for scoring in ("letters", "text")
        for number in range(3)
    ]
    path = folder / "predictions.parquet"
    key = chance.choice(sorted(rows[0]))
    lists = [[], [-1.0], [0, -1], [None, -1.0], [2.0, 3.0], [-1e38] * 2]
    lists += [[float("nan")] * 2, [float("-inf"), -1.0], None]
    kinds = {str: [None, "", "text", "\u202e"], list: lists, int: NUMBERS[:4]}
    values = kinds.get(type(rows[0][key]), [*NUMBERS, None])
    value = chance.choice(values if chance.random() < 0.8 else [*lists, "", *NUMBERS])
    schema, facts = tables.SCHEMAS["predictions"], {"questions": {"en": "e", "sw": "s"}}
    if chance.random() < 0.1:
        facts = {"questions": spoil_value(chance, facts["questions"])}
    table = pa.Table.from_pylist(rows, schema)
    place = table.column_names.index(key)
    column = table[key].to_pylist()
    column[chance.randrange(len(rows))] = value
    try:
        field = schema.field(key)
        table = table.set_column(place, field, pa.array(column, field.type))
    except (pa.ArrowException, OverflowError):  # of another type, in every row
        value = float(value) if isinstance(value, int) else value
        table = table.set_column(place, key, pa.array([value] * len(rows)))
    is_typed = table.schema.field(key).type == schema.field(key).type
    if chance.random() < 0.2:
        table = table.drop_columns(chance.choice(table.column_names))
    names = set(table.column_names)
    if chance.random() < 0.9 and names == set(schema.names) and is_typed:
        tables.write(table, path, "predictions", **facts)
    else:
        pq.write_table(table, path)
    if chance.random() < 0.2:
        spoil_file(chance, path)
    check = {
        **{"kind": "check", "task": "t", "policy": "intersection", "digest": "d"},
        **{"n_all": 3, "n_common": 3, "test": {"missing": [], "differing": []}},
        "languages": {code: {"questions": code[0]} for code in ("en", "sw")},
    }
    (folder / "check.json").write_text(
        json.dumps(check | {"content": digest_facts(check)})
    )
    measure(
        predictions=[path],
        check=folder / "check.json",
        **{kind: folder / kind for kind in ("metrics", "reliability", "replicates")},
        **{"n_replicates": 2, "seed": 0, "confidence": 0.95},
        normalisers=["token"],
    )
    values = tables.read(folder / "metrics", "metrics")["value"].drop_null()
    assert all(map(math.isfinite, values.to_pylist()))
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
        roles,
        harness_samples,
        harness_folders,
        tokenizers,
        chat_templates,
        configurations,
        weight_indices,
        weight_headers,
        adapters,
        predictions,
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

"""The record of every kind of Parquet table, from `data/tables.yaml`."""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import NamedTuple

import pyarrow as pa
import yaml  # envs/gpu.yaml has it by transformers

_TABLES = files("polycal") / "data" / "tables.yaml"


class Column(NamedTuple):
    """A column of a table: its name, its type in words, and what a value means."""

    name: str
    type: str
    meaning: str


class TableKind(NamedTuple):
    """A kind of table: what a row is, and its columns in their order."""

    row: str
    columns: list[Column]


def _list_columns(entries: list, shared: Mapping[str, list]) -> Iterator[Column]:
    for entry in entries:
        if isinstance(entry, str):
            yield from _list_columns(shared[entry], shared)
        else:
            yield Column(*entry)


def _read_type(words: str) -> pa.DataType:
    """Return an Arrow type, such as `int8`, `list of float` or `role (string)`."""
    if words.startswith("list of "):
        return pa.list_(_read_type(words.removeprefix("list of ")))
    if members := re.findall(r"(\w+) \((\w+)\)", words):
        return pa.struct([(name, pa.type_for_alias(kind)) for name, kind in members])
    return pa.type_for_alias(words)


_facts = yaml.load(
    _TABLES.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
)
ANALYSES = tuple(_facts["analyses"])  # the kinds that `polycal analyse` writes
KINDS = {
    name: TableKind(kind["row"], [*_list_columns(kind["columns"], _facts["shared"])])
    for name, kind in (_facts["kinds"] | _facts["analyses"]).items()
}
SCHEMAS = {
    name: pa.schema([(each.name, _read_type(each.type)) for each in kind.columns])
    for name, kind in KINDS.items()
}

"""Which test questions of a table are asked: all, or a part of them."""

import hashlib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from polycal.storage import tables
from polycal.study.sampling import order_questions


def ask_all(test: pa.Table) -> list[str]:
    """Return the ids of all test questions."""
    return test["question_id"].to_pylist()


def ask_some(
    most: int, seed: int, reference: Path | None = None
) -> Callable[[pa.Table], list[str]]:
    """Return a function that chooses at most so many of a table's test questions.

    Args:
        most: number of questions.
        seed: of `polycal.study.sampling.order_questions`.
        reference: questions table among whose questions they are chosen for every
            table, so that languages are asked the same; None: among each table's own.

    Raises:
        InputError: the reference is not a questions table.
    """

    def choose(test: pa.Table) -> set[str]:
        names, subjects = (
            test[name].to_pylist() for name in ("question_id", "subject")
        )
        order = order_questions(dict(zip(names, subjects, strict=True)), seed)
        return set(order[:most])

    shared = None
    if reference:
        table = tables.read(reference, "questions")
        shared = choose(tables.where(table, split="test"))

    def ask(test: pa.Table) -> list[str]:
        chosen = choose(test) if shared is None else shared
        return [name for name in ask_all(test) if name in chosen]

    return ask


def select(rows: pa.Table, names: Collection[str]) -> pa.Table:
    """Return the rows of some questions, in the order of the table."""
    return rows.filter(pc.is_in(rows["question_id"], pa.array(names, pa.string())))


def name_entry(names: Iterable[str]) -> str:
    """Return the name of the store's entry for some questions of a table."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]

"""The languages of both benchmarks, as values in a table."""

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True)
class Language:
    """One language of Global-MMLU or MMLU-ProX.

    Attributes:
        code: as the benchmarks spell it.
        name: in English.
        script: in which the benchmarks write it, in English.
        joshi_class: 0 (least resources) to 5, by Joshi et al. 2020.
        level: high (classes 4 and 5), mid (3) or low (0 to 2).
        in_global_mmlu: whether Global-MMLU has it.
        in_mmlu_prox: whether MMLU-ProX has it.
        translation: who translated Global-MMLU: professional, community, machine;
            original (English); unknown where Global-MMLU lacks the language.
        joshi_source: where `joshi_class` is from.
        translation_source: where `translation` is from.
    """

    code: str
    name: str
    script: str
    joshi_class: int
    level: str
    in_global_mmlu: bool
    in_mmlu_prox: bool
    translation: str
    joshi_source: str
    translation_source: str


@functools.cache
def load_languages() -> Mapping[str, Language]:
    """All languages by code, in alphabetical order; read once, not to be changed."""
    table = files("polycal") / "data" / "languages.csv"
    with table.open(encoding="utf-8", newline="") as handle:
        rows = [_parse(row) for row in csv.DictReader(handle)]
    return MappingProxyType({row.code: row for row in rows})


def _parse(row: dict[str, str]) -> Language:
    return Language(
        **row
        | {
            "joshi_class": int(row["joshi_class"]),
            "in_global_mmlu": row["in_global_mmlu"] == "yes",
            "in_mmlu_prox": row["in_mmlu_prox"] == "yes",
        }
    )

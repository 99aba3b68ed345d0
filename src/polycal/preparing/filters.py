"""Which rows of a data set are read: those with, or without, certain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from polycal.errors import InputError

_SHOWN = 8  # values of the column that a message names


@dataclass
class Filter:
    """A filter on one column, and what it has seen.

    Attributes:
        column: the column.
        values: the values that are looked for.
        keep: whether rows with one of them are kept, or dropped.
    """

    column: str
    values: tuple[object, ...]
    keep: bool
    _hits: set[object] = field(default_factory=set)
    _others: dict[object, None] = field(default_factory=dict)  # the first few, in order

    @classmethod
    def from_settings(cls, settings: Mapping) -> "Filter":
        """The filter that a study describes: `column`, and `keep` or `drop`.

        Raises:
            InputError: it has other keys, or no values.
        """
        keys, way = set(settings), "keep" if "keep" in settings else "drop"
        values = settings.get(way)
        if keys != {"column", way} or not isinstance(values, list) or not values:
            raise InputError(
                f"filter {dict(settings)} is not understood; it needs `column`, and a "
                "list of values as either `keep` or `drop`"
            )
        return cls(settings["column"], tuple(map(_key, values)), way == "keep")

    def admits(self, row: Mapping) -> bool:
        """Whether the row is read.

        Raises:
            InputError: the column does not hold single values.
        """
        value = row[self.column]
        if isinstance(value, list | dict):
            raise InputError(
                f"filter: column {self.column!r} holds a {type(value).__name__}; name "
                "a column of single values"
            )
        key = _key(value)
        if key in self.values:
            self._hits.add(key)
            return self.keep
        if len(self._others) < _SHOWN:
            self._others[key] = None
        return not self.keep

    def check(self) -> None:
        """Refuse, after all rows, a value that none of them has: it is misspelt.

        Raises:
            InputError: it names the value, and some that there are.
        """
        missing = [each for each in self.values if each not in self._hits]
        if missing:
            way = "keep" if self.keep else "drop"
            there = [*self._hits, *self._others][:_SHOWN]
            raise InputError(
                f"filter: {way} names {', '.join(map(_show, missing))}, but no row has "
                f"it in {self.column!r}, where there is "
                f"{', '.join(sorted(map(_show, there)))}, ..."
            )


def _key(value: object) -> object:
    """The value as it is compared: in Python, but not in JSON, 1 is True."""
    return (value,) if isinstance(value, bool) else value


def _show(key: object) -> str:
    return repr(key[0] if isinstance(key, tuple) else key)

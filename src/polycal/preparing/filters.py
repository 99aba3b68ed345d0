"""Filter the rows of a data set by the values of one column."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from polycal.errors import InputError

_SHOWN = 8  # values of the column that a message names


@dataclass
class Filter:
    """A filter on one column, which notes the values that it meets."""

    column: str
    values: tuple[object, ...]  # as `_to_key` returns them
    keep: bool  # rows with one of the values are kept; else they are dropped
    _hits: set[object] = field(default_factory=set)
    _others: dict[object, None] = field(default_factory=dict)  # the first few, in order

    @classmethod
    def from_settings(cls, settings: Mapping) -> "Filter":
        """Return the filter that a study describes: `column`, and `keep` or `drop`.

        Raises:
            InputError: it has other keys, or no values.
        """
        action = "keep" if "keep" in settings else "drop"
        keys, values = set(settings), settings.get(action)
        if keys != {"column", action} or not isinstance(values, list) or not values:
            raise InputError(
                f"filter {dict(settings)} is not understood; it needs `column`, and a "
                "list of values as either `keep` or `drop`"
            )
        return cls(settings["column"], tuple(map(_to_key, values)), action == "keep")

    def admits(self, row: Mapping) -> bool:
        """Return whether the row is kept.

        Raises:
            InputError: the column does not hold single values.
        """
        value = row[self.column]
        if isinstance(value, list | dict):
            raise InputError(
                f"filter: column {self.column!r} holds a {type(value).__name__}; name "
                "a column of single values"
            )
        key = _to_key(value)
        if key in self.values:
            self._hits.add(key)
            return self.keep
        if len(self._others) < _SHOWN:
            self._others[key] = None
        return not self.keep

    def check(self) -> None:
        """Refuse, after all rows, a value that no row has: it is misspelt.

        Raises:
            InputError: a value was not met; the message lists some that were.
        """
        missing = [key for key in self.values if key not in self._hits]
        if missing:
            action = "keep" if self.keep else "drop"
            present = [*self._hits, *self._others][:_SHOWN]
            raise InputError(
                f"filter: {action} names {', '.join(map(_show, missing))}, but no row "
                f"has it in {self.column!r}, where there is "
                f"{', '.join(sorted(map(_show, present)))}, ..."
            )


def _to_key(value: object) -> object:
    """Return what is compared for a value: in Python, but not in JSON, 1 is True."""
    return (value,) if isinstance(value, bool) else value


def _show(key: object) -> str:
    return repr(key[0] if isinstance(key, tuple) else key)

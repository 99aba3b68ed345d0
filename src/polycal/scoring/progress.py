"""Progress of a scoring job in its log, and a table of its time."""

import csv
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from polycal.storage.files import replacing

_EVERY = 60.0  # seconds between two log lines
_logger = logging.getLogger(__name__)
_Item = TypeVar("_Item")


class Progress:
    """Log how many questions are scored and the time left, once a minute.

    A question counts once per scoring.
    """

    def __init__(self, total: int, *, every: float = _EVERY) -> None:
        self._total, self._done, self._every = total, 0, every
        self._begin = self._last_line = time.monotonic()

    def follow(
        self, options: Iterable[_Item], *, n_options: int, n_questions: int
    ) -> Iterator[_Item]:
        """Yield the scored options of a part, and log progress meanwhile."""
        for count, option in enumerate(options, start=1):
            yield option
            if time.monotonic() - self._last_line >= self._every:
                self._log(self._done + n_questions * count / n_options)
        self._done += n_questions

    def skip(self, n_questions: int) -> None:
        """Subtract questions that another job has scored."""
        self._total -= n_questions

    def _log(self, done: float) -> None:
        self._last_line = time.monotonic()
        left = (self._last_line - self._begin) * (self._total - done) / max(done, 1)
        _logger.info(
            "%d of %d questions, %.1f minutes left", done, self._total, left / 60
        )


@dataclass
class Work:
    """Questions that a job scored, and its seconds without waiting or the store."""

    questions: int = 0  # counted once per scoring
    scoring: float = 0.0  # seconds
    loading: float = 0.0  # seconds of imports and of reading the model

    def add(self, questions: int, seconds: float, part: object) -> None:
        """Count and log the questions that were scored of a part."""
        self.questions += questions
        self.scoring += seconds
        _logger.info(
            "%s: %d questions in %.1f s, %.1f questions/s",
            *(part, questions, seconds, questions / seconds),
        )

    def write(self, path: Path) -> None:
        """Write a table with one row; `s` is the sum of the seconds.

        A job that scored nothing leaves the table of an earlier job as it is.
        """
        if not self.questions and path.exists():
            return
        row = {"s": self.scoring + self.loading, **asdict(self)}
        with replacing(path) as temporary, temporary.open("w", newline="") as lines:
            table = csv.writer(lines, delimiter="\t", lineterminator="\n")
            table.writerow(row)
            table.writerow(round(value, 3) for value in row.values())

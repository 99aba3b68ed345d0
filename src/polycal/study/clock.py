"""Undo what a clock that was set back does to a study: files dated in the future.

Snakemake compares times. A product of yesterday that is dated tomorrow would count as
newer than all that is made or changed today, so what depends on a change would not run.
"""

import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

# Clocks of a cluster's machines differ by seconds.
_SKEW = 600
_logger = logging.getLogger(__name__)


def rewind_future(logs: Path, folders: Iterable[Path]) -> int:
    """Give files that are dated in the future the present time, in their order.

    Nothing is looked at but the logs, as long as none of them is dated in the future.
    Files of somebody else's are left as they are.

    Returns:
        The number of files that were dated back.
    """
    now = time.time_ns()
    if not _list_future([logs], now):
        return 0
    dated = sorted(_list_future([logs, *folders], now))
    left = []
    for number, (_, path) in enumerate(dated):
        # A microsecond is what Snakemake tells apart.
        moment = now + 1000 * number
        try:
            os.utime(path, ns=(moment, moment))
        except OSError as error:
            left.append(f"{path}: {error.strerror}")
    n_dated = len(dated) - len(left)
    _logger.warning("the clock was set back; files of the future: %d", n_dated)
    if left:
        _logger.warning("%d of them cannot be dated back, as %s", len(left), left[0])
    return n_dated


def _list_future(folders: Iterable[Path], now: int) -> list[tuple[int, Path]]:
    """Return the time in ns and the path of each file that is dated in the future."""
    limit = now + _SKEW * 10**9
    paths = (path for folder in folders for path in folder.rglob("*"))
    own = (path for path in paths if path.is_file() and not path.is_symlink())
    times = ((path.stat().st_mtime_ns, path) for path in own)
    return [(moment, path) for moment, path in times if moment > limit]

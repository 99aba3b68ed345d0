"""Which files of a folder are a split: by their names and kinds."""

import glob
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from polycal.errors import InputError

# Kinds of file that `rows.py` reads; of a split in several forms, the first is taken.
_FORMS = ((".parquet",), (".json", ".jsonl"), (".csv",))
KINDS = tuple(itertools.chain.from_iterable(_FORMS))
# Such as train-00000-of-00002.parquet, or with a digest before the suffix.
_SHARD = re.compile(
    r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<total>\d{5})(?:-[0-9a-f]+)?\.\w+"
)


def spell_files(name: str, split: str, splits: Sequence[str]) -> list[str]:
    """Return patterns of a language's files where README.md does not list them."""
    name, split_name = glob.escape(name), glob.escape(split)
    stems = [f"{name}/{split_name}", f"{split_name}/{name}", f"{name}/{split_name}-*"]
    if split == splits[0]:
        stems.insert(0, name)
    return [f"{stem}{kind}" for stem in stems for kind in KINDS]


def check_kind(path: Path) -> None:
    """Refuse a file of a kind that cannot be read."""
    if path.suffix not in KINDS:
        raise InputError(f"{path}: only {', '.join(KINDS)} can be read")


def choose_form(paths: Sequence[Path]) -> list[Path]:
    """Return the files of one form: a split that lies there in two is read once."""
    for kinds in _FORMS:
        if chosen := [path for path in paths if path.suffix in kinds]:
            return chosen
    return []


def check_layout(
    repo: str, split: str, paths: Sequence[Path], *, is_named: bool
) -> None:
    """Refuse a split of which two files hold the same rows, by their names.

    Args:
        repo: name of the repository in messages.
        split: the split.
        paths: its files, of one form.
        is_named: whether `spell_files` gave their names; then only SPLIT-* are parts.
    """
    stems = {path.with_suffix("") for path in paths}
    alone = [stem for stem in stems if not stem.name.startswith(f"{split}-")]
    if len(paths) > len(stems) or (is_named and alone and len(stems) > 1):
        raise InputError(
            f"{repo}: the split {split!r} is there twice: "
            f"{' and '.join(map(str, paths))}; remove all but one"
        )


def check_shards(repo: str, split: str, paths: Iterable[Path]) -> None:
    """Refuse a split of which a file is missing, or is there twice, by their names."""
    shards: dict[tuple[Path, str], Counter[tuple[int, int]]] = {}
    for path in paths:
        if shard := _SHARD.fullmatch(path.name):
            number, total = int(shard["number"]), int(shard["total"])
            own = shards.setdefault((path.parent, shard["stem"]), Counter())
            own[number, total] += 1
    for (folder, stem), numbers in shards.items():
        totals = {total for _, total in numbers}
        present = {number for number, _ in numbers}
        if len(totals) > 1 or max(numbers.values()) > 1:
            raise InputError(
                f"{repo}: the split {split!r} is there twice: {folder.name}/{stem} has "
                f"{sum(numbers.values())} files of {' and '.join(map(str, totals))}; "
                "remove one set"
            )
        if missing := sorted(set(range(*totals)) - present):
            shown = ", ".join(f"{stem}-{n:05}-of-{max(totals):05}" for n in missing[:3])
            raise InputError(
                f"{repo}: the split {split!r} lacks {len(missing)} of its "
                f"{max(totals)} files ({shown}); complete the download"
            )


def infer(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each split by their names, as the `datasets` library does."""
    from datasets.data_files import DataFilesDict, get_data_patterns

    try:
        inferred = DataFilesDict.from_patterns(
            get_data_patterns(str(folder)),
            base_path=str(folder),
            allowed_extensions=list(KINDS),
        )
    except FileNotFoundError:
        return {}
    return {split: [Path(path) for path in paths] for split, paths in inferred.items()}

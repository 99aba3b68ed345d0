"""Find the files of a folder that `save_to_disk` of the `datasets` library wrote."""

import json
from collections.abc import Sequence
from pathlib import Path

from polycal.errors import InputError

_SET, _SETS = "state.json", "dataset_dict.json"  # of a Dataset, and a DatasetDict


def find_saved(
    repo: str,
    folder: Path,
    name: str | None,
    splits: Sequence[str],
    optional: Sequence[str] = (),
) -> dict[str, list[Path]] | None:
    """Return the Arrow files of each split; None for a folder of another form.

    A language is a folder below, whether it was saved by itself or as a member of a
    DatasetDict of languages. A Dataset without splits is the first one.

    The arguments are those of `polycal.study.repositories.pick_files`.

    Raises:
        InputError: the folder lacks the language, a split or a file.
    """
    root = folder if name is None else folder / name
    if (root / _SET).exists():
        return {splits[0]: _list_files(root)}
    if (root / _SETS).exists():
        present = [each for each in (*splits, *optional) if (root / each).is_dir()]
        if missing := [split for split in splits if split not in present]:
            raise InputError(
                f"{root} has no split {missing[0]!r}; it has: {_list_sets(root)}"
            )
        return {split: _list_files(root / split) for split in present}
    if (folder / _SET).exists() or (folder / _SETS).exists():
        raise InputError(
            f"{repo} was written by `save_to_disk` and does not offer {name!r}; it "
            f"offers: {_list_sets(folder) or 'one set'}; save each language in a "
            f"folder of its own: .save_to_disk('{repo}/{name}')"
        )
    return None


def _list_sets(folder: Path) -> str:
    return ", ".join(sorted(path.parent.name for path in folder.glob(f"*/{_SET}")))


def _list_files(folder: Path) -> list[Path]:
    """Return the files of one Dataset, in order."""
    path = folder / _SET
    try:
        state = json.loads(path.read_text("utf-8"))
        names = [str(file["filename"]) for file in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not what `save_to_disk` writes ({error!r}); save the set again"
        ) from error
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise InputError(
                f"{path} names {name!r}, which is not a file beside it; save the set "
                "again"
            )
    return [folder / name for name in names]

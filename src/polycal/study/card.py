"""Read the header of a data set's README.md: its configs, their files and sizes."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from yaml import YAMLError

from polycal.errors import InputError
from polycal.study.reading import load_yaml

_HEADER = re.compile(r"\s*---[\r\n]+(.*?)[\r\n]+---(?:[\r\n]|$)", re.DOTALL)

# Split -> patterns of its files.
Patterns = dict[str, list[str]]


class Card:
    """The header of a repository's README.md; empty where there is none.

    huggingface_hub's `DatasetCard` reads the same, but importing it takes longer than
    preparing a language of a local benchmark.

    Attributes:
        configs: the names of the configs.
    """

    def __init__(self, repo: str, folder: Path) -> None:
        """Read the header.

        Raises:
            InputError: the header is not YAML of the expected form.
        """
        self._repo = repo
        path = folder / "README.md"
        try:
            header = path.exists() and _HEADER.match(path.read_text(encoding="utf-8"))
            facts = (load_yaml(header[1]) or {}) if header else {}
            self._configs: dict[str, Mapping] = {
                str(config["config_name"]): config
                for config in facts.get("configs") or ()
            }
            infos = facts.get("dataset_info") or ()
            infos = [infos] if isinstance(infos, Mapping) else infos
            self._sizes = {
                str(info.get("config_name", "default")): {
                    str(split["name"]): split.get("num_examples")
                    for split in info.get("splits") or ()
                }
                for info in infos
            }
        except (YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
            line = str(error).splitlines()[0]
            raise InputError(f"{repo}: cannot read README.md's header ({line})") from (
                error
            )
        self.configs = list(self._configs)

    def find_default(self) -> str | None:
        """Return the config that is meant when none is named; None: there is none."""
        chosen = [name for name in self.configs if self._configs[name].get("default")]
        if not chosen and "default" in self.configs:
            return "default"
        if not chosen and len(self.configs) == 1:
            return self.configs[0]
        return chosen[0] if chosen else None

    def get_patterns(self, name: str) -> Patterns | None:
        """Return the patterns of a config's files; None if it does not list any.

        Raises:
            InputError: it names a folder, or files outside of the repository.
        """
        config = self._configs[name]
        files = config.get("data_files")
        if "data_dir" in config:
            raise InputError(
                f"{self._repo}: the config {name!r} has a `data_dir`, which is not "
                "read; name its files with `data_files` in README.md"
            )
        if files is None:
            return None
        try:
            if isinstance(files, str) or all(isinstance(file, str) for file in files):
                files = [{"split": "train", "path": files}]
            patterns = {str(file["split"]): file["path"] for file in files}
        except (KeyError, TypeError):
            raise InputError(
                f"{self._repo}: the config {name!r} in README.md has `data_files` "
                "without `split` and `path`; add them"
            ) from None
        lists = {
            split: [paths] if isinstance(paths, str) else paths
            for split, paths in patterns.items()
        }
        for paths in lists.values():
            if not isinstance(paths, list):
                self._check_inside(paths)
            for pattern in paths:
                self._check_inside(pattern)
        return lists

    def _check_inside(self, pattern: object) -> None:
        """Refuse a pattern that leads out of the repository."""
        parts = PurePosixPath(str(pattern)).parts
        is_text = isinstance(pattern, str)
        if not is_text or not parts or ".." in parts or parts[0] == "/":
            raise InputError(
                f"{self._repo}: README.md names the files {pattern!r}, which are not "
                "inside the repository; name others"
            )

    def get_size(self, name: str | None, split: str) -> int | None:
        """Return the rows of a split by `dataset_info`; None if it does not say."""
        size = self._sizes.get(name or "default", {}).get(split)
        return size if isinstance(size, int) and not isinstance(size, bool) else None

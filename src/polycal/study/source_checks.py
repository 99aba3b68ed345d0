"""Check what a config says of repositories: of models, SFT sets, checkpoints, tasks."""

from collections.abc import Iterable, Iterator, Mapping

from polycal.errors import InputError
from polycal.study import grid


def find_unpinned(config: Mapping) -> Iterator[str]:
    """Yield a line per repository whose path or revision is not definite."""
    for key, entry in grid.list_repositories(config):
        try:
            grid.is_local(entry["repo"])
        except InputError as error:
            yield f"{key}.repo: {error}"
            return
        if entry["repo"].startswith("~"):
            yield (
                f"{key}.repo: Snakemake does not expand '~' in a path; write the path "
                "in full"
            )
        if not grid.is_local(entry["repo"]) and not entry.get("revision"):
            yield (
                f"{key}: {entry['repo']} is on the Hub and can change at any time; pin "
                "it with `revision:` (a commit, or a branch, which is resolved to "
                "one), or begin a local path with ./"
            )


def find_misplaced(config: Mapping) -> Iterator[str]:
    """Yield a line per released checkpoint of no model or stage, or with other keys."""
    models = [model["name"] for model in config["models"]]
    for sft in filter(grid.is_released, config["sft"]):
        for model in sft["checkpoints"]:
            if model not in models:
                yield (
                    f"sft.{sft['name']}.checkpoints: the study has no model {model!r}; "
                    f"take one of {', '.join(models)}"
                )
        filled = {key for key, value in sft.items() if value is not None}
        for key in sorted(filled - {"name", "checkpoints", "from"}):
            yield (
                f"sft.{sft['name']}: `{key}` is for a data set, but the entry has "
                "`checkpoints`, which are not trained; make two entries of it"
            )
    yield from _find_repeated(config)
    yield from _find_lost_stages(config["sft"])


def _find_repeated(config: Mapping) -> Iterator[str]:
    """Yield a line per released checkpoint that would be compared with itself."""

    def address(entry: Mapping) -> tuple[str, str | None]:
        return entry["repo"], entry.get("revision")

    known = {
        (model["name"], address(model)): f"models.{model['name']}"
        for model in config["models"]
    }
    for sft in filter(grid.is_released, config["sft"]):
        for model, checkpoint in sft["checkpoints"].items():
            key = f"sft.{sft['name']}.checkpoints.{model}"
            other = known.setdefault((model, address(checkpoint)), key)
            if other != key:
                yield (
                    f"{key} is {checkpoint['repo']}, as {other} is; name another "
                    "checkpoint"
                )


def _find_lost_stages(entries: Iterable[Mapping]) -> Iterator[str]:
    """Yield a line per stage of a post-training without the stage before it."""
    above: dict[str, Mapping] = {}
    for sft in entries:
        key, earlier = f"sft.{sft['name']}.from", sft.get("from")
        if earlier and not grid.is_released(sft):
            yield f"{key}: only an entry with `checkpoints` has it; leave it out"
        elif earlier and earlier not in above:
            yield (
                f"{key}: no entry above it has `checkpoints` and the name {earlier!r}; "
                f"take one of {', '.join(above) or 'those that you add'}, or leave it "
                "out"
            )
        elif earlier and (lacking := sft["checkpoints"].keys() - above[earlier].keys()):
            yield (
                f"{key}: {earlier} has no checkpoint of {', '.join(sorted(lacking))}; "
                "add it, or make two entries"
            )
        if grid.is_released(sft):
            above[sft["name"]] = sft["checkpoints"]

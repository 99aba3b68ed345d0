"""Pages that are written from the code: the commands, and the config's keys."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

from polycal.cli import parsers_of_verbs  # noqa: E402


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, lines in {"cli.md": write_commands(), "config.md": write_keys()}.items():
        files.append(File.generated(config, name, content="\n".join(lines)))
    return files


def write_commands() -> Iterator[str]:
    """Every verb with its flags."""
    yield "# Commands\n\nEvery step of the workflow is a command, too.\n"
    for name, verb in parsers_of_verbs().items():
        yield f"## {name}\n\n{verb.description}\n"
        flags = [a for a in verb._actions if a.dest != "help"]
        if flags:
            yield "| flag | | |\n|---|---|---|"
        for flag in flags:
            words = ", ".join(flag.option_strings) or flag.dest
            yield f"| `{words}` | {_needed(flag)} | {_cell(flag.help)} |"
        yield ""


def _needed(flag: argparse.Action) -> str:
    return "needed" if flag.required else ""


def write_keys() -> Iterator[str]:
    """Every key of a study's file, from its schema."""
    schema = yaml.safe_load((SRC / "polycal/data/config.schema.yaml").read_text())
    yield "# Config\n\nA study is one YAML file with these keys and no others.\n"
    yield "| key | default | |\n|---|---|---|"
    yield from _rows(schema, "", schema)


def _rows(node: Mapping, place: str, schema: Mapping) -> Iterator[str]:
    node = _resolve(node, schema)
    for name, inner in node.get("properties", {}).items():
        inner = _resolve(inner, schema)
        default = inner.get("default")
        shown = "" if default in (None, {}, []) else f"`{default}`"
        yield f"| `{place}{name}` | {shown} | {_cell(inner.get('description'))} |"
        yield from _rows(inner, f"{place}{name}.", schema)
        if "items" in inner:
            yield from _rows(inner["items"], f"{place}{name}[].", schema)


def _resolve(node: Mapping, schema: Mapping) -> Mapping:
    if "$ref" in node:
        return {**schema["$defs"][node["$ref"].rsplit("/", 1)[1]], **node}
    return node


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", r"\|")

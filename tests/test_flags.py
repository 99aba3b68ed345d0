"""Flags come from a function's signature and docstring."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from polycal.flags import add_flags, collect, read_args


@dataclass(frozen=True)
class Settings:
    rate: float = field(metadata={"help": "a rate"})
    deep: bool = field(default=False, metadata={"help": "whether"})


def run(
    words: Sequence[str],
    *,
    out: Path,
    count: int | None = None,
    kinds: Sequence[Literal["a", "b"]] = ("b", "a"),
    more: Sequence[str] = (),
    filter: Mapping | None = None,
    one: Literal["a", "b"] | None = None,
    every: float | bool | None = None,
    settings: Settings,
) -> None:
    """Do it.

    Args:
        words: what follows.
        out: the file to write; 100 % of it,
            in two lines.
        count: how many.
        kinds: some of them.
        more: or none.
        filter: rows to take.
        one: of two.
        every: so many seconds, if any are said.
        settings: every other one.

    Raises:
        ValueError: never.
    """


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="run")
    add_flags(made, run)
    return made


def test_arguments_have_the_signature_s_types(parser):
    """Numbers, paths, lists, JSON, and a dataclass of its fields."""
    line = '--out o --count 3 --kinds a --filter {"n":1} --one b --rate 1e-3'
    line += " --deep true x y"
    given = collect(run, vars(parser.parse_args(line.split())))
    assert given == {
        "words": ["x", "y"],
        "out": Path("o"),
        "count": 3,
        "kinds": ["a"],
        "more": (),
        "filter": {"n": 1},
        "one": "b",
        "every": None,
        "settings": Settings(0.001, True),
    }


@pytest.mark.parametrize(("words", "value"), [("--every", True), ("--every 2", 2.0)])
def test_a_flag_that_is_true_or_a_number_may_stand_alone(words, value, parser):
    """And is absent otherwise."""
    given = parser.parse_args(f"x --out=o --rate=1 {words}".split())
    assert given.every is value or given.every == value is not True


def test_what_is_left_out_has_the_signature_s_default(parser):
    """And None is not printed as one."""
    given = collect(run, vars(parser.parse_args(["--out=o", "--rate=1", "x"])))
    assert given["kinds"] == ("b", "a")
    assert given["count"] is given["filter"] is given["one"] is None
    assert given["settings"] == Settings(1.0, False)
    text = " ".join(parser.format_help().split())
    assert "some of them (default: b a)" in text
    assert "how many --kinds" in text
    assert "the file to write; 100 % of it, in two lines" in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--rate 1 x", "required: --out"),
        ("--out o x", "required: --rate"),
        ("--out o --rate 1", "required: words"),
        ("--out o --rate nan x", "--rate: invalid finite value: 'nan'"),
        ("--out o --rate 1 --deep yes x", "--deep: invalid true_or_false value"),
        ("--out o --rate 1 --count 1.5 x", "--count: invalid int value"),
        ("--out o --rate 1 --count -1 x", "--count: -1 is not from 0 to 1024"),
        ("--out o --rate 1 --count 1025 x", "--count: 1025 is not from 0 to 1024"),
        ("--out o --rate 1 --kinds c --", "--kinds: invalid choice: 'c'"),
        ("--out o --rate 1 --one c x", "--one: invalid choice: 'c'"),
        ("--out o --rate 1 --kinds -- x", "--kinds: expected at least one"),
        ("--out o --rate 1 --filter [1] x", "--filter: invalid json_object value"),
    ],
)
def test_a_wrong_flag_is_one_line(line, words, parser, capsys):
    """That names the flag."""
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(line.split())
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_flag_without_a_text_is_a_defect():
    """The docstring is what the help is made of."""

    def silent(*, out: Path) -> None:
        """Do it."""

    with pytest.raises(KeyError, match="out"):
        add_flags(argparse.ArgumentParser(), silent)


def test_the_section_ends_where_the_next_begins():
    """What is raised is not an argument."""
    assert read_args(run.__doc__.replace("\n    ", "\n"))["settings"] == (
        "every other one"
    )

"""What README and docs say exists: commands, flags, keys, files."""

import re
import shlex

import pytest
import yaml
from pages import blocks
from study import REPOSITORY

from polycal.cli import parsers_of_verbs

PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
VERBS = parsers_of_verbs()


def commands(text: str) -> list[list[str]]:
    """Words of every line of shell, continued lines as one."""
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_the_pages_have_commands():
    """What is checked below is there."""
    held = [words for page in PAGES for words in commands(_without_python(page))]
    assert sum("polycal" in words[0] for words in held) >= 5
    assert sum("snakemake" in words[0] for words in held) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_flags_exist(page):
    """Every verb, and every flag that it is given."""
    for words in commands(_without_python(page)):
        if words[0] != "polycal" or words[1].startswith("-"):
            continue
        verb = VERBS[words[1].replace("-", "_")]
        known = {flag for action in verb._actions for flag in action.option_strings}
        flags = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
        assert flags - {"--"} <= known, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_commands_name_exist(page):
    """Studies, benchmarks, profiles and make's targets of this repository."""
    targets = re.findall(
        r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE
    )
    for words in commands(_without_python(page)):
        if words[0] == "make":
            assert set(words[1:]) <= set(targets), words
        for word in words:
            if re.match(r"(studies|benchmarks|profiles|envs)/", word):
                assert (REPOSITORY / word).exists(), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_arrive(page):
    """Those to files of this repository, and to the headings of pages."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target  # on GitHub, where no page is generated
        if anchor:
            heads = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            slugs = {
                re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in heads
            }
            assert anchor in slugs, target


def test_every_flag_says_what_it_is():
    """The page of commands is written from these words."""
    for name, verb in VERBS.items():
        for action in verb._actions:
            assert action.help, (name, action.dest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_are_what_they_say(page):
    """YAML can be read, and Python compiled."""
    text = page.read_text()
    for body in blocks(text, "yaml"):
        yaml.safe_load(body)
    for body in blocks(text, "python"):
        compile(body, str(page), "exec")


def _without_python(page) -> str:
    """A page's text without the bodies of `python -c '...'`, which are no words."""
    return re.sub(
        r"python -c '.*?'", "python -c PROGRAM", page.read_text(), flags=re.DOTALL
    )

"""The command line: one verb for each function that is marked as one.

A verb's module is imported when the verb runs. Its flags are read from the function's
source, so that help never waits for torch.
"""

import argparse
import ast
import contextlib
import importlib
import keyword
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polycal
from polycal.errors import InputError, join_lines
from polycal.flags import add_flags, collect
from polycal.storage.files import check_file, check_folder, exclusive

_PACKAGE = Path(polycal.__file__).parent
_MARKED = re.compile(r'^@verb\([^)]*\)\ndef (\w+)\(.*?"""(.*?)(?:\n|""")', re.M | re.S)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; bad input and full disks end it with one line and exit code 1."""
    own_process = arguments is None
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and not arguments[0].startswith("-"):
        arguments[0] = arguments[0].replace("-", "_")  # show-prompt is show_prompt
    verbs = list_verbs()
    name = build_parser(verbs).parse_args(arguments[:1]).verb
    path, _ = verbs[name]
    head = read_head(path, name)
    options = vars(build_verb_parser(head).parse_args(arguments[1:]))
    if head.without_pandas and own_process:
        _keep_pandas_out()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    product = None
    try:
        product = find_product(head.makes, options)
        chosen = collect(head, options)
        # A product has one lock; of several machines the first one takes it for all.
        helps = any(getattr(value, "node_rank", 0) for value in chosen.values())
        with exclusive(product) if product and not helps else contextlib.nullcontext():
            module = importlib.import_module(module_of(path))
            getattr(module, head.__name__)(**chosen)
    except InputError as error:
        sys.exit(f"polycal {name}: {join_lines(error)}")
    except OSError as error:
        if error.strerror is None:  # not the operating system's own complaint
            raise
        path = error.filename or product or "standard output"
        sys.exit(f"polycal {name}: {join_lines(path)}: {error.strerror}")


def list_verbs() -> dict[str, tuple[Path, str]]:
    """Return every verb's source file and summary by its name, in alphabetical order.

    The sources are read as text: importing them all would take seconds.
    """
    verbs = {}
    for path in _PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name, summary in _MARKED.findall(text) if "\n@verb(" in text else ():
            verbs[name.removesuffix("_")] = (path, summary)
    return dict(sorted(verbs.items()))


def module_of(path: Path) -> str:
    """Return the dotted name of a module of the package by its source."""
    return ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts)


def read_head(path: Path, verb: str) -> Any:
    """Return a verb's function with its signature, docstring and marks, but no body.

    Only the imports that the signature needs are executed, so that the flags of a verb
    that trains are known before torch is imported.
    """
    name = f"{verb}_" if keyword.iskeyword(verb) else verb  # `try` is `try_`
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    head = next(function for function in functions if function.name == name)
    del head.body[1:]  # all but the docstring
    names = {node.id for node in ast.walk(head) if isinstance(node, ast.Name)}
    imports = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [a for a in node.names if (a.asname or a.name) in names]
            imports += [node] if node.names else []
    space: dict[str, Any] = {}
    # Docstrings stay, whatever PYTHONOPTIMIZE says: help is made of them.
    code = compile(ast.Module([*imports, head], []), str(path), "exec", optimize=0)
    exec(code, space)
    return space[name]


def build_parser(verbs: Mapping[str, tuple[Path, str]]) -> argparse.ArgumentParser:
    """Return the parser that lists all verbs."""
    parser = argparse.ArgumentParser(
        prog="polycal",
        description=polycal.__doc__,
        usage="%(prog)s [-h] [--version] VERB ...",
        epilog="\n".join(f"  {name:17} {text}" for name, (_, text) in verbs.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"polycal {polycal.__version__}"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("verb", choices=verbs, metavar="VERB", help="one of these:")
    return parser


def build_verb_parser(head: Any) -> argparse.ArgumentParser:
    """Return the parser of one verb."""
    parser = argparse.ArgumentParser(
        prog=f"polycal {head.__name__.removesuffix('_')}",
        description=head.__doc__.splitlines()[0],
    )
    add_flags(parser, head)
    return parser


def parsers_of_verbs() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each verb by its name, for those who write its docs."""
    return {
        name: build_verb_parser(read_head(path, name))
        for name, (path, _) in list_verbs().items()
    }


def find_product(makes: str | None, options: Mapping[str, Any]) -> Path | None:
    """Return the path that a verb makes, which one process makes at a time.

    Args:
        makes: a format string over the flags, such as `{out}`, or `{out}/` where it is
            a folder that is replaced as a whole; None: no path.
        options: the flags.

    Raises:
        InputError: the path is there and must not be replaced.
    """
    if makes is None:
        return None
    path = Path(makes.format_map(options))
    (check_folder if makes.endswith("/") else check_file)(path)
    return path


class _NoPandas:
    """A finder of modules that finds no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        """Leave every other module to the other finders."""
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}")


def _keep_pandas_out() -> None:
    """Tell pyarrow that there is no pandas, which it would import: 0.2 s of CPU.

    pyarrow looks for pandas once, at the first Python value that it converts. From
    then on a table's `to_pandas` fails in this process.
    """
    import pyarrow

    sys.meta_path.insert(0, finder := _NoPandas())
    pyarrow.scalar(0)
    sys.meta_path.remove(finder)

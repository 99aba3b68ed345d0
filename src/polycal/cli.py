"""The command line: one verb per rule of the workflow.

Every verb imports its module when it is called, so `--help` and the light verbs never
wait for torch.
"""

import argparse
import contextlib
import functools
import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import polycal
from polycal.errors import InputError
from polycal.storage.files import check_file, check_folder, exclusive
from polycal.tuning.machines import ONE, Machines, find_machines
from polycal.verbs import add_verbs


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; bad input and full disks end it with one line and exit code 1."""
    own_process = arguments is None
    arguments = list(sys.argv[1:] if own_process else arguments)
    if arguments and not arguments[0].startswith("-"):
        arguments[0] = arguments[0].replace("-", "_")  # show-prompt is show_prompt
    options = vars(build_parser().parse_args(arguments))
    verb, run = options.pop("verb"), options.pop("run")
    makes = options.pop("makes")
    if options.pop("without_pandas") and own_process:
        _keep_pandas_out()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    product = None
    try:
        product = find_product(makes, options)
        machines = _take_machines(options)
        # A product has one lock; of several machines the first one takes it for all.
        alone = product and not machines.number
        with exclusive(product) if alone else contextlib.nullcontext():
            run(**options)
    except InputError as error:
        sys.exit(f"polycal {verb}: {error}")
    except OSError as error:
        if error.strerror is None:  # not the operating system's own complaint
            raise
        place = error.filename or product or "standard output"
        sys.exit(f"polycal {verb}: {place}: {error.strerror}")


def find_product(makes: str | None, options: dict[str, object]) -> Path | None:
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


def _take_machines(options: dict[str, object]) -> Machines:
    """Make the flags about machines, if the verb has them, its one argument."""
    if "nodes" not in options:
        return ONE
    told = (options.pop(name) for name in ("nodes", "node_rank", "rendezvous"))
    options["machines"] = find_machines(*told)
    return options["machines"]


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = argparse.ArgumentParser(prog="polycal", description=polycal.__doc__)
    parser.add_argument(
        "--version", action="version", version=f"polycal {polycal.__version__}"
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(
        name: str,
        run: str | Callable,
        text: str,
        *,
        makes: str | None = None,
        without_pandas: bool = False,
    ) -> Callable:
        """Add a verb, run by a function or by its namesake in a module."""
        verb = verbs.add_parser(
            name,
            help=text,
            description=text,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        if isinstance(run, str):
            run = functools.partial(_call, run, name)
        verb.set_defaults(run=run, makes=makes, without_pandas=without_pandas)
        return verb.add_argument

    add_verbs(add)
    return parser


def parsers_of_verbs() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb by its name, for those who write or check its docs."""
    # argparse has no public way to its sub-parsers.
    return next(a.choices for a in build_parser()._actions if a.dest == "verb")


def _call(module: str, verb: str, **options: object) -> None:
    getattr(importlib.import_module(module), verb)(**options)

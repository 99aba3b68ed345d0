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
from polycal.files import exclusive
from polycal.machines import ONE, Machines, find_machines
from polycal.verbs import add_verbs


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; bad input and full disks end it with one line and exit code 1."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and not arguments[0].startswith("-"):
        arguments[0] = arguments[0].replace("-", "_")  # show-prompt is show_prompt
    options = vars(build_parser().parse_args(arguments))
    verb, run = options.pop("verb"), options.pop("run")
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    written = (options.get(name) for name in ("out", "metrics", "model"))
    product = next((each for each in written if isinstance(each, Path)), None)
    try:
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

    def add(name: str, run: str | Callable, text: str) -> Callable:
        """Add a verb, run by a function or by its namesake in a module."""
        verb = verbs.add_parser(
            name,
            help=text,
            description=text,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        if isinstance(run, str):
            run = functools.partial(_call, run, name)
        verb.set_defaults(run=run)
        return verb.add_argument

    add_verbs(add)
    return parser


def parsers_of_verbs() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb by its name, for those who write or check its docs."""
    # argparse has no public way to its sub-parsers.
    return next(a.choices for a in build_parser()._actions if a.dest == "verb")


def _call(module: str, verb: str, **options: object) -> None:
    getattr(importlib.import_module(module), verb)(**options)

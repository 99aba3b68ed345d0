"""Tokenise an SFT set for a model, once for all candidates."""

import dataclasses
import logging
from pathlib import Path

from polycal.errors import InputError
from polycal.models.tokens import load_tokenizer
from polycal.storage import tables
from polycal.storage.files import digest, replacing_folder
from polycal.storage.provenance import read_digest, write_provenance
from polycal.study.recipe import Rendering
from polycal.tuning.examples import FILE, write_examples
from polycal.tuning.rendering import BATCH, Tally, make_examples
from polycal.tuning.sft_report import format_report
from polycal.verb import verb

_logger = logging.getLogger(__name__)


@verb(makes="{out}/")
def tokenize(
    *,
    base: Path,
    conversations: Path,
    model: str,
    sft: str,
    rendering: Rendering,
    out: Path,
) -> None:
    """Write the token sequences of an SFT set, and a report for people.

    The directory gets `examples.arrow` (tokens and target masks), `report.txt` and
    `provenance.json` with the settings, counts and digests. Memory does not grow with
    the set: conversations are read in batches.

    Args:
        base: directory of the base model, whose tokenizer is read
        conversations: conversations table
        model: short name of the base model
        sft: short name of the SFT set
        rendering: how sequences are written
        out: directory to write

    Raises:
        InputError: the tokenizer or the conversations cannot be used.
    """
    tokenizer, tally = load_tokenizer(base), Tally()
    settings = dataclasses.asdict(rendering)
    facts = tables.read_metadata(conversations)
    source = {key: facts.get(key) for key in ("repo", "format", "filter")}
    source["counts"] = facts.get("counts", {})
    with replacing_folder(out) as temporary:
        path = temporary / FILE
        batches = tables.stream(conversations, "conversations", rows=BATCH)
        n_examples = write_examples(
            make_examples(batches, tokenizer, rendering, tally), path
        )
        counts = {"examples": n_examples, **tally.counts}
        if n_examples < 2:
            raise InputError(
                f"{conversations} gives {n_examples} sequences with a target, too few "
                f"for training and validation ({counts}); add conversations"
            )
        report = format_report(
            tokenizer,
            title=f"The SFT set {sft} as {model} reads it",
            settings=settings,
            source=source["counts"],
            counts=counts,
            tally=tally,
        )
        (temporary / "report.txt").write_text(report, encoding="utf-8")
        write_provenance(
            temporary,
            model=model,
            sft=sft,
            rendering=settings,
            base=read_digest(base),
            conversations=digest([conversations]),
            source=source,
            counts=counts,
            digest=digest([path]),
        )
    _logger.info("%s: %s", conversations, counts)

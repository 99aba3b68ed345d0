"""Tokenise an SFT set for a model, once for all candidates."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

from polycal.errors import InputError
from polycal.models.configurations import read_config
from polycal.models.quantisation import refuse_tuning
from polycal.models.tokens import load_tokenizer, read_length
from polycal.storage import tables
from polycal.storage.files import digest, replacing_folder
from polycal.storage.provenance import read_digest, write_provenance
from polycal.study.completeness import MOST_DROPPED, check_dropped
from polycal.study.recipe import Rendering
from polycal.tuning.examples import FILE, write_examples
from polycal.tuning.rendering import BATCH, Tally, make_examples
from polycal.tuning.sft_report import format_report
from polycal.verb import verb

# Share of the sequences that may end before their answer begins.
_MOST_WITHOUT_TARGET = 0.5
# Share of tokens that stand for unknown text above which a warning says so.
_MANY_UNKNOWN = 0.1
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
    `provenance.json` with the settings, counts and digests. Conversations are read in
    batches; memory grows by about 100 bytes for each, to find copies. Sequences are cut
    at `max_length`, or where the model's positions end.

    Args:
        base: directory of the base model, whose tokenizer is read
        conversations: conversations table
        model: short name of the base model
        sft: short name of the SFT set
        rendering: how sequences are written
        out: directory to write

    Raises:
        InputError: the tokenizer or the conversations cannot be used, or too many of
            them would be lost.
    """
    refuse_tuning(base)  # before a GPU is taken for it
    tokenizer, tally = load_tokenizer(base), Tally()
    positions = read_length(read_config(base), tokenizer)
    settings = dataclasses.asdict(rendering)
    facts = tables.read_metadata(conversations)
    source: dict[str, Any] = {
        key: facts.get(key) for key in ("repo", "format", "filter")
    }
    source["counts"] = facts.get("counts", {})
    with replacing_folder(out) as temporary:
        path = temporary / FILE
        batches = tables.stream(conversations, "conversations", rows=BATCH)
        n_examples = write_examples(
            make_examples(batches, tokenizer, rendering, tally, positions=positions),
            path,
        )
        counts = {"examples": n_examples, **tally.counts}
        if n_examples < 2:
            raise InputError(
                f"{conversations} gives {n_examples} sequences with a target, too few "
                f"for training and validation ({counts}); add conversations"
            )
        _check_lost(conversations, tally)
        if counts["truncated"]:
            is_short = positions < rendering.max_length
            _logger.warning(
                "%s: %d sequences are cut at %d tokens (%s); a cut answer has no end",
                *(conversations, counts["truncated"]),
                *(min(positions, rendering.max_length),),
                "all that the model reads" if is_short else "max_length",
            )
        if counts["unknown_tokens"] > _MANY_UNKNOWN * counts["tokens"]:
            _logger.warning(
                "%s: %d of %d tokens are %s: the tokenizer does not know the text",
                *(conversations, counts["unknown_tokens"], counts["tokens"]),
                tokenizer.unk_token,
            )
        report = format_report(
            tokenizer,
            title=f"The SFT set {sft} as {model} reads it",
            settings={**settings, "positions": positions},
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
            positions=positions,
            base=read_digest(base),
            conversations=digest([conversations]),
            source=source,
            counts=counts,
            digest=digest([path]),
        )
    _logger.info("%s: %s", conversations, counts)


def _check_lost(conversations: Path, tally: Tally) -> None:
    """Refuse to train on what is left of a set that was mostly lost."""
    totals = {
        "dropped_refused": tally.counts["conversations"],
        "dropped_no_target": tally.lengths.total(),
    }
    limits = {
        "dropped_refused": (
            MOST_DROPPED,
            f"{tally.refusal}; say `chat_template: tulu`, or drop or translate a role "
            "with `roles:` of the SFT set",
        ),
        "dropped_no_target": (_MOST_WITHOUT_TARGET, "raise `max_length`"),
    }
    for reason, total in totals.items():
        counts = {"rows": total, reason: tally.counts[reason]}
        check_dropped(str(conversations), counts, {reason: limits[reason]})

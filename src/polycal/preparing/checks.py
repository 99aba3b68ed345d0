"""What a benchmark's languages have in common, and so what is compared.

Predictions hold every question that a language has. Which of them are measured is
decided here, once for a task, so that all its languages answer the same questions.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.files import replacing
from polycal.storage.provenance import provenance
from polycal.study.prompts import LETTERS
from polycal.verb import verb

_COMPARED = ("task", "language", "split", "question_id", "gold")
_SHOWN = 5  # questions that a message lists
_KIND = "check"
_logger = logging.getLogger(__name__)

# A question's right option and number of options -> the languages that have it so.
Versions = dict[tuple[int, int], list[str]]


@verb(makes="{out}", without_pandas=True)
def check_task(
    *,
    questions: list[Path],
    policy: Literal["intersection", "identical", "own"],
    out: Path,
) -> None:
    """Compare a benchmark's languages and write which questions they share.

    Args:
        questions: questions tables of one benchmark, one per language.
        policy: with `intersection` the questions that a language
            lacks or that differ between languages are left out of every language;
            `identical` stops if there are any; `own` leaves every language its own.
        out: the JSON file that is written: what `compare` returns, and provenance.

    Raises:
        InputError: as `compare`.
    """
    facts = provenance(kind=_KIND, **compare(questions, policy))
    text = json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False)
    with replacing(out) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def compare(paths: Sequence[Path], policy: str) -> dict[str, object]:
    """Compare the questions, answers and numbers of options of some languages.

    Args:
        paths: questions tables of one benchmark, one per language.
        policy: as `check_task` takes it.

    Returns:
        task and policy; languages: what each of them holds; n_all, the test questions
        that any language has; test and dev: the questions that are missing somewhere
        and those that differ; n_common and digest of the test questions that are left
        (null for `own`, which compares nothing).

    Raises:
        InputError: the files are not of one benchmark; the questions are not all alike
            and the policy is `identical`; or no question is left.
    """
    languages: dict[str, dict] = {}
    seen: dict[str, dict[str, Versions]] = {"test": {}, "dev": {}}
    tasks = set()
    for path in paths:
        table = tables.read(path, "questions")
        columns = [table[name].to_pylist() for name in _COMPARED]
        n_options = pc.list_value_length(table["options"]).to_pylist()
        sizes: Counter[int] = Counter()
        held = set(columns[1])
        if len(held) != 1 or held & languages.keys():
            raise InputError(f"{path}: one file for each language is expected")
        for task, language, split, name, gold, n in zip(
            *columns, n_options, strict=True
        ):
            tasks.add(task)
            if split == "test":
                sizes[n] += 1
            versions = seen[split].setdefault(name, {})
            versions.setdefault((gold, n), []).append(language)
        languages[held.pop()] = _describe_language(path, table, sizes)
    if len(tasks) != 1:
        raise InputError(f"one benchmark is expected, found {sorted(tasks) or 'none'}")
    facts = {
        "task": tasks.pop(),
        "policy": policy,
        "languages": languages,
        "n_all": len(seen["test"]),
        "n_common": None,
        "digest": None,
        **{split: {"missing": [], "differing": []} for split in seen},
    }
    if policy != "own":
        facts |= {split: _contrast(seen[split], languages) for split in seen}
        common = sorted(seen["test"].keys() - list_left_out(facts))
        facts["n_common"] = len(common)
        facts["digest"] = hashlib.sha256("\n".join(common).encode()).hexdigest()
        _judge(facts)
    return facts


def _describe_language(
    path: Path, table: pa.Table, sizes: Counter[int]
) -> dict[str, object]:
    """What one language holds of the test split, before any comparison."""
    counts = tables.read_metadata(path).get("counts", {}).get("test", {})
    dropped = {
        reason.removeprefix("dropped_"): number
        for reason, number in counts.items()
        if reason.startswith("dropped_") and number
    }
    return {
        "questions": tables.digest(table),
        "rows": counts.get("rows", sizes.total()),
        "dropped": dropped,
        "n_questions": sizes.total(),
        "n_options": {str(n): sizes[n] for n in sorted(sizes)},
    }


def _contrast(
    seen: Mapping[str, Versions], languages: Iterable[str]
) -> dict[str, list[dict]]:
    """The questions that some languages lack, grouped by these, and those that differ.

    Args:
        seen: the versions of every question of a split, by id.
        languages: all of them.
    """
    everybody = set(languages)
    missing: dict[tuple[str, ...], list[str]] = {}
    differing = []
    for name, versions in seen.items():
        lacking = everybody.difference(*versions.values())
        if lacking:
            missing.setdefault(tuple(sorted(lacking)), []).append(name)
        if len(versions) > 1:
            found = [
                {"gold": LETTERS[gold], "n_options": n, "languages": codes}
                for (gold, n), codes in versions.items()
            ]
            differing.append({"question_id": name, "versions": found})
    grouped = [{"languages": list(k), "questions": v} for k, v in missing.items()]
    return {"missing": grouped, "differing": differing}


def list_left_out(check: Mapping) -> set[str]:
    """Ids of the test questions that a check leaves out of every language."""
    test = check["test"]
    left_out = {each["question_id"] for each in test["differing"]}
    return left_out.union(*(group["questions"] for group in test["missing"]))


def _judge(facts: Mapping) -> None:
    """Say what differs, and stop if that is not to be.

    Raises:
        InputError: as `compare`.
    """
    found = []
    for split in ("test", "dev"):
        for group in facts[split]["missing"]:
            names = group["questions"]
            shown = ", ".join(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
            found.append(f"{'+'.join(group['languages'])} lacks {shown} ({split})")
        found += [
            f"{each['question_id']} ({split}) is {_tell_versions(each['versions'])}"
            for each in facts[split]["differing"]
        ]
    shown = "; ".join(found[:_SHOWN]) + "; ..." * (len(found) > _SHOWN)
    if found and facts["policy"] == "identical":
        raise InputError(
            f"{facts['task']}: the languages do not ask the same questions: {shown}; "
            "say `questions: intersection` to compare those that are alike, leave a "
            "language out, or take another revision"
        )
    if not facts["n_common"]:
        raise InputError(
            f"{facts['task']}: no question is alike in all languages ({shown}); say "
            "`questions: own` if they are not translations of each other"
        )
    _logger.log(
        logging.WARNING if found else logging.INFO,
        "%s: %d of %d questions are compared%s",
        *(facts["task"], facts["n_common"], facts["n_all"]),
        f"; {shown}" if found else "",
    )


def _tell_versions(versions: Iterable[Mapping]) -> str:
    return " but ".join(
        f"{each['gold']} of {each['n_options']} options in "
        f"{'+'.join(each['languages'])}"
        for each in versions
    )


def read_check(path: Path) -> dict[str, object]:
    """What `check_task` wrote.

    Raises:
        InputError: the file is not from it.
    """
    try:
        check = json.loads(path.read_text(encoding="utf-8"))
        if check["kind"] == _KIND:
            return check
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path} is not what `polycal check_task` writes; make it anew")


def keep_compared(check: Mapping, scored: pa.Table, origin: Mapping) -> pa.Table:
    """The rows of a predictions table that a check keeps.

    Languages that the check does not know are not in the study; they are left out.

    Args:
        check: what `read_check` gives.
        scored: a predictions table.
        origin: language -> digest of the questions file that was scored.

    Raises:
        InputError: the scores are of other questions than those that were checked.
    """
    known = check["languages"]
    for task in scored["task"].unique().to_pylist():
        if task != check["task"]:
            raise InputError(f"the check is of {check['task']}, the scores of {task}")
    for language in scored["language"].unique().to_pylist():
        found = known.get(language)
        if found and found["questions"] != origin.get(language):
            raise InputError(
                f"{check['task']}, {language}: the scores are of other questions than "
                "the check; score the language again"
            )
    kept = pc.is_in(scored["language"], pa.array(known.keys(), pa.string()))
    left_out = pa.array(sorted(list_left_out(check)), pa.string())
    is_out = pc.is_in(scored["question_id"], left_out)
    return scored.filter(pc.and_(kept, pc.invert(is_out)))

"""Find the questions that a benchmark's languages share.

Predictions hold every question of a language. A check decides once for a task which of
them are measured, so that all languages answer the same questions.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from polycal.errors import InputError
from polycal.preparing.agreement import Version, check_agreement
from polycal.storage import tables
from polycal.storage.files import replacing
from polycal.storage.provenance import digest_facts, provenance
from polycal.study.prompts import LETTERS
from polycal.study.scorings import Policy
from polycal.verb import verb

_COMPARED = ("task", "language", "split", "question_id", "gold", "subject")
# Share of all questions below which those that languages have in common may be common
# by chance, as where rows without an id are numbered and one language lacks the first.
_LEAST_COMMON = 0.5
_SHOWN = 5  # questions that a message lists
_KIND = "check"
_logger = logging.getLogger(__name__)

Versions = dict[Version, list[str]]  # the languages with each version of a question


@verb(makes="{out}", without_pandas=True)
def check_task(
    *,
    questions: list[Path],
    policy: Policy,
    out: Path,
) -> None:
    """Compare a benchmark's languages and write which questions they share.

    Args:
        questions: questions tables of one benchmark, one per language.
        policy: keep what all share, stop if they differ, or keep each language's own.
        out: JSON file to write: the result of `compare`, and provenance.

    Raises:
        InputError: as `compare`.
    """
    facts = provenance(kind=_KIND, **compare(questions, policy))
    facts["content"] = digest_facts(facts)
    text = json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False)
    with replacing(out) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def compare(paths: Sequence[Path], policy: str) -> dict[str, Any]:
    """Compare several languages: questions, answers, numbers of options, subjects.

    Returns:
        task and policy; languages: counts of each language; n_all: test questions that
        any language has; test and dev: questions that a language lacks and questions
        that differ; n_common and digest: of the test questions that are kept, null for
        `own`.

    Raises:
        InputError: the files are not of one benchmark; the questions are not all alike
            and the policy is `identical`; less than half of them are alike; or two
            languages agree hardly more than by chance.
    """
    languages: dict[str, dict] = {}
    splits: dict[str, dict[str, Versions]] = {"test": {}, "dev": {}}
    asked: dict[str, dict[str, Version]] = {}
    tasks = set()
    for path in paths:
        table = tables.read(path, "questions")
        columns = [table[name].to_pylist() for name in _COMPARED]
        n_options = pc.list_value_length(table["options"]).to_pylist()
        sizes: Counter[int] = Counter()
        codes = set(columns[1])
        if len(codes) != 1 or codes & languages.keys():
            raise InputError(f"{path}: one file for each language is expected")
        for task, language, split, name, gold, subject, n in zip(
            *columns, n_options, strict=True
        ):
            tasks.add(task)
            if split == "test":
                sizes[n] += 1
                asked.setdefault(language, {})[name] = (gold, n, subject)
            versions = splits[split].setdefault(name, {})
            versions.setdefault((gold, n, subject), []).append(language)
        languages[codes.pop()] = _describe_language(path, table, sizes)
    if len(tasks) != 1:
        raise InputError(f"one benchmark is expected, found {sorted(tasks) or 'none'}")
    facts = {
        "task": tasks.pop(),
        "policy": policy,
        "languages": languages,
        "n_all": len(splits["test"]),
        "n_common": None,
        "digest": None,
        **{split: {"missing": [], "differing": []} for split in splits},
    }
    if policy == "intersection":
        check_agreement(facts["task"], asked)
    if policy != "own":
        facts |= {
            split: _compare_split(questions, languages)
            for split, questions in splits.items()
        }
        common = sorted(splits["test"].keys() - list_left_out(facts))
        facts["n_common"] = len(common)
        facts["digest"] = hashlib.sha256("\n".join(common).encode()).hexdigest()
        _report_differences(facts)
    return facts


def _describe_language(
    path: Path, table: pa.Table, sizes: Counter[int]
) -> dict[str, Any]:
    """Return the counts of a language's test split and the digest of its table."""
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
        "duplicate_questions": counts.get("duplicate_questions", 0),
        "n_questions": sizes.total(),
        "n_options": {str(n): sizes[n] for n in sorted(sizes)},
    }


def _compare_split(
    questions: Mapping[str, Versions], languages: Iterable[str]
) -> dict[str, list[dict]]:
    """Return the questions that languages lack, by languages, and those that differ."""
    missing: dict[tuple[str, ...], list[str]] = {}
    differing = []
    for name, versions in questions.items():
        lacking = set(languages).difference(*versions.values())
        if lacking:
            missing.setdefault(tuple(sorted(lacking)), []).append(name)
        if len(versions) > 1:
            spelt = [
                {"gold": LETTERS[gold], "n_options": n, "languages": codes}
                for (gold, n, _), codes in versions.items()
            ]
            subjects = [subject for _, _, subject in versions]
            if len(set(subjects)) > 1:
                for version, subject in zip(spelt, subjects, strict=True):
                    version["subject"] = subject
            differing.append({"question_id": name, "versions": spelt})
    grouped = [{"languages": list(k), "questions": v} for k, v in missing.items()]
    return {"missing": grouped, "differing": differing}


def list_left_out(check: Mapping) -> set[str]:
    """Return the ids of the test questions that are left out of every language."""
    test = check["test"]
    left_out = {question["question_id"] for question in test["differing"]}
    return left_out.union(*(group["questions"] for group in test["missing"]))


def _report_differences(facts: Mapping) -> None:
    """Log what differs between languages."""
    differences = []
    for split in ("test", "dev"):
        for group in facts[split]["missing"]:
            names = group["questions"]
            shown = ", ".join(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
            differences.append(
                f"{'+'.join(group['languages'])} lacks {shown} ({split})"
            )
        for question in facts[split]["differing"]:
            versions = " but ".join(
                f"{version['gold']} of {version['n_options']} options "
                + (f"about {version['subject']!r} " if "subject" in version else "")
                + f"in {'+'.join(version['languages'])}"
                for version in question["versions"]
            )
            differences.append(f"{question['question_id']} ({split}) is {versions}")
    shown = "; ".join(differences[:_SHOWN]) + "; ..." * (len(differences) > _SHOWN)
    if differences and facts["policy"] == "identical":
        raise InputError(
            f"{facts['task']}: the languages do not ask the same questions: {shown}; "
            "say `questions: intersection` to compare those that are alike, leave a "
            "language out, or take another revision"
        )
    if not facts["n_common"]:
        raise InputError(
            f"{facts['task']}: no question is alike in all languages ({shown}); say "
            "`questions: own` if they are not translations of each other, or name no "
            "`subject` in the format if its words are translated"
        )
    if facts["n_common"] < _LEAST_COMMON * facts["n_all"]:
        raise InputError(
            f"{facts['task']}: only {facts['n_common']} of {facts['n_all']} questions "
            f"are alike in all languages ({shown}); name what identifies a question as "
            "`question_id` in the format, leave a language out, or say `questions: own`"
        )
    _logger.log(
        logging.WARNING if differences else logging.INFO,
        "%s: %d of %d questions are compared%s",
        *(facts["task"], facts["n_common"], facts["n_all"]),
        f"; {shown}" if differences else "",
    )


def read_check(path: Path) -> dict[str, Any]:
    """Read what `check_task` wrote.

    Raises:
        InputError: the file was not written by it, or has changed since.
    """
    try:
        check = json.loads(path.read_text(encoding="utf-8"))
        if check["kind"] == _KIND and check["content"] == digest_facts(check):
            return check
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path} is not what `polycal check_task` writes; make it again")


def keep_compared(check: Mapping, scored: pa.Table, origin: Mapping) -> pa.Table:
    """Return the rows of a predictions table that a check keeps.

    Languages that are not in the check are not in the study; they are left out.

    Args:
        check: what `read_check` returns.
        scored: a predictions table.
        origin: language -> digest of the questions file that was scored.

    Raises:
        InputError: the scores are of other questions than those that were checked.
    """
    checked = check["languages"]
    for task in scored["task"].unique().to_pylist():
        if task != check["task"]:
            raise InputError(f"the check is of {check['task']}, the scores of {task}")
    for language in scored["language"].unique().to_pylist():
        if language not in checked:
            continue
        if checked[language]["questions"] != origin.get(language):
            raise InputError(
                f"{check['task']}, {language}: the scores are of other questions than "
                "the check; score the language again"
            )
    kept = pc.is_in(scored["language"], pa.array(checked.keys(), pa.string()))
    left_out = pa.array(sorted(list_left_out(check)), pa.string())
    is_out = pc.is_in(scored["question_id"], left_out)
    return scored.filter(pc.and_(kept, pc.invert(is_out)))

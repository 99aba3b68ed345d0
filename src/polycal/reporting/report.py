"""The page that people read: one HTML file that needs nothing beside it.

Tables and figures in, a dictionary of plain values out of Python, and all markup in
`templates/report.html.j2`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from zlib import crc32

import jinja2
import pandas as pd

from polycal.comparing.conditions import (
    per_change,
    per_language,
    per_level,
    rows_of,
    select,
)
from polycal.errors import InputError
from polycal.preparing.checks import read_check
from polycal.reporting.captions import CAPTIONS
from polycal.reporting.claim_sentences import describe_claims
from polycal.reporting.explorer import explore, to_json
from polycal.reporting.figure_values import MISSING, values_of
from polycal.reporting.report_tables import difference_table, level_table
from polycal.reporting.sentences import describe_compared, describe_findings, join
from polycal.reporting.svg import inline
from polycal.reporting.trainings import describe_trainings
from polycal.storage import tables
from polycal.storage.files import replacing
from polycal.storage.provenance import provenance
from polycal.study.grid import BASE
from polycal.study.layout import number
from polycal.study.scorings import HEADLINE, Scoring
from polycal.verb import verb

# The figures in the page; every language's diagram is drawn where one chooses it.
SHOWN = ("dumbbell", "forest", "heatmap", "levels")
# Those of the leading scoring only, as their many marks make most of the page's size.
MORE = ("decomposition", "doses", "front", "temperature", "coverage", "premium")


@verb(makes="{out}")
def report(
    *,
    study: str,
    scoring: Sequence[Scoring],
    summary: Path,
    metrics: Path,
    reliability: Path,
    contrasts: Path,
    decompositions: Path,
    doses: Path,
    fronts: Path,
    claims: Path,
    runs: Path,
    shifts: Sequence[Path] = (),
    checks: list[Path],
    figures: Path,
    out: Path,
    missing: str | None = None,
) -> None:
    """Write the page of a study; the same inputs give the same bytes.

    Args:
        study: its name.
        scoring: the scorings of the page; the first one leads.
        summary: the study's summary table.
        metrics: the study's metrics table.
        reliability: the study's bins.
        contrasts: the study's differences between conditions.
        decompositions: what changes of ECE are made of.
        doses: metrics over smoothing values.
        fronts: accuracy and ECE of all conditions.
        claims: what the study says about the paper's claims.
        runs: how each run came about.
        shifts: questions whose confidence changed, of each SFT set and task.
        checks: what `polycal check_task` wrote of each task.
        figures: the folder that holds `{task}/{scoring}-{normaliser}/{figure}.svg`.
        out: the HTML file to write.
        missing: what a study that is not finished lacks, as sentences.

    Raises:
        InputError: a table is empty or broken, or a figure or a check is missing.
    """
    paths = {"summary": summary, "metrics": metrics}
    paths |= {"reliability": reliability}
    paths |= {"contrasts": contrasts, "claims": claims, "runs": runs}
    paths |= {"decompositions": decompositions, "doses": doses, "fronts": fronts}
    held = _in_order(select(metrics, "metrics"), scoring)
    compared = {each["task"]: each for each in map(read_check, checks)}
    values = {
        "study": study,
        "missing": missing,
        "confidence": f"{100 * read_confidence(contrasts):g} %",
        "run": _describe_run(held),
        "claims": _claims(claims, scoring[0]),
        "trainings": describe_trainings(tables.read(runs, "runs").to_pandas()),
        "tasks": [
            _task(task, held, paths, figures)
            | {"compared": _tell_compared(task, compared)}
            for task in held["task"].unique()
        ],
        "n_bins": int(select(reliability, "reliability")["bin"].nunique()),
        "tables": [
            {"name": name, "link": Path(os.path.relpath(path, out.parent)).as_posix()}
            for name, path in paths.items()
        ],
        "data": to_json(explore(metrics, reliability, shifts, scoring)),
        "has_questions": bool(shifts),
        "made_by": _made_by(paths),
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("polycal"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(values)
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def read_confidence(contrasts: Path) -> float:
    """The confidence of the study's intervals, as `contrast` was told.

    Raises:
        InputError: the table is of a polycal that did not write it down.
    """
    found = tables.read_metadata(contrasts).get("confidence")
    if not isinstance(found, float):
        raise InputError(f"{contrasts} does not tell its confidence; contrast again")
    return found


def _claims(path: Path, scoring: str) -> list[dict[str, object]]:
    """The claims under the scoring that leads, with its headline normaliser."""
    place = {"scoring": scoring, "normaliser": HEADLINE[scoring]}
    return describe_claims(rows_of(path, "claims", **place))


def _in_order(metrics: pd.DataFrame, scorings: list[str]) -> pd.DataFrame:
    """The rows of these scorings, those of the first one in front.

    Raises:
        InputError: a scoring has no rows.
    """
    missing = set(scorings) - set(metrics["scoring"])
    if missing:
        raise InputError(
            f"the tables hold no {' and no '.join(sorted(missing))} scores"
        )
    frames = [metrics[metrics["scoring"] == each] for each in scorings]
    return pd.concat(frames, ignore_index=True)


def _describe_run(metrics: pd.DataFrame) -> dict[str, object]:
    """What was run, from the table alone."""
    tuned = metrics[metrics["sft"] != BASE]
    seeds = sorted(tuned["seed"].unique())
    return {
        "models": join(list(metrics["model"].unique())),
        "sft": join(list(tuned["sft"].unique())),
        "smoothing": join(
            [number(each) for each in sorted(tuned["smoothing"].unique().tolist())]
        ),
        "seeds": join([str(seed) for seed in seeds]),
        "n_seeds": len(seeds),
        "scorings": list(metrics["scoring"].unique()),
        "normalisers": [
            pair
            for pair in metrics[["scoring", "normaliser"]]
            .drop_duplicates()
            .itertuples(index=False, name=None)
        ],
    }


def _task(
    task: str, metrics: pd.DataFrame, paths: Mapping[str, Path], figures: Path
) -> dict[str, object]:
    """One task: what it holds, and its scorings, the one that leads in front."""
    own = metrics[metrics["task"] == task]
    pairs = own[["scoring", "normaliser"]].drop_duplicates()
    pairs = list(pairs.itertuples(index=False, name=None))
    # In each scoring its headline normaliser leads.
    scorings = list(own["scoring"].unique())
    pairs.sort(key=lambda pair: (scorings.index(pair[0]), HEADLINE[pair[0]] != pair[1]))
    n = own["n_questions"]
    return {
        "name": task,
        "n_languages": own["language"].nunique(),
        "n_questions": str(n.min()) if n.nunique() == 1 else f"{n.min()} to {n.max()}",
        "scorings": [
            _scoring(
                {"task": task, "scoring": pair[0], "normaliser": pair[1]},
                paths,
                figures,
                SHOWN + MORE if pair == pairs[0] else SHOWN,
            )
            for pair in pairs
        ],
    }


def _tell_compared(task: str, checks: Mapping[str, Mapping]) -> str:
    if task not in checks:
        raise InputError(f"no check of {task} was given; name its file with --checks")
    return describe_compared(checks[task])


def _scoring(
    place: dict[str, str],
    paths: Mapping[str, Path],
    figures: Path,
    shown: tuple[str, ...],
) -> dict[str, object]:
    """The findings, tables and figures of one task, scoring and normaliser."""
    levels = per_level(select(paths["summary"], "summary", **place))
    languages = per_language(select(paths["metrics"], "metrics", **place))
    # Base models alone have no contrasts.
    changes = rows_of(paths["contrasts"], "contrasts", **place, calibrator="none")
    changes = per_change(changes)
    facets = []
    for facet in sorted(levels["facet"].unique()):
        own = levels[levels["facet"] == facet]
        spoken = languages[languages["facet"] == facet]
        changed = changes[changes["facet"] == facet]
        facets.append(
            {
                "name": facet,
                "findings": describe_findings(own, spoken, changed),
                "differences": difference_table(changed),
                "levels": level_table(own),
            }
        )
    name, normaliser = place["scoring"], place["normaliser"]
    return {
        "name": name,
        "normaliser": normaliser,
        "slug": f"{place['task']}-{name}-{normaliser}",
        "facets": facets,
        "figures": (
            list(_figures(place, paths, figures, shown))
            if normaliser == HEADLINE[name]
            else []
        ),
    }


def _figures(
    place: dict[str, str],
    paths: Mapping[str, Path],
    folder: Path,
    shown: tuple[str, ...],
) -> Iterator[dict[str, str]]:
    """The figures of one scoring, each with the sentence that it shows.

    A figure that the study has no values for has no picture, and its caption says why.
    """
    task, scoring, normaliser = place.values()
    for figure in shown:
        path = folder / task / f"{scoring}-{normaliser}" / f"{figure}.svg"
        if not path.exists():
            raise InputError(f"{path} is missing; draw it and write the page again")
        values = values_of(figure, paths, place)
        if values.empty:
            yield {"name": figure, "svg": "", "caption": f"{MISSING[figure]}."}
            continue
        sentence = CAPTIONS[figure](values)
        slug = f"{task}-{scoring}-{normaliser}-{figure}"
        prefix = f"f{crc32(slug.encode()):08x}"  # short: it is repeated a lot
        yield {
            "name": figure,
            "caption": sentence,
            "svg": inline(path, prefix=prefix, text=sentence),
        }


def _made_by(paths: Mapping[str, Path]) -> list[dict[str, str]]:
    """What made each table, and this page; equal makers share a line."""
    makers = {f"the {name} table": tables.read_metadata(p) for name, p in paths.items()}
    makers["this page"] = provenance()
    lines: dict[tuple, list[str]] = {}
    for name, facts in makers.items():
        libraries = facts.get("libraries") or {}
        maker = (
            facts.get("polycal") or "unknown",
            facts.get("commit") or "unknown",
            facts.get("python") or "unknown",
            ", ".join(f"{each} {libraries[each]}" for each in sorted(libraries)),
        )
        lines.setdefault(maker, []).append(name)
    keys = ("polycal", "commit", "python", "libraries")
    return [
        {"what": join(names), **dict(zip(keys, maker, strict=True))}
        for maker, names in lines.items()
    ]

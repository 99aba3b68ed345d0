"""The study's page: one HTML file that needs nothing beside it.

From the study's tables and figures to a dictionary of plain values, which
`templates/report.html.j2` turns into HTML.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from polycal.comparing.conditions import (
    distinct_levels,
    name_facet,
    per_change,
    per_side,
    rows_of,
    select,
)
from polycal.comparing.released import Released, find_released
from polycal.errors import InputError
from polycal.preparing.checks import read_check
from polycal.reporting.claims_tables import (
    add_seeds,
    arrange_claims,
    find_conflicts,
    list_claims,
)
from polycal.reporting.doubts import describe_subjects, list_doubts
from polycal.reporting.explorer import explore, to_json
from polycal.reporting.headline import describe_answer
from polycal.reporting.page_figures import Folders, show_figures
from polycal.reporting.questions import describe_questions
from polycal.reporting.report_tables import (
    count_table,
    difference_table,
    level_table,
)
from polycal.reporting.sample_tables import select_samples, taught_tables
from polycal.reporting.selection import Selection
from polycal.reporting.sentences import join
from polycal.reporting.trainings import describe_run, describe_trainings
from polycal.storage.files import replacing
from polycal.storage.provenance import provenance
from polycal.storage.tables import read, read_metadata
from polycal.study.scorings import HEADLINE, Scoring
from polycal.verb import verb

# The study's tables that the page is made from, as it lists them.
TABLES = (
    *("summary", "level_means", "metrics", "reliability", "contrasts", "claims"),
    *("runs", "decompositions", "doses", "fronts", "new_languages", "slopes"),
    *("shares", "cultures"),
)


@verb(makes="{out}")
def report(
    *,
    study: str,
    description: str = "",
    scoring: Sequence[Scoring],
    tables: Path,
    shifts: Sequence[Path] = (),
    taught: Sequence[Path] = (),
    checks: list[Path],
    figures: Path,
    papers: Path | None = None,
    out: Path,
    missing: str | None = None,
    progress: Mapping | None = None,
) -> None:
    """Write the page of a study; the same inputs give the same bytes.

    Args:
        study: its name.
        description: what a reader has to know about it.
        scoring: the scorings of the page; the first one leads.
        tables: the folder that holds the study's tables.
        shifts: tables that `polycal find_shifts` wrote.
        taught: the other tables that it wrote.
        checks: files that `polycal check_task` wrote, one per task.
        figures: the folder that holds `{task}/{scoring}-{normaliser}/{figure}.svg`.
        papers: the folder that holds `{task}/{scoring}-{normaliser}/{table}.csv` and
            `.tex`, the tables for a paper, to link to.
        out: the HTML file to write.
        missing: what an unfinished study lacks, as a sentence.
        progress: finished and all jobs of an unfinished study that goes on, as
            {STAGE: [DONE, ALL]}; the page then reads itself again once a minute.

    Raises:
        InputError: a table is empty or broken, or a figure or a check is missing.
    """
    paths = {kind: tables / f"{kind}.parquet" for kind in TABLES}
    measured = _in_order(select(paths["metrics"], "metrics"), scoring)
    claims = _select_claims(paths["claims"], scoring)
    listed = read(paths["runs"], "runs")
    released = find_released(listed)
    checked = {check["task"]: check for check in map(read_check, checks)}
    asked = read_metadata(paths["metrics"]).get("asked") or {}
    folders = Folders(tables, figures, papers, out.parent)
    tasks = [
        _task(task, measured, claims, folders, released)
        | describe_questions(task, checked, asked.get(task, {}))
        for task in measured["task"].unique()
    ]
    values = {
        "study": study,
        "description": description,
        "missing": missing,
        "progress": progress or {},
        "confidence": f"{100 * read_confidence(paths['contrasts']):g} %",
        "run": describe_run(measured, released) | {"normalisers": _pairs(measured)},
        "claims": list_claims(
            add_seeds(claims, rows_of(paths["contrasts"], "contrasts"))
        ),
        "subjects": describe_subjects(measured),
        "trainings": describe_trainings(listed),
        "tasks": tasks,
        "n_bins": int(select(paths["reliability"], "reliability")["bin"].nunique()),
        "tables": [
            {"name": name, "link": folders.link(path)} for name, path in paths.items()
        ],
        "data": to_json(explore(tables, shifts, scoring, released)),
        "has_questions": bool(shifts),
        "taught": taught_tables(taught),
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
    """Return the confidence of the study's intervals, such as 0.95.

    Raises:
        InputError: the table's metadata does not hold it.
    """
    confidence = read_metadata(contrasts).get("confidence")
    if not isinstance(confidence, float):
        raise InputError(f"{contrasts} does not tell its confidence; contrast again")
    return confidence


def _select_claims(path: Path, scorings: Sequence[str]) -> pd.DataFrame:
    """Return the claims under each scoring with its headline normaliser, in order."""
    rows = rows_of(path, "claims")
    return _sort(rows[rows["normaliser"] == rows["scoring"].map(HEADLINE)], scorings)


def _in_order(metrics: pd.DataFrame, scorings: Sequence[str]) -> pd.DataFrame:
    """Return the rows of these scorings, in their order.

    Raises:
        InputError: a scoring has no rows.
    """
    missing = set(scorings) - set(metrics["scoring"])
    if missing:
        raise InputError(
            f"the tables hold no {' and no '.join(sorted(missing))} scores"
        )
    return _sort(metrics, scorings)


def _sort(rows: pd.DataFrame, scorings: Sequence[str]) -> pd.DataFrame:
    """Return the rows of these scorings, in their order."""
    frames = [rows[rows["scoring"] == scoring] for scoring in scorings]
    return pd.concat(frames, ignore_index=True)


def _pairs(metrics: pd.DataFrame) -> list[tuple[str, str]]:
    """Return scorings and normalisers in the order of the table."""
    pairs = metrics[["scoring", "normaliser"]].drop_duplicates()
    return list(pairs.itertuples(index=False, name=None))


def _task(
    task: str,
    metrics: pd.DataFrame,
    claims: pd.DataFrame,
    folders: Folders,
    released: Released,
) -> dict[str, Any]:
    """Describe one task, and each of its scorings, the leading one first."""
    own = metrics[metrics["task"] == task]
    pairs = _pairs(own)
    # In each scoring its headline normaliser leads.
    scorings = list(own["scoring"].unique())
    pairs.sort(key=lambda pair: (scorings.index(pair[0]), HEADLINE[pair[0]] != pair[1]))
    n = own["n_questions"]
    described = []
    for scoring, normaliser in pairs:
        about = {"task": task, "scoring": scoring, "normaliser": normaliser}
        judged, asked = claims, own
        for name, value in about.items():
            judged, asked = judged[judged[name] == value], asked[asked[name] == value]
        described.append(
            _scoring(
                Selection(folders.tables, about),
                folders,
                released,
                n_questions=int(asked["n_questions"].min()),
                leads=(scoring, normaliser) == pairs[0],
            )
            | {"matrix": arrange_claims(judged)}
        )
    return {
        "name": task,
        "n_languages": own["language"].nunique(),
        "n_questions": str(n.min()) if n.nunique() == 1 else f"{n.min()} to {n.max()}",
        "scorings": described,
        "conflicts": find_conflicts(claims, task, scorings[0]),
    }


def _scoring(
    selection: Selection,
    folders: Folders,
    released: Released,
    *,
    n_questions: int,
    leads: bool,
) -> dict[str, Any]:
    """Return the tables and figures of one task, scoring and normaliser.

    Args:
        selection: the tables of task, scoring and normaliser.
        folders: of the study.
        released: the study's released checkpoints.
        n_questions: of the language that has fewest.
        leads: whether the page of the task begins with it.
    """
    are_released = {name_facet(*checkpoint) for checkpoint in released.checkpoints}
    levels = selection.per_level()
    # Base models alone have no contrasts.
    contrasts = selection.rows("contrasts", calibrator="none")
    changes, beside = per_change(contrasts), per_side(contrasts)
    samples = select_samples(selection)
    facets = []
    for facet in sorted(levels["facet"].unique()):
        own, own_changes, own_beside = (
            distinct_levels(rows[rows["facet"] == facet])
            for rows in (levels, changes, beside)
        )
        facets.append(
            {
                "name": facet,
                "counts": count_table(own_changes),
                "differences": difference_table(own_changes)
                + difference_table(own_beside),
                "levels": level_table(own, is_released=facet in are_released),
                **samples(facet),
            }
        )
    name, normaliser = selection.about["scoring"], selection.about["normaliser"]
    figures = (
        list(show_figures(selection, folders, leads=leads, n_facets=len(facets)))
        if normaliser == HEADLINE[name]
        else []
    )
    return {
        "name": name,
        "normaliser": normaliser,
        "answer": describe_answer(levels, changes, beside),
        "doubts": list_doubts(levels, n_questions),
        "facets": facets,
        "papers": folders.link_papers(selection.about),
        "figures": [figure for figure in figures if figure["links"]],
        "absent": [figure for figure in figures if not figure["links"]],
    }


def _made_by(paths: Mapping[str, Path]) -> list[dict[str, str]]:
    """List what made each table and this page; equal makers share a line."""
    makers = {f"the {name} table": read_metadata(p) for name, p in paths.items()}
    makers["this page"] = provenance()
    lines: dict[tuple, list[str]] = {}
    for what, facts in makers.items():
        libraries = facts.get("libraries") or {}
        maker = (
            facts.get("polycal") or "unknown",
            facts.get("commit") or "unknown",
            facts.get("python") or "unknown",
            ", ".join(f"{name} {libraries[name]}" for name in sorted(libraries)),
        )
        lines.setdefault(maker, []).append(what)
    keys = ("polycal", "commit", "python", "libraries")
    return [
        {"what": join(names), **dict(zip(keys, maker, strict=True))}
        for maker, names in lines.items()
    ]

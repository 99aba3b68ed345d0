"""The study's further tables: means of levels, decompositions, doses, slopes, ..."""

from itertools import groupby
from pathlib import Path

import pyarrow as pa

from polycal.comparing.cultures import cultures
from polycal.comparing.decompositions import decompositions
from polycal.comparing.doses import doses
from polycal.comparing.fronts import fronts
from polycal.comparing.level_means import level_means
from polycal.comparing.new_languages import new_languages
from polycal.comparing.paired import Row, average_seeds
from polycal.comparing.released import find_released
from polycal.comparing.replicates import MeasuredRun, Replicates
from polycal.comparing.runs import find_checkpoints
from polycal.comparing.shares import shares
from polycal.comparing.slopes import predictors_of, slopes
from polycal.measuring.measure import CULTURES
from polycal.measuring.resampling import check_confidence
from polycal.storage import tables
from polycal.storage.schemas import ANALYSES
from polycal.study.languages import ALL
from polycal.verb import verb


@verb(makes="{out}/decompositions.parquet")
def analyse(
    *,
    metrics: Path,
    replicates: list[Path],
    runs: Path | None = None,
    confidence: float,
    out: Path,
) -> None:
    """Write the study's means, decompositions, doses and so on, as Parquet and CSV.

    Args:
        metrics: the study's metrics table.
        replicates: replicates tables, one for each run and task.
        runs: the study's runs table, by which checkpoints with another tokenizer than
            their base model's are left out where tokens are counted, and replicates of
            other checkpoints are refused.
        confidence: confidence level of the intervals.
        out: directory to write into.

    Raises:
        InputError: a table is broken, a run's replicates are there twice, or the
            tables are not about the same runs and languages.
    """
    check_confidence(confidence)
    measured = tables.read(metrics, "metrics")
    listed = tables.read(runs, "runs") if runs else tables.SCHEMAS["runs"].empty_table()
    loader = Replicates(measured, replicates, find_checkpoints(listed, metrics))
    predictors, released = predictors_of(measured), find_released(listed)
    rows: dict[str, list[Row]] = {kind: [] for kind in ANALYSES}
    # Conditions of one model and task are compared: the others stay on disk.
    for _, own in groupby(sorted(loader.runs, key=_family), key=_family):
        studies = average_seeds(loader, own)
        for study in studies.values():
            for condition in list(study):
                names = condition.model, condition.sft, condition.normaliser
                if not released.is_comparable(*names):
                    del study[condition]
        study = studies[ALL]
        rows["level_means"] += level_means(study, confidence)
        rows["new_languages"] += new_languages(study, confidence)
        rows["shares"] += shares(study, confidence)
        rows["decompositions"] += decompositions(study, confidence)
        rows["doses"] += doses(study, confidence)
        rows["slopes"] += slopes(study, predictors, confidence)
        rows["fronts"] += fronts(study)
        sensitive, agnostic = (studies[name] for name in CULTURES)
        rows["cultures"] += cultures(sensitive, agnostic, confidence)
    for kind, own in rows.items():
        table = pa.Table.from_pylist(own, tables.SCHEMAS[kind])
        tables.write_study(table, out, kind, confidence=confidence)


def _family(run: MeasuredRun) -> tuple[str, str]:
    return run.model, run.task

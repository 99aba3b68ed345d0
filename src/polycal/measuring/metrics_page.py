"""Every metric as Markdown: the tables of docs/metrics.md, from the records."""

from collections.abc import Iterable, Iterator

from polycal.calibration import METRICS, Metric
from polycal.measuring.side_metrics import SIDE_METRICS
from polycal.verb import verb


@verb()
def show_metrics() -> None:
    """Print the tables of docs/metrics.md: the record of each metric."""
    print("\n".join(_lines()))


def _lines() -> Iterator[str]:
    yield "## Metrics of the answers\n"
    yield from _table(METRICS.values())
    yield "\n## Metrics with intervals\n"
    yield "| metric | bootstrap interval | margin in `statistics` | may carry a claim |"
    yield "|---|---|---|---|"
    for metric in METRICS.values():
        if metric.replicated:
            interval = "down by its bias, too" if metric.biased else "percentiles"
            if metric.first_order:
                interval += ", to first order"
            margin = f"`{metric.margin}`" if metric.margin else "none"
            claim = "yes" if metric.may_carry_claim else "no"
            yield _row(f"`{metric.name}`", interval, margin, claim)
    yield "\n## Beside the probabilities\n"
    yield from _table(SIDE_METRICS.values())


def _table(metrics: Iterable[Metric]) -> Iterator[str]:
    yield "| metric | name | unit | formula | range | best | role | use |"
    yield "|---|---|---|---|---|---|---|---|"
    for metric in metrics:
        yield _row(
            f"`{metric.name}`",
            metric.heading,
            metric.unit,
            metric.formula,
            " to ".join(map(_bound, metric.span)),
            metric.best or "",
            metric.role,
            metric.use,
        )


def _row(*cells: str) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _bound(value: float) -> str:
    return f"{value:g}".replace("inf", "∞")

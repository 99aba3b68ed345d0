"""docs/metrics.md says what the records say."""

import re

from study import REPOSITORY

from polycal.calibration import METRICS
from polycal.measuring.metrics_page import show_metrics
from polycal.measuring.side_metrics import MEASURED, SIDE_METRICS

PAGE = (REPOSITORY / "docs" / "metrics.md").read_text()


def test_the_page_is_what_the_function_prints(capsys):
    """Behind the prose; write it anew with `polycal show-metrics`."""
    show_metrics()
    printed = capsys.readouterr().out
    assert PAGE[PAGE.index("## Metrics of the answers") :] == printed


def test_every_metric_has_a_row_with_a_heading_of_its_own(capsys):
    """In order; those with intervals have a second one."""
    show_metrics()
    rows = re.findall(r"^\| `(\w+)` \|", capsys.readouterr().out, flags=re.MULTILINE)
    replicated = [name for name, metric in METRICS.items() if metric.replicated]
    assert rows == [*METRICS, *replicated, *SIDE_METRICS]
    assert len({metric.heading for metric in MEASURED.values()}) == len(MEASURED)

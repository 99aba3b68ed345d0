"""Who may know whom: the walls of the house."""

import re
import subprocess
import sys

from study import REPOSITORY

SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))


def test_the_package_does_not_know_snakemake():
    """No module below src imports, or speaks to, Snakemake or its wildcards."""
    for source in SOURCES:
        code = source.read_text()
        assert not re.search(r"import snakemake|from snakemake", code), source
        assert not re.search(r"wildcards", code.replace("WILDCARDS", "")), source


def test_the_package_does_not_know_where_results_lie():
    """Paths below results/ and resources/ are the workflow's business.

    But for what a user calls beside a study, which has the folder as its default.
    """
    for source in SOURCES:
        strings = re.findall(r"[\"'](?:results|resources)/\w*", source.read_text())
        assert not strings, source


def test_the_light_side_leaves_torch_unimported():
    """Preparing, measuring, drawing and expanding never load torch."""
    modules = (
        "calibration grid languages planning.plan preparing.checks "
        "preparing.filters preparing.formats preparing.lead_ins preparing.preview "
        "preparing.samples preparing.sft preparing.tasks prompts reporting.captions "
        "reporting.comparisons reporting.figures reporting.report "
        "reporting.tradeoffs statistics.aggregate statistics.claims "
        "statistics.confidence statistics.consistency statistics.contrasts "
        "statistics.decomposition statistics.dose statistics.inference "
        "statistics.measure statistics.pareto statistics.readings "
        "statistics.resampling statistics.slopes statistics.temperature study "
        "tables tables.data_page tuning.recipe tuning.selection"
    )
    imports = ", ".join(f"polycal.{module}" for module in modules.split())
    code = f"import sys, {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_grid_needs_the_standard_library_only():
    """The Snakefile can import it where nothing is installed."""
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r}); "
        "import polycal.grid"
    )
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code])
    assert done.returncode == 0


def test_modules_fit_in_a_head():
    """No module is longer than about 300 lines."""
    for source in SOURCES:
        assert len(source.read_text().splitlines()) <= 320, source

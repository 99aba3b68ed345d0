"""Who may know whom: the walls of the house."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from study import REPOSITORY

PACKAGE = REPOSITORY / "src" / "polycal"

SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))


def test_the_package_does_not_know_snakemake():
    """No module below src imports, or speaks to, Snakemake or its wildcards."""
    for source in SOURCES:
        code = source.read_text()
        assert not re.search(r"import snakemake|from snakemake", code), source
        assert not re.search(r"wildcards", code.replace("WILDCARDS", "")), source


def test_paths_are_spelt_by_the_layout():
    """Nothing else writes `results/...`, or joins a folder of it to a path.

    But for the folders that a flag has as its default, and the shell text of `score`,
    whose change would start finished jobs once more.
    """
    folders = "candidates|checkpoints|checks|examples|metrics|miniature|models|"
    folders += "predictions|reliability|replicates|resources|results|runs|sft|shifts|"
    folders += "store|studies|tasks|timings"
    spelt = re.compile(
        rf"""^[^#]*["'].*\b(?:results|resources)/|/ f?["'](?:{folders})\b(?!\.)"""
    )
    for source in [*SOURCES, *sorted((REPOSITORY / "workflow").rglob("*.smk"))]:
        if source.name != "layout.py":
            text = source.read_text().replace(" --store results/store", "")
            lines = re.sub(r'""".*?"""', "", text, flags=re.DOTALL).splitlines()
            assert not [line for line in lines if spelt.search(line)], source


# Rooms that the data passes, in its order; each imports from those before it.
ROOMS = (
    "study preparing tuning scoring measuring comparing reporting planning miniature"
)
# Rooms below all of them, and what they may import of each other.
BELOW = {
    "storage": set(),
    "calibration": set(),
    "models": {"storage", "study"},
    "study": {"storage"},
}
WITH_TORCH = {"models", "tuning", "scoring", "miniature"}


def imports_of(source: Path) -> set[str]:
    """The rooms that a module imports from, wherever in the module."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, source
            modules = [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        else:
            continue
        for module in modules:
            package, _, rest = module.partition(".")
            room = rest.partition(".")[0]
            if package == "polycal" and room and (PACKAGE / room).is_dir():
                found.add(room)
    return found


def allowed_imports(room: str) -> set[str]:
    """The rooms that a room may import from."""
    if room in BELOW:
        return BELOW[room]
    order = ROOMS.split()
    return {*BELOW, *order[: order.index(room)]}


def test_no_room_imports_against_the_data():
    """Every room imports from rooms before it only; the drawing in docs says so."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == {*ROOMS.split(), *BELOW}
    for room in rooms:
        for source in (PACKAGE / room).glob("*.py"):
            assert imports_of(source) - {room} <= allowed_imports(room), source


@pytest.mark.parametrize("name", ["errors", "verb", "flags", "environment"])
def test_what_every_room_may_import_imports_no_room(name):
    """So that it is below all of them."""
    assert not imports_of(PACKAGE / f"{name}.py")


def test_the_drawing_shows_the_imports():
    """docs/architecture.md: every arrow but those from study and storage."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)$", page, re.MULTILINE))
    imported = {
        (needed, room)
        for room in {*ROOMS.split(), *BELOW}
        for source in (PACKAGE / room).glob("*.py")
        for needed in imports_of(source) - {room, "study", "storage"}
    }
    assert drawn == imported


@pytest.mark.parametrize("room", sorted({*ROOMS.split(), *BELOW} - WITH_TORCH))
def test_rooms_without_torch_leave_it_unimported(room):
    """Every module of the room, in an interpreter of its own."""
    modules = [
        f"polycal.{room}.{path.stem}"
        for path in sorted((PACKAGE / room).glob("*.py"))
        if path.stem != "__init__"
    ]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_workflow_needs_the_standard_library_only_to_expand():
    """What expands a study is quick to import; to read one needs YAML and a schema."""
    modules = [
        "asked",
        "figures",
        "flags",
        "grid",
        "languages",
        "layout",
        "recipe",
        "scorings",
        "stages",
    ]
    imports = ", ".join(f"polycal.study.{name}" for name in modules)
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r}); "
        f"import polycal.environment, {imports}"
    )
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code])
    assert done.returncode == 0


def test_a_study_is_read_without_tables():
    """The workflow does so at every start."""
    modules = [
        f"polycal.study.{path.stem}" for path in (PACKAGE / "study").glob("*.py")
    ]
    code = (
        f"import sys, {', '.join(modules)}; "
        "sys.exit(bool({'pyarrow', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    code = code.replace(".__init__", "")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_workflow_knows_study_and_locks():
    """It imports what expands the study, settings of processes, and a lock."""
    allowed = (
        r"polycal(\.(study|errors)\b| import environment$|\.storage\.files import)"
    )
    rules = sorted((REPOSITORY / "workflow").rglob("*.smk"))
    for source in [REPOSITORY / "Snakefile", *rules]:
        for line in source.read_text().splitlines():
            if re.match(r"\s*(from|import) polycal", line):
                assert re.match(rf"\s*(from|import) {allowed}", line), line


def test_modules_fit_in_a_head():
    """No module is longer than about 300 lines."""
    for source in SOURCES:
        assert len(source.read_text().splitlines()) <= 320, source


def test_the_workflow_imports_nothing_from_a_study_s_folder():
    """Jobs get PYTHONSAFEPATH from the shell's prefix; what Python starts says -P."""
    rules = sorted((REPOSITORY / "workflow").rglob("*.smk"))
    started = [
        line.strip()
        for path in rules
        for line in path.read_text().splitlines()
        if "[sys.executable" in line
    ]
    assert started
    assert [line for line in started if '"-P"' not in line] == []


def test_rules_that_load_models_have_pytorch_under_conda():
    """Models are compared with their configuration where they are prepared, too."""
    rules = sorted((REPOSITORY / "workflow").rglob("*.smk"))
    text = "".join(path.read_text() for path in rules)
    envs = dict(re.findall(r'^rule (\w+):.*?envs/(\w+)\.yaml"', text, re.M | re.S))
    loading = {"make_miniature", "prepare_model", "prepare_released", "tune", "score"}
    assert {name for name, env in envs.items() if env == "gpu"} == loading
    assert "pytorch" in (REPOSITORY / "envs/gpu.yaml").read_text()


def test_jobs_with_pytorch_need_no_more_than_their_environment_has():
    """Their modules, and a recipe, without what envs/cpu.yaml alone has."""
    names = {"babel", "datasets", "jinja2", "jsonschema", "matplotlib", "scipy"}
    names |= {"seaborn", "tabulate"}
    held = (REPOSITORY / "envs/gpu.yaml").read_text()
    absent = sorted(name for name in names if f"- {name}" not in held)
    assert absent == ["jsonschema", "matplotlib", "scipy", "seaborn", "tabulate"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "import polycal.miniature.make, polycal.preparing.released\n"
        "import polycal.scoring.score, polycal.scoring.engine, polycal.tuning.tune\n"
        "from polycal.study.recipe import Recipe; Recipe(lr=1e-5)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

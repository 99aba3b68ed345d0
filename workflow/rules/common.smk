"""
Check the config and name what the study consists of. The only file with functions.
"""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError

SRC = f"{workflow.basedir}/src"
sys.path.insert(0, SRC)  # for the import below, without the package being installed

from polycal import environment
from polycal.errors import InputError
from polycal.storage.files import open_lock, take_lock
from polycal.study import figures, grid, layout, stages
from polycal.study import config as study
from polycal.study.asked import note_trainings
from polycal.study.clock import rewind_future
from polycal.study.flags import cli_flags
from polycal.study.formats import write_out_lead_in
from polycal.study.reading import read_config
from polycal.study.recipe import Recipe, Rendering
from polycal.study.scorings import HEADLINE
from polycal.study.sources import (
    check_local,
    find_stamp,
    list_local,
    note_use,
    stamp_sources,
)


def check_file(path):
    """Stop with one line if a config file cannot be read, or has a key twice."""
    try:
        read_config(path)
    except InputError as error:
        raise WorkflowError(f"Config: {error}") from None


def check_config():
    """Fill in defaults; stop with one line if anything in the config is wrong.

    Returns the study's sources on this machine, and the paths of its repositories.
    """
    if "{" in SRC or "}" in SRC:
        raise WorkflowError(
            f"Snakemake takes braces in {workflow.basedir} for wildcards; move the "
            "checkout to a path without them"
        )
    try:
        config.update(study.complete(config))
    except InputError as error:
        raise WorkflowError(f"Config: {error}") from None
    try:
        os.fsencode(json.dumps(config, ensure_ascii=False))
    except UnicodeEncodeError as error:
        raise WorkflowError(
            f"Config: {ascii(error.object[error.start])} cannot stand in a command "
            f"under {sys.getfilesystemencoding()}; set PYTHONUTF8=1"
        ) from None
    try:
        # A job's own process decides nothing.
        sources = check_local(config) if workflow.is_main_process else []
        paths = {path for _, path, _ in list_local(config)}
    except InputError as error:
        raise WorkflowError(f"Config: {error}") from None
    if not workflow.is_main_process:
        return sources, paths
    folders = [Path(layout.RESOURCES), Path(layout.RESULTS)]
    rewind_future(Path(".snakemake/log"), folders)
    try:
        stamp_sources(sources, Path(layout.SOURCES))
    except InputError as error:
        raise WorkflowError(str(error)) from None
    except OSError as error:
        raise WorkflowError(f"{error.filename}: {error.strerror}") from None
    return sources, paths


def hold_directory():
    """Let one workflow at a time work in a directory.

    Snakemake's own lock outlives a killed process and then asks for --unlock; this
    one is the kernel's, and goes with the process. The profiles turn the other off.
    It is taken when a run starts, so a dry run neither waits nor holds anybody off.
    """
    os.makedirs(".snakemake", exist_ok=True)
    try:
        lock = open_lock(Path(".snakemake/polycal.lock"))
    except OSError as error:
        raise WorkflowError(f"{error.filename}: {error.strerror}; delete it") from None
    if not take_lock(lock):
        raise WorkflowError(
            f"Another snakemake is at work in {os.getcwd()}; wait for it or stop it."
        )
    return lock


def look_when_jobs_end():
    """Let Snakemake look for jobs to start when one ends, and at no other time.

    Because it limits the jobs that it starts per second, it looks again a second after
    every look, so that each job that ends adds one more look a second for good: after
    100 jobs its own process takes a third of a core. On one machine the limit is of no
    use.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def note_study():
    """Write down what the study uses: its sources, and its trainings for `end_study`."""
    conditions = {
        (run.model, run.sft, run.smoothing) for run in grid.expand_trained(config)
    }
    asked = [
        path
        for model, sft, smoothing in conditions
        for path in grid.candidate_paths(config, model, sft, smoothing)
    ]
    try:
        note_use(SOURCES, Path(layout.SOURCES))
        note_trainings(Path(layout.STUDIES), config["study"], asked)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def end_study():
    """Remove left-overs, and say where the report is, if there is one."""
    # What it cannot remove it names; the results are complete all the same.
    run_module = [sys.executable, "-P", "-m", "polycal", "remove_leftovers"]
    subprocess.run(run_module, env={**os.environ, "PYTHONPATH": SRC})
    page = os.path.abspath(layout.PAGE)
    if os.path.exists(page):
        print(f"The report is {page}")
    else:
        print("There is no report yet; `polycal status` tells how far the study is.")


def check_gpus():
    """Stop where a job could not have the nodes and GPUs that its model needs.

    Snakemake would give it as many as --resources names, and start it with too few.
    """
    limit = workflow.global_resources.get("gpu")
    limit = getattr(limit, "value", limit)  # older Snakemake has plain numbers
    for model in config["models"]:
        if model["nodes"] > 1 and workflow.executor_plugin.name != "slurm":
            raise WorkflowError(
                f"Config: models.{model['name']}.nodes is {model['nodes']}, but only "
                "SLURM is asked for several; add --workflow-profile profiles/slurm, or "
                "set nodes to 1"
            )
        if limit is not None and model["gpus"] > limit:
            raise WorkflowError(
                f"Config: models.{model['name']}.gpus is {model['gpus']}, but all jobs "
                f"together may hold {limit}; add --resources gpu={model['gpus']}"
            )


def find_tools():
    """Lines that every job's shell begins with.

    The prefix replaces Snakemake's default, so strict mode is repeated. The package
    comes from this checkout; python from the environment that runs Snakemake, except
    where Snakemake itself deploys one. What the user has set in the environment wins.
    """
    lines = ["set -euo pipefail", f"export PYTHONPATH={quote(SRC)}"]
    # Rules redirect standard error into a log, whose disk may be full.
    lines.append(f"exec 9>&2; export {environment.TERMINAL}=9")
    if not workflow.deployment_settings.deployment_method:
        lines.append(f'export PATH={quote(os.path.dirname(sys.executable))}:"$PATH"')
    settings = environment.missing(os.environ, environment.EVERYWHERE)
    for name, value in settings.items():
        lines.append(f"export {name}={quote(value)}")
    return "; ".join(lines) + "; "


def get_task(wildcards):
    """The config's entry of a task."""
    return grid.entry(config["tasks"], wildcards.task)


def get_source(wildcards):
    """How a task's repository is read: `--format`, and `--name` of the language."""
    task = get_task(wildcards)
    name = task["configs"].get(wildcards.language)
    settings = {
        "format": write_out_lead_in(task["format"], wildcards.language),
        "max_dropped": task.get("max_dropped"),
        "name": name,
    }
    return cli_flags(settings)


def get_checkpoint(wildcards):
    """The directory that a run is scored from."""
    if wildcards.sft == grid.BASE:
        return layout.MODEL.format(**wildcards)
    if grid.is_released(grid.entry(config["sft"], wildcards.sft)):
        return layout.RELEASED.format(**wildcards)
    return layout.RUN.format(**wildcards)


def get_candidates(wildcards):
    """All candidates of a run's (model, sft, smoothing), over rates and seeds.

    Where smoothing values share their rate, those of smoothing 0 come with them.
    """
    shared = config["recipe"]["select"] == "shared"
    smoothings = {wildcards.smoothing, "0"} if shared else {wildcards.smoothing}
    return [
        f"{layout.CANDIDATES}/{path}"
        for smoothing in sorted(smoothings)
        for path in grid.candidate_paths(
            config, wildcards.model, wildcards.sft, smoothing
        )
    ]


def get_tuned():
    """The directories of all runs that the study trains."""
    return [layout.RUN.format_map(vars(run)) for run in grid.expand_trained(config)]


def get_released():
    """The directories of all released checkpoints."""
    runs = grid.expand_released(config)
    return [layout.RELEASED.format_map(vars(run)) for run in runs]


def get_questions(wildcards):
    """The question files of the languages that one scoring job holds."""
    return [
        layout.QUESTIONS.format(task=wildcards.task, language=language)
        for language in wildcards.languages.split("+")
    ]


def get_reference(wildcards):
    """The questions of the language in which a part of a task's is chosen, if any."""
    language = grid.reference_language(get_task(wildcards))
    if language is None:
        return []
    return [layout.QUESTIONS.format(task=wildcards.task, language=language)]


def get_asked(wildcards):
    """How a task's questions are written, and which of them are asked."""
    task = get_task(wildcards)
    settings = {key: task[key] for key in ("prompt", "shots", "shots_as")}
    if task["max_questions"] is not None:
        settings["max_questions"] = task["max_questions"]
        settings["question_seed"] = config["question_seed"]
        settings["reference"] = next(iter(get_reference(wildcards)), None)
    return cli_flags(settings)


def list_predictions(run, task):
    """The predictions files of a run on a task.

    `run` holds the wildcards of a run, `task` is the config's entry.
    """

    def spell(languages):
        return layout.PREDICTIONS.format(languages=languages, task=task["name"], **run)

    existing = Path(spell("")).parent.glob("[!.]*.parquet")
    names = grid.batch_languages(
        task["languages"],
        [path.stem for path in existing],
        config["languages_per_job"],
        grid.count_room(run, task["name"]),
    )
    return [spell(name) for name in names]


def get_predictions(wildcards):
    """The predictions that are measured together: all languages of a run and task."""
    run = {name: wildcards[name] for name in ("model", "sft", "smoothing", "seed")}
    return list_predictions(run, get_task(wildcards))


def get_compared_predictions(wildcards):
    """Predictions of a base model and of its runs with one SFT set."""
    runs = [
        run
        for run in grid.expand_runs(config)
        if run.model == wildcards.model and run.sft in (grid.BASE, wildcards.sft)
    ]
    task = get_task(wildcards)
    return [path for run in runs for path in list_predictions(vars(run), task)]


def get_task_questions(wildcards):
    """The question files of all languages of a task."""
    return [
        layout.QUESTIONS.format(task=wildcards.task, language=language)
        for language in get_task(wildcards)["languages"]
    ]


def get_conversations(wildcards):
    """The conversations of an SFT set; none if others trained on it."""
    sft = grid.entry(config["sft"], wildcards.sft)
    return [] if grid.is_released(sft) else [layout.SFT.format(**wildcards)]


def list_compared(pattern):
    """A pattern's files of each model, SFT set and task."""
    runs = (run for run in grid.expand_runs(config) if run.sft != grid.BASE)
    tuned = dict.fromkeys((run.model, run.sft) for run in runs)
    return [
        pattern.format(model=model, sft=sft, task=task["name"])
        for model, sft in tuned
        for task in config["tasks"]
    ]


def get_all_predictions():
    """The study's predictions."""
    return [
        path
        for run in grid.expand_runs(config)
        for task in config["tasks"]
        for path in list_predictions(vars(run), task)
    ]


def get_pairing(wildcards):
    """The task whose replicates a task shares, because it asks the same questions."""
    first = grid.same_questions(config["tasks"]).get(wildcards.task)
    return cli_flags({"resampled_as": first})


def list_same_questions():
    """TASK=FIRST for each task that asks an earlier one's questions in another way."""
    same = grid.same_questions(config["tasks"])
    return [f"{task}={first}" for task, first in same.items()]


def list_stages():
    """SFT=EARLIER for each entry of `sft` that was tuned from another one's."""
    return [f"{sft}={earlier}" for sft, earlier in grid.list_stages(config).items()]


def get_measured(kind):
    """What is measured of each run and task: one file of a kind (metrics, ...)."""
    return [
        layout.MEASURED.format(kind=kind, task=task["name"], **vars(run))
        for run in grid.expand_runs(config)
        for task in config["tasks"]
    ]


def get_statistics(**keys):
    """The flags of the config's statistics: `--confidence` and some more by key."""
    chosen = {"confidence": "confidence", **keys}
    return cli_flags({flag: config["statistics"][key] for flag, key in chosen.items()})


def list_shown(pattern, **names):
    """A pattern's files of each task under each scoring's headline normaliser."""
    return [
        pattern.format(
            task=task["name"], scoring=scoring, normaliser=HEADLINE[scoring], **names
        )
        for task in config["tasks"]
        for scoring in config["scoring"]
    ]


def draw_outputs(suffix):
    """The figures that one job draws, in one format."""
    return expand(
        layout.FIGURE, figure=figures.FIGURES, suffix=suffix, allow_missing=True
    )


def get_figures():
    """The figures of the report."""
    return [
        path
        for figure in figures.FIGURES
        for path in list_shown(layout.FIGURE, figure=figure, suffix="svg")
    ]


def get_tables():
    """One of the tables for a paper of each task and scoring; the others come along."""
    return list_shown(layout.PAPER_TABLE, table="claims", suffix="csv")


def get_gpus(wildcards):
    """GPUs that a job of a model asks for, on each of its nodes."""
    return grid.entry(config["models"], wildcards.model)["gpus"]


def get_all_gpus(wildcards):
    """GPUs that a training holds on all its nodes."""
    return grid.count_gpus(grid.entry(config["models"], wildcards.model))


def get_nodes(wildcards):
    """Machines that a training of a model works on."""
    return grid.entry(config["models"], wildcards.model)["nodes"]


def get_memory(wildcards):
    """Main memory that a job of a model asks for, in MB."""
    return grid.entry(config["models"], wildcards.model)["mem_mb"]


def get_runtime(rule):
    """Minutes that a rule's job of a model asks for; more when it is tried again."""

    def minutes(wildcards, attempt):
        return attempt * grid.entry(config["models"], wildcards.model)["runtime"][rule]

    return minutes


def get_processes(wildcards):
    """Processes of a training on each node: one for each GPU, and one on the CPU."""
    return max(1, get_gpus(wildcards))


def ask_for_nodes():
    """Resources that let a training begin on every one of its nodes.

    Where there are several, SLURM's plugin leaves it to the rule to call srun ("mpi").
    A resource of None is not asked for.
    """

    def where_several(value):
        return lambda wildcards: value(wildcards) if get_nodes(wildcards) > 1 else None

    return {
        "nodes": where_several(get_nodes),
        "tasks": where_several(get_nodes),
        "tasks_per_gpu": where_several(lambda wildcards: 0),
        "gres": where_several(lambda wildcards: f"gpu:{get_gpus(wildcards)}"),
        "mpi": where_several(lambda wildcards: "srun"),
    }


def get_launcher(wildcards):
    """What a training's command begins with: `env`, or srun for one on each node."""
    nodes = get_nodes(wildcards)
    # A node that fails ends the others, one that is done waits for them. A step has
    # the job's cores only if it asks for them.
    cores = "--cpus-per-task=${SLURM_CPUS_PER_TASK:-1} --cpu-bind=none"
    once = f"--ntasks={nodes} --ntasks-per-node=1 --kill-on-bad-exit=1 --wait=0"
    return f"srun {once} {cores}" if nodes > 1 else "env"


def get_repo(section, name):
    """A config entry's `--repo` and `--revision` flags."""

    def flags(wildcards):
        found = grid.entry(config[section], wildcards[name])
        return cli_flags({key: found.get(key) for key in ("repo", "revision")})

    return flags


def get_released_repo(wildcards):
    """The `--repo` and `--revision` flags of a released checkpoint."""
    found = grid.get_checkpoint(config, wildcards.model, wildcards.sft)
    return cli_flags({key: found[key] for key in ("repo", "revision")})


def get_sft_rows(wildcards):
    """The flags that say which rows of an SFT set are read, and how."""
    found = grid.entry(config["sft"], wildcards.sft)
    optional = {key: found.get(key) for key in ("max_dropped", "roles")}
    keys = ("filter", "format", "max_examples")
    return cli_flags({**optional, **{key: found[key] for key in keys}})


def get_settings(kind, **changes):
    """The flags of the recipe's part that a dataclass of polycal.study.recipe holds."""
    recipe = {field.name: config["recipe"][field.name] for field in fields(kind)}
    return cli_flags({**recipe, **changes})


def follow_source(repo, part=""):
    """What stands for a `repo` of the config, or a language of it, on this machine.

    Its stamp once it has changed, else the source, whose time does not count. What the
    workflow makes itself is an output of another rule.
    """
    paths = grid.local_path(repo)
    if LOCAL.isdisjoint(map(Path, paths)):
        return paths
    return [find_stamp(path, part) or ancient(path) for path in paths]


def get_local_repo(section, name):
    """The source of a model or an SFT set, if it is on this machine."""
    return lambda wildcards: follow_source(
        grid.entry(config[section], wildcards[name])["repo"]
    )


def get_local_language(wildcards):
    """The source of a language of a task, if it is on this machine."""
    task = get_task(wildcards)
    name = task["configs"].get(wildcards.language, wildcards.language)
    return follow_source(task["repo"], name)


def get_local_checkpoint(wildcards):
    """The source of a released checkpoint, if it is on this machine."""
    found = grid.get_checkpoint(config, wildcards.model, wildcards.sft)
    return follow_source(found["repo"])


# Before Snakemake, which has only a traceback for another encoding than UTF-8.
for path in dict.fromkeys(workflow.configfiles) or ["config.yaml"]:
    if os.path.exists(path):
        check_file(Path(path))
if not workflow.config_settings.configfiles:

    configfile: "config.yaml"


SOURCES, LOCAL = check_config()
shell.prefix(find_tools())


wildcard_constraints:
    **layout.WILDCARDS,

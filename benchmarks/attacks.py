"""The kinds of attack of benchmarks/faults.py: what is damaged, and what then runs."""

import itertools
import json
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from faults import (
    CANDIDATE,
    CHECK,
    CHECKPOINTS,
    EXAMPLES,
    MODEL,
    QUESTIONS,
    REPOSITORY,
    RUN,
    STEPS,
    Trial,
    in_process,
    remove,
)
from safetensors.numpy import load_file, save_file
from study import small_study

from polycal.study.config import load_study

Attack = Callable[[Trial], None]
SOURCE = "source/model"
# A file of the study, and the step that reads it first.
READ_BY = {
    "base weights": (f"{MODEL}/model.safetensors", "score none"),
    "base configuration": (f"{MODEL}/config.json", "score none"),
    "base tokenizer": (f"{MODEL}/tokenizer.json", "score none"),
    "base provenance": (f"{MODEL}/provenance.json", "score none"),
    "conversations": ("resources/sft/toy.parquet", "tokenize"),
    "examples": (f"{EXAMPLES}/examples.arrow", "tune"),
    "examples' provenance": (f"{EXAMPLES}/provenance.json", "tune"),
    "candidate's weights": (f"{CANDIDATE}/model.safetensors", "select"),
    "candidate's log": (f"{CANDIDATE}/training_log.parquet", "select"),
    "run's weights": (f"{RUN}/model.safetensors", "score toy"),
    "run's provenance": (f"{RUN}/provenance.json", "list_runs"),
    "selection": (f"{RUN}/selection.json", "list_runs"),
    "recipe": (f"{RUN}/recipe.json", "list_runs"),
    "questions": (QUESTIONS[0], "check_task"),
    "check": (CHECK, "measure toy"),
    "predictions": ("results/predictions/toy.parquet", "measure toy"),
    "metrics": ("results/metrics/toy.parquet", "aggregate"),
    "reliability": ("results/reliability/toy.parquet", "aggregate"),
    "replicates": ("results/replicates/toy.parquet", "contrast"),
    "list of runs": ("results/runs.parquet", "contrast"),
    "study's metrics": ("results/metrics.parquet", "contrast"),
}


def flip_bit(trial: Trial, path: str) -> None:
    content = bytearray(Path(path).read_bytes())
    content[trial.chance.randrange(len(content))] ^= 1 << trial.chance.randrange(8)
    trial.change(path, bytes(content))


def truncate(trial: Trial, path: str) -> None:
    content = Path(path).read_bytes()
    trial.change(path, content[: trial.chance.randrange(len(content))])


def take_away(trial: Trial, path: str) -> None:
    remove(path)
    trial.touched.append(path)


def read_damaged(trial: Trial, name: str, damage: Callable) -> None:
    path, step = READ_BY[name]
    damage(trial, path)
    trial.again(step)


def read_damaged_store(trial: Trial) -> None:
    """The scores of a language that a killed job had finished."""
    path = trial.chance.choice(sorted(Path("results/store/toy").glob("*.parquet")))
    flip_bit(trial, str(path))
    remove("results/predictions/toy.parquet")
    trial.run("score toy")


def swap(trial: Trial, path: str, other: str, step: str) -> None:
    """A file of the same kind is put in a file's place."""
    trial.change(path, Path(other).read_bytes())
    trial.refused(step)


def edit_json(trial: Trial, path: str, step: str, **changes: object) -> None:
    """A user's edit, with which nothing else agrees."""
    facts = json.loads(Path(path).read_text()) | changes
    trial.change(path, json.dumps(facts).encode())
    trial.refused(step)


def cut_check(trial: Trial) -> None:
    """A check without a random one of its keys."""
    facts = json.loads(Path(CHECK).read_text())
    del facts[trial.chance.choice(sorted(facts))]
    trial.change(CHECK, json.dumps(facts).encode())
    trial.again("measure toy")


# What is written beside other people's files.


def write_over(trial: Trial, step: str, out: str) -> None:
    """`--out` names something that polycal did not make."""
    trial.add(f"{out}/mine.txt")
    if trial.run(step, "--out", out) is None:
        trial.taken.append(f"{step} --out {out}")
    trial.touched.clear()


def keep_partial(trial: Trial, name: str) -> None:
    """A hidden file looks like a temporary one of the same result."""
    trial.add(f"resources/sft/{name}")
    trial.again("prepare_sft")


def link_lock(trial: Trial) -> None:
    target = trial.add("source/mine.txt", "a line that a lock would empty")
    Path("results/.runs.parquet.lock").symlink_to(target.resolve())
    trial.again("list_runs")


def pipe_lock(trial: Trial) -> None:
    """Opening a FIFO waits for a writer."""
    os.mkfifo("results/.runs.parquet.lock")
    trial.again("list_runs")


def link_output(trial: Trial) -> None:
    """The result's name is a symbolic link to a user's file."""
    target = trial.add("source/mine.txt")
    remove("results/runs.parquet")
    Path("results/runs.parquet").symlink_to(target.resolve())
    trial.run("list_runs")
    remove("results/runs.parquet") if trial.touched else None


# Base models of others.


def prepare(trial: Trial, **config: object) -> None:
    """A base model whose configuration says something else than its weights."""
    path = Path(SOURCE, "config.json")
    facts = json.loads(path.read_text()) | config
    trial.change(path, json.dumps(facts).encode())
    trial.refused("prepare_model")


def prepare_old(trial: Trial, **config: object) -> None:
    """A base model with keys of before transformers 5, which are read as the new."""
    path = Path(SOURCE, "config.json")
    facts = json.loads(path.read_text())
    facts = {key: facts[key] for key in facts if not key.startswith("rope_")}
    trial.change(path, json.dumps(facts | config).encode())
    trial.refused("prepare_model")


def prepare_weights(trial: Trial, change: Callable[[dict], object]) -> None:
    """A base model whose weights are not those of its configuration."""
    path = Path(SOURCE, "model.safetensors")
    weights = dict(load_file(path))
    change(trial, weights)
    path.unlink()
    save_file(weights, path, metadata={"format": "pt"})
    trial.touched.append(str(path))
    trial.refused("prepare_model")


def drop_weight(trial: Trial, weights: dict) -> None:
    del weights[trial.chance.choice(sorted(set(weights) - {"lm_head.weight"}))]


def add_weight(trial: Trial, weights: dict) -> None:
    weights["score.weight"] = weights["model.norm.weight"].copy()


def cut_weight(trial: Trial, weights: dict) -> None:
    name = trial.chance.choice(sorted(weights))
    weights[name] = weights[name][1:].copy()


def prepare_text(trial: Trial, name: str, content: str) -> None:
    """A base model with another file of text."""
    trial.change(f"{SOURCE}/{name}", content.encode())
    trial.refused("prepare_model")


def prepare_pickle(trial: Trial) -> None:
    """Pickled weights that run a command."""
    remove(f"{SOURCE}/model.safetensors")
    trial.touched.append(f"{SOURCE}/model.safetensors")
    trial.add(f"{SOURCE}/pytorch_model.bin", pickle.dumps(_Command("touch attacked")))
    trial.refused("prepare_model")
    check_not_attacked(trial)


class _Command:
    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> tuple:
        return os.system, (self.text,)


def prepare_code(trial: Trial) -> None:
    """A configuration that names Python code in the repository."""
    trial.add(f"{SOURCE}/code.py", "import os; os.system('touch attacked')")
    names = {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}
    prepare(trial, model_type="attacked", auto_map=names)
    check_not_attacked(trial)


def check_not_attacked(trial: Trial) -> None:
    if Path("attacked").exists():
        trial.taken.append("code was run")


def index_outside(trial: Trial) -> None:
    """A weight index that leads out of the repository."""
    content = Path(SOURCE, "model.safetensors").read_bytes()
    remove(f"{SOURCE}/model.safetensors")
    trial.touched.append(f"{SOURCE}/model.safetensors")
    trial.add("source/outside.safetensors", content)
    index = {"weight_map": {"lm_head.weight": "../outside.safetensors"}}
    trial.add(f"{SOURCE}/model.safetensors.index.json", json.dumps(index))
    trial.refused("prepare_model")
    if Path("resources/models/outside.safetensors").exists():
        trial.taken.append("a file outside")


def readme_outside(trial: Trial) -> None:
    """A benchmark whose README.md names files outside."""
    text = Path("source/task/README.md").read_text()
    place = trial.chance.choice(["../secret/*", "/etc/*"])
    text = re.sub("path: .*", f"path: '{place}'", text)
    trial.change("source/task/README.md", text.encode())
    trial.refused("prepare_task de")


# Data sets and templates of others.


def render(trial: Trial, template: str) -> None:
    """A chat template that does not do what templates do."""
    path = f"{MODEL}/chat_template.jinja"
    trial.change(path, template.encode())
    trial.refused("tokenize")
    check_not_attacked(trial)


def write_rows(trial: Trial, content: bytes) -> None:
    """An SFT set with a row that is none."""
    path = Path("source/sft/train.jsonl")
    trial.change(path, content)
    trial.refused("prepare_sft")


def cut_rows(trial: Trial) -> None:
    """An SFT set whose download was interrupted within a row."""
    content = Path("source/sft/train.jsonl").read_bytes()
    trial.change("source/sft/train.jsonl", content[: trial.chance.randrange(100, 900)])
    if trial.again("prepare_sft") is None:
        trial.touched += STEPS["prepare_sft"][1]  # cut between two rows


# Settings.


def read_study_file(trial: Trial, change: Callable[[str], str | bytes]) -> None:
    """A study's file that means nothing."""
    text = json.dumps(small_study(), indent=1)
    content = change(text)
    path = trial.add("study.yaml", content)
    if trial.call(lambda: load_study(path)) is None:
        trial.taken.append(f"study: {content[:80]!r}")
    check_not_attacked(trial)


def _setting(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


STUDIES: dict[str, Callable[[str], str | bytes]] = {
    "NaN margin": _setting('"seeds"', '"statistics": {"margin": .nan}, "seeds"'),
    "infinite epochs": _setting('"max_steps": 2', '"epochs": .inf'),
    "endless steps": _setting('"max_steps": 2', '"max_steps": 1' + 30 * "0"),
    "endless replicates": _setting(
        '"seeds"', '"statistics": {"replicates": 1000000000000}, "seeds"'
    ),
    "NaN learning rate": _setting("0.001", ".nan"),
    "a key twice": _setting('"seeds"', '"smoothing": [0.2], "seeds"'),
    "a line break in a name": _setting('"alpaca-en"', '"alpaca-en\\n"'),
    "NUL in a name": _setting('"alpaca-en"', '"alpaca\\0en"'),
    "a path in a name": _setting('"alpaca-en"', '"../../alpaca"'),
    "a name of 300 letters": _setting('"alpaca-en"', '"' + 300 * "a" + '"'),
    "not UTF-8": lambda text: text.encode().replace(b"small", b"sm\xe4ll"),
    "not a mapping": lambda text: f"[{text}]",
    "a Python object": lambda text: "!!python/object/apply:os.system [touch attacked]",
    "a YAML bomb": lambda text: (
        "a: &a [1]\n"
        + "".join(
            f"{name}: &{name} [{', '.join(9 * [f'*{before}'])}]\n"
            for before, name in itertools.pairwise("abcdefghij")
        )
    ),
}


def run_with(trial: Trial, step: str, *flags: str) -> None:
    """A flag that means nothing."""
    trial.refused(step, *flags)


# Disturbances.


def measure_seconds(trial: Trial, step: str) -> float:
    """Return how long an undisturbed step takes here."""
    begin = time.monotonic()
    in_process(lambda: trial.again(step))
    return time.monotonic() - begin


def kill(trial: Trial, step: str) -> None:
    """Kill -9 at a random moment, as when memory runs out; then again."""
    seconds = measure_seconds(trial, step)
    body = partial(trial.again, step)
    in_process(body, kill_after=trial.chance.uniform(0, seconds))
    trial.run(step)


def fill_disk(trial: Trial, step: str) -> None:
    """No file can grow beyond a random size, as on a disk that is nearly full."""
    limit = int(10 ** trial.chance.uniform(2, 5))

    def body() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        trial.again(step)

    status, _ = in_process(body)
    if status:
        raise RuntimeError(f"no line on a disk that is full after {limit} bytes")
    trial.run(step)


def run_twice(trial: Trial, step: str) -> None:
    """The same job, of two workflows."""
    if not (process := os.fork()):
        code = 1
        try:
            code = int(trial.again(step) is not None)
        finally:
            os._exit(code)
    time.sleep(trial.chance.uniform(0, 0.3))
    trial.run(step)
    os.waitpid(process, 0)


def set_clock(trial: Trial, step: str) -> None:
    """Files of a clock that was a day off, in either direction."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    for path in trial.chance.sample(files, len(files) // 3):
        moment = time.time() + trial.chance.choice([-86400, 86400])
        os.utime(path, (moment, moment))
    trial.again(step)


def terminate(trial: Trial) -> None:
    """SIGTERM to a training, as SLURM sends it; then again."""
    remove(CANDIDATE)
    process = os.fork()
    if not process:
        try:
            trial.run("tune")
        finally:
            os._exit(0)
    time.sleep(trial.chance.uniform(0, 2))
    os.kill(process, signal.SIGTERM)
    os.waitpid(process, 0)
    trial.run("tune")


def resume(trial: Trial, damage: Callable[[Trial, Path], None] | None) -> None:
    """A training goes on from a checkpoint that changed in the meantime."""
    shutil.copytree("half/checkpoints", CHECKPOINTS)
    files = [path for path in Path(CHECKPOINTS).rglob("*") if path.is_file()]
    optimizer = [path for path in files if path.name.startswith("optimizer")]
    if damage is remove_file:
        damage(trial, trial.chance.choice(optimizer))
    elif damage:
        damage(trial, str(trial.chance.choice(files)))
    trial.touched.clear()
    trial.again("tune")


def remove_file(trial: Trial, path: Path) -> None:
    path.unlink()


def shadow(trial: Trial) -> None:
    """A study's folder has Python files with the names of libraries."""
    for name in ("pyarrow", "statistics", "yaml"):
        trial.add(f"{name}.py", "open('attacked', 'w')")
    command = [sys.executable, "-m", "polycal", *STEPS["check_task"][0].split()]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    environment["PYTHONSAFEPATH"] = "1"  # as the workflow's shell sets it
    remove(CHECK)
    subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL)
    # It asks git for the commit anew, and the checkout may have changed meanwhile.
    if Path(CHECK).exists():
        trial.touched.append(CHECK)
    check_not_attacked(trial)


ATTACKS: dict[str, Attack] = {
    **{
        f"{verb}: {name}": partial(read_damaged, name=name, damage=damage)
        for name in READ_BY
        for verb, damage in (("flipped bit", flip_bit), ("cut off", truncate))
    },
    "flipped bit: stored scores": read_damaged_store,
    "other run's predictions": partial(
        swap,
        path="results/predictions/toy.parquet",
        other="results/predictions/none.parquet",
        step="measure toy",
    ),
    "other run's metrics": partial(
        swap,
        path="results/metrics/toy.parquet",
        other="results/metrics/none.parquet",
        step="aggregate",
    ),
    "other run's replicates": partial(
        swap,
        path="results/replicates/toy.parquet",
        other="results/replicates/none.parquet",
        step="contrast",
    ),
    "other language's questions": partial(
        swap, path=QUESTIONS[0], other=QUESTIONS[1], step="check_task"
    ),
    "table of another kind": partial(
        swap,
        path="results/metrics/toy.parquet",
        other="results/reliability/toy.parquet",
        step="aggregate",
    ),
    "edited selection": partial(
        edit_json, path=f"{RUN}/selection.json", step="list_runs", lr=0.5
    ),
    "edited check": partial(edit_json, path=CHECK, step="measure toy", policy="own"),
    "check without a key": cut_check,
    "a file over a folder": partial(write_over, step="list_runs", out="results"),
    "a folder over a user's": partial(write_over, step="prepare_model", out="mine"),
    "a run over a user's": partial(write_over, step="select", out="mine"),
    "another host's temporary file": partial(
        keep_partial, name=".toy.parquet.node17.1.partial"
    ),
    "a user's .backup.partial": partial(
        keep_partial, name=".toy.parquet.backup.partial"
    ),
    "a lock that is a link": link_lock,
    "a lock that is a pipe": pipe_lock,
    "a result that is a link": link_output,
    "no base model": partial(read_damaged, name="base weights", damage=take_away),
    "no questions": partial(read_damaged, name="questions", damage=take_away),
    "no predictions": partial(read_damaged, name="predictions", damage=take_away),
    "no check": partial(read_damaged, name="check", damage=take_away),
    "no log of a candidate": partial(
        read_damaged, name="candidate's log", damage=take_away
    ),
    "weights missing": partial(prepare_weights, change=drop_weight),
    "weights superfluous": partial(prepare_weights, change=add_weight),
    "weights of another shape": partial(prepare_weights, change=cut_weight),
    "vocabulary too small": partial(prepare, vocab_size=100),
    "unknown activation": partial(prepare, hidden_act="gelo"),
    "no heads": partial(prepare, num_attention_heads=0),
    "RoPE without a factor": partial(prepare, rope_parameters={"rope_type": "linear"}),
    "rope_scaling without a factor": partial(
        prepare_old, rope_scaling={"type": "linear"}
    ),
    "GPTQ without its package": partial(
        prepare, quantization_config={"quant_method": "gptq", "bits": 4}
    ),
    "an encoder": partial(prepare, model_type="bert", is_decoder=False),
    "empty tokenizer.json": partial(prepare_text, name="tokenizer.json", content="{}"),
    "config.json is a list": partial(prepare_text, name="config.json", content="[]"),
    "pickled weights": prepare_pickle,
    "code in a repository": prepare_code,
    "an index that leads outside": index_outside,
    "a README that leads outside": readme_outside,
    "a template without end": partial(
        render,
        template="{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
        "{% endfor %}",
    ),
    "a template of a huge text": partial(render, template="{{ 'x' * 10000000000 }}"),
    "a template that wants out": partial(
        render,
        template="{{ ''.__class__.__mro__[1].__subclasses__() }}"
        "{{ cycler.__init__.__globals__.os.system('touch attacked') }}",
    ),
    "a row that is no object": partial(write_rows, content=b'[1, 2]\n"a"\n'),
    "a row nested 100000 deep": partial(write_rows, content=b"[" * 100_000),
    "a row that is not UTF-8": partial(write_rows, content=b'{"messages": "\xff"}\n'),
    "rows cut off": cut_rows,
    **{
        f"study: {name}": partial(read_study_file, change=change)
        for name, change in STUDIES.items()
    },
    **{
        f"{step.split()[0]} {' '.join(flags)}": partial(
            lambda trial, step, flags: run_with(trial, step, *flags),
            step=step,
            flags=flags,
        )
        for step, flags in (
            ("tune", ("--lr", "nan")),
            ("tune", ("--smoothing", "nan")),
            ("tune", ("--epochs", "inf")),
            ("tune", ("--seed", "-1")),
            ("tune", ("--max-steps", "1" + 30 * "0")),
            ("measure toy", ("--n-replicates", "0")),
            ("measure toy", ("--confidence", "nan")),
            ("contrast", ("--margin", "nan")),
            ("contrast", ("--confidence", "1")),
        )
    },
    **{
        f"{name}: {step}": partial(disturb, step=step)
        for name, disturb, steps in (
            ("kill -9", kill, ("prepare_sft", "tune", "score toy", "measure toy")),
            ("full disk", fill_disk, ("prepare_model", "tune", "score toy")),
            ("full disk", fill_disk, ("measure toy", "aggregate")),
            ("two at once", run_twice, ("select", "measure toy", "aggregate")),
            ("clock a day off", set_clock, ("tokenize", "aggregate")),
        )
        for step in steps
    },
    "SIGTERM: tune": terminate,
    "checkpoint as it was": partial(resume, damage=None),
    "flipped bit: checkpoint": partial(resume, damage=flip_bit),
    "cut off: checkpoint": partial(resume, damage=truncate),
    "a checkpoint without optimizer": partial(resume, damage=remove_file),
    "Python files in the folder": shadow,
}

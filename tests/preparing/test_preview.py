"""What `show_prompt` prints is what the engine gives to the model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from repositories import make_repository, mmlu_prox_row
from study import small_study, write_config
from tiny import CHAT_TEMPLATE
from toys import (
    make_model,
    make_swallowing_tokenizer,
    make_tokenizer,
    save_checkpoint,
)

from polycal.errors import InputError
from polycal.models.tokens import to_ids
from polycal.preparing import hub
from polycal.preparing.preview import show_prompt

DEV = [mmlu_prox_row(number, category="math") for number in range(2)]
DEV += [mmlu_prox_row(number) for number in range(2, 5)]
TEST = [mmlu_prox_row(70), mmlu_prox_row(71, options=("uno", "dos"))]
BLOCK = "Question {}?\nA. one\nB. two\nC. three\nJibu:"


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    """A study whose only files are a model and a benchmark's Swahili."""
    model = make_model(max_position_embeddings=400)
    save_checkpoint(tmp_path / "model", model, make_tokenizer())
    make_repository(tmp_path / "prox", "mmlu_prox", TEST, DEV)
    asked = small_study()
    asked["models"][0]["repo"] = "./model"
    asked["tasks"][1] |= {"repo": "./prox", "languages": ["sw"], "shots": 2}
    monkeypatch.chdir(tmp_path)
    return write_config(tmp_path, asked)


def show(capsys, config: Path, **options: object) -> tuple[str, list[str]]:
    """The context that is printed, and the lines around it."""
    show_prompt(config=config, task="mmlu_prox", language="sw", **options)
    before, context, after = capsys.readouterr().out.split("\n--------\n")
    return context, [*before.splitlines(), *after.splitlines()]


def test_the_prompt_is_printed_as_the_model_sees_it(config, capsys):
    """BOS, the task's own shots of the same subject, and the language's lead-in."""
    context, lines = show(capsys, config, scoring="letters")
    shots = "".join(BLOCK.format(number) + " B\n\n" for number in (2, 3))
    assert context == "<s>" + shots + BLOCK.format(70)
    (encoded,) = to_ids(make_tokenizer(), [context])
    assert lines[:2] == [
        "mmlu_prox, sw, question 70, letters, shots: 2, as miniature sees it",
        f"context: {len(encoded)} tokens",
    ]
    assert [line[:8] for line in lines[3:]] == ["  ' A', ", "* ' B', ", "  ' C', "]
    assert all(", tokens: 1 ['" in line for line in lines[3:])


def test_what_is_asked_for_is_shown(config, capsys):
    """Another question, scoring and number of shots than the study's."""
    context, lines = show(capsys, config, question="71", scoring="text", shots=0)
    assert context == "<s>Question 71?\nJibu:"
    assert [line.split(",")[0] for line in lines[3:]] == ["  ' uno'", "* ' dos'"]
    _, lines = show(capsys, config, shots=5)
    assert "shots: 3, as miniature sees it (5 shots were asked for, its" in lines[0]


def test_a_chat_prompt_is_printed_as_it_is_scored(config, capsys):
    """With the template's tokens, one BOS, and the beginning of the answer."""
    tokenizer = make_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    model = make_model(max_position_embeddings=400)
    save_checkpoint(config.parent / "model", model, tokenizer)
    asked = {"scoring": "letters", "prompt": "chat", "shots_as": "turns", "shots": 1}
    context, lines = show(capsys, config, **asked)
    shown, block = BLOCK.format(2), BLOCK.format(70)
    turn, final = shown.removesuffix("\nJibu:"), block.removesuffix("\nJibu:")
    assert context == (
        f"<s><|user|>\n{turn}<|assistant|>\nJibu: B</s>"
        f"<|user|>\n{final}<|assistant|>\nJibu:"
    )
    assert "letters, chat, shots: 1, as miniature" in lines[0]
    assert [line[:8] for line in lines[3:]] == ["  ' A', ", "* ' B', ", "  ' C', "]


def test_a_released_checkpoint_is_asked_with_its_own_template(config, capsys):
    """A full model by its tokenizer; an adapter without one, by its base model's."""
    tokenizer = make_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    model = make_model(max_position_embeddings=500)
    save_checkpoint(config.parent / "instruct", model, tokenizer)
    (config.parent / "adapter").mkdir()
    (config.parent / "adapter/adapter_config.json").write_text("{}")
    asked = small_study()
    asked["models"][0]["repo"] = "./model"
    asked["tasks"][1] |= {"repo": "./prox", "languages": ["sw"]}
    asked["sft"] += [
        {"name": name, "checkpoints": {"miniature": {"repo": f"./{name}"}}}
        for name in ("instruct", "adapter")
    ]
    write_config(config.parent, asked)
    context, lines = show(capsys, config, prompt="chat", sft="instruct")
    assert context.startswith("<s><|user|>\n")
    assert lines[0].endswith("as instruct sees it")
    plain, _ = show(capsys, config, sft="adapter")
    assert plain == show(capsys, config)[0]
    with pytest.raises(InputError, match="has no chat template"):
        show_prompt(config=config, task="mmlu_prox", language="sw", prompt="chat")
    for sft, message in (
        ("nobody", "the study has no 'nobody'; it has alpaca-en, instruct"),
        ("alpaca-en", "no released checkpoint 'alpaca-en' of miniature"),
    ):
        with pytest.raises(InputError, match=message):
            show_prompt(config=config, task="mmlu_prox", language="sw", sft=sft)


def test_a_model_without_a_chat_template_is_told_with_the_ways_out(config):
    """One line."""
    with pytest.raises(InputError, match=r"no chat template, which.*`prompt: plain`"):
        show_prompt(config=config, task="mmlu_prox", language="sw", prompt="chat")


def test_a_context_that_is_cut_is_shown_cut(config, capsys):
    """As the engine cuts it: on the left, BOS first."""
    whole, _ = show(capsys, config, scoring="letters")
    save_checkpoint(config.parent / "model", make_model(max_position_embeddings=100))
    context, lines = show(capsys, config, scoring="letters")
    assert lines[1].startswith("context: 100 tokens, ")
    assert "more on the left are cut" in lines[1]
    assert len(context) < len(whole)
    assert whole.endswith(context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "x"}, "the study has no 'x'; it has global_mmlu, mmlu_prox"),
        ({"model": "x"}, "the study has no 'x'; it has miniature"),
        ({"question": "x"}, "there is no test question 'x'; the first are 70, 71"),
        ({"language": "zu"}, "does not offer 'zu'; it offers: sw"),
        (
            {"task": "global_mmlu"},
            "there is no ./resources/miniature/global_mmlu; .*"
            "`snakemake resources/miniature/global_mmlu` first",
        ),
    ],
)
def test_what_is_not_there_is_told_with_what_there_is(config, options, message):
    """One line that says what to do."""
    asked = {"config": config, "task": "mmlu_prox", "language": "sw"} | options
    with pytest.raises(InputError, match=message):
        show_prompt(**asked)


def test_a_model_that_was_not_made_yet_is_told_with_its_command(config):
    """The embedded study's is a product of the workflow."""
    (config.parent / "model").rename(config.parent / "elsewhere")
    with pytest.raises(InputError, match=r"there is no \./model; .*`snakemake model`"):
        show_prompt(config=config, task="mmlu_prox", language="sw")


def test_of_a_model_of_the_hub_no_weights_are_fetched(config, capsys, monkeypatch):
    """Only the files that are there for the tokenizer and the configuration."""
    text = config.read_text()
    pinned = "repo: owner/name\n  revision: abc"
    assert text.count("repo: ./model") == 1
    config.write_text(text.replace("repo: ./model", pinned))
    asked = {}

    def download(repo: str, **options: object) -> Path:
        asked.update(options, repo=repo)
        return config.parent / "model"

    monkeypatch.setattr(hub, "download", download)
    assert show(capsys, config)[0].startswith("<s>Question 2?")
    assert (asked["repo"], asked["revision"]) == ("owner/name", "abc")
    assert "tokenizer.json" in asked["patterns"]
    assert not any("safetensors" in pattern for pattern in asked["patterns"])


def test_the_command_prints_it_and_writes_nothing(config, capsys):
    """With hyphens, as people type it; standard output holds the prompt only."""
    before = sorted(config.parent.rglob("*"))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "polycal", "show-prompt"),
            *("--config", "study.yaml", "--task", "mmlu_prox"),
            *("--language", "sw", "--shots", "2"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    show_prompt(config=config, task="mmlu_prox", language="sw", shots=2)
    assert done.stdout == capsys.readouterr().out
    assert sorted(config.parent.rglob("*")) == before


def test_options_that_share_a_token_with_their_context_are_counted(config, capsys):
    """Before anything runs, over the first questions of the language."""
    _, lines = show(capsys, config, scoring="text")
    assert not [line for line in lines if "share a token" in line]
    model = make_model(max_position_embeddings=400)
    save_checkpoint(config.parent / "model", model, make_swallowing_tokenizer())
    _, lines = show(capsys, config, scoring="text")
    assert lines[-1].startswith(
        "5 of 5 options of the first 2 questions share a token with their context"
    )

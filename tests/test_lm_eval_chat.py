"""The peer with chat templates: `lm_eval --apply_chat_template`, option by option."""

import functools

import numpy as np
import pytest
from test_lm_eval import TOLERANCE, ask_lm_eval, make_task
from toys import TOY, make_model, make_tokenizer, save_checkpoint, save_questions

from polycal.models.chat_templates import ChatWriter
from polycal.models.tokens import load_tokenizer, to_ids
from polycal.scoring.score import score
from polycal.storage import tables
from polycal.study.prompts import build_chat
from polycal.study.scorings import SCORINGS

N_QUESTIONS = 8
TURNS = "{% for m in messages %}"
PROMPT = "{% endfor %}{% if add_generation_prompt %}"
# Short forms of published templates, which write the same text for turns of user and
# assistant without tools.
LLAMA = (  # Llama 3.1: BOS, a system turn with a date, turns without outer white space
    "{{ bos_token }}{% if not date_string is defined %}{% set date_string = '26 Jul "
    "2024' %}{% endif %}{{ '<|start_header_id|>system<|end_header_id|>\n\nCutting "
    "Knowledge Date: December 2023\nToday Date: ' + date_string + '\n\n<|eot_id|>' }}"
    + TURNS
    + "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | "
    "trim + '<|eot_id|>' }}"
    + PROMPT
    + "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN = (  # Qwen 2.5: a system turn by default, no BOS
    "{{ '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
    "assistant.<|im_end|>\n' }}"
    + TURNS
    + "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    + PROMPT
    + "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN_3 = (  # an empty thought in the last answer, none in earlier ones
    TURNS + "{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and "
    "loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m.content + "
    "'<|im_end|>\n' }}"
    + PROMPT
    + "{{ '<|im_start|>assistant\n' }}{% if enable_thinking is defined and "
    "enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
GEMMA = (  # Gemma 2: BOS, no system turn, another name of the assistant
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    + TURNS
    + "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' + "
    "m['content'] | trim + '<end_of_turn>\n' }}"
    + PROMPT
    + "{{'<start_of_turn>model\n'}}{% endif %}"
)
DEEPSEEK = (  # R1's distilled models: BOS; a prompt for an answer opens a thought
    "{{ bos_token }}" + TURNS + "{% if m['role'] == 'user' %}{{ '<｜User｜>' + "
    "m['content'] }}{% else %}{{ '<｜Assistant｜>' + m['content'].split('</think>')[-1]"
    " + '<｜end▁of▁sentence｜>' }}{% endif %}"
    + PROMPT
    + "{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)
MISTRAL = (  # Mistral 7B: BOS, and spaces around what is asked
    "{{ bos_token }}" + TURNS + "{% if m['role'] == 'user' %}{{ ' [INST] ' + "
    "m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + eos_token }}"
    "{% endif %}{% endfor %}"
)
CLOSED = (  # wants a user's turn at the end, so that no answer can be begun
    "{% if messages[-1]['role'] != 'user' %}{{ raise_exception('ends with user') }}"
    "{% endif %}" + QWEN
)
TEMPLATES = {
    "Llama-3.1": LLAMA,
    "Qwen2.5": QWEN,
    "Qwen3": QWEN_3,
    "Gemma-2": GEMMA,
    "DeepSeek-R1": DEEPSEEK,
    "Mistral": MISTRAL,
    "closed": CLOSED,
}


def make_chat_task(
    scoring: str,
    data: dict[str, str],
    *,
    opens_answer: bool,
    as_turns: bool,
    n_options: int = 4,
) -> dict:
    """The harness's task with the lead-in as `gen_prefix`, or as it ships."""
    task = make_task(scoring, data, n_options)
    if opens_answer:
        asked = task["doc_to_text"].removesuffix("\nAnswer:")
        task |= {"doc_to_text": asked, "gen_prefix": "Answer:"}
        # Within one turn, a line break stands before the lead-in.
        task["fewshot_config"] = {
            "sampler": "first_n",
            "doc_to_text": asked if as_turns else f"{asked}\n",
        }
    return task


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bos", "shots", "shots_as"),
    [
        *((name, True, 0, "text") for name in TEMPLATES),
        *((name, True, 3, "turns") for name in TEMPLATES),
        *((name, False, 3, "text") for name in TEMPLATES),
    ],
)
def test_chat_prompts_are_those_of_lm_eval(
    name, bos, shots, shots_as, tmp_path, monkeypatch
):
    """Same checkpoint, template and task, float32: 1e-4 nats per option."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    tokenizer = make_tokenizer(bos=bos)
    tokenizer.chat_template = TEMPLATES[name]
    model = make_model(max_position_embeddings=4096)
    checkpoint = save_checkpoint(tmp_path / "model", model, tokenizer)
    questions = save_questions(tmp_path / "en.parquet", n=N_QUESTIONS, n_dev=4)
    score(
        checkpoint=checkpoint,
        questions=[questions],
        shots=shots,
        prompt="chat",
        shots_as=shots_as,
        **TOY,
        store=tmp_path / "store",
        out=tmp_path / "out.parquet",
    )
    opens_answer, as_turns = name != "closed", shots_as == "turns"
    facts = tables.read_metadata(tmp_path / "out.parquet")
    assert facts["opens_answer"] == [opens_answer]
    make = functools.partial(
        make_chat_task, opens_answer=opens_answer, as_turns=as_turns
    )
    expected = ask_lm_eval(
        checkpoint,
        questions,
        make,
        shots,
        {"enable_thinking": False},
        apply_chat_template=True,
        fewshot_as_multiturn=as_turns,
    )
    table = tables.read(tmp_path / "out.parquet", "predictions")
    for scoring in SCORINGS:
        ours = np.array(tables.where(table, scoring=scoring)["logprobs"].to_pylist())
        difference = abs(ours - expected[scoring]).max()
        print(f"{name}, {scoring}, {shots} shots as {shots_as}: {difference:.1e} nats")
        assert difference <= TOLERANCE
        np.testing.assert_array_equal(ours.argmax(1), expected[scoring].argmax(1))


@pytest.mark.parametrize("bos", [True, False], ids=["BOS", "no BOS"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_no_prompt_has_two_bos(name, bos, tmp_path):
    """Neither the template's and the tokenizer's; one is there if either writes it."""
    tokenizer = make_tokenizer(bos=bos)
    tokenizer.chat_template = TEMPLATES[name]
    tokenizer.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    asked = build_chat("letters", "yen ?", ["a", "b"], "Answer:", as_turns=False)
    prompt = ChatWriter(tokenizer, tmp_path).write(asked)
    (ids,) = to_ids(tokenizer, [prompt.context])
    has_bos = bos or "bos_token" in TEMPLATES[name]
    assert ids.count(tokenizer.bos_token_id) == has_bos

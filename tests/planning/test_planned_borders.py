"""Before anything is scored, `polycal plan` tries where contexts and options meet."""

import pytest
from study import small_study
from toys import (
    make_model,
    make_swallowing_tokenizer,
    make_tokenizer,
    save_checkpoint,
    save_questions,
)

from polycal.models.gpu_types import find_gpu
from polycal.planning.borders import find_borders
from polycal.planning.sizes import SizedStudy
from polycal.study.config import complete


@pytest.fixture
def warn(tmp_path):
    """Save a tokenizer as the base's and one as a released checkpoint's, and plan."""

    def warn(base, released, prompt="plain"):
        checkpoint = {"name": "it", "checkpoints": {"miniature": {"repo": "./it"}}}
        asked = small_study(sft=[checkpoint], smoothing=[0], scoring=["text"])
        asked["tasks"] = asked["tasks"][:1]
        (task,) = asked["tasks"]
        task |= {"languages": ["en", "sw"], "prompt": prompt}
        study = SizedStudy(complete(asked), find_gpu("h200"), tmp_path)
        if base:
            save_checkpoint(tmp_path / "models" / "miniature", make_model(), base)
            folder = tmp_path / "released" / "miniature" / "it"
            save_checkpoint(folder, make_model(), released)
            save_questions(tmp_path / "tasks" / task["name"] / "sw.parquet")
        return list(find_borders(study))

    return warn


def test_options_that_share_a_token_are_counted_by_checkpoint(warn):
    """Only the released checkpoint's tokenizer has a token for `: `."""
    (line,) = warn(make_tokenizer(), make_swallowing_tokenizer())
    assert line.startswith("WARNING: global_mmlu, miniature/it, by text: ")
    n, of, n_options = line.split()[5:8]
    assert (n, of) == (n_options, "of")
    assert "(in sw) share a token with their context" in line


def test_what_is_not_prepared_is_not_tried(warn):
    """Nothing is said before models and questions are there."""
    assert warn(None, None) == []


def test_a_model_without_a_chat_template_is_told(warn):
    """The released checkpoint has one."""
    chat = make_tokenizer()
    chat.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (line,) = warn(make_tokenizer(), chat, prompt="chat")
    assert "miniature: " in line
    assert "has no chat template" in line

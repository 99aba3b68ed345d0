"""Several runs of one model in an output folder of lm_eval."""

import json

import pytest

from polycal.errors import InputError
from polycal.preparing.harness_folder import find_logged


def log_run(folder, date, *, codes=("en", "sw"), **settings):
    """Write what tells a run of the tasks in these languages; samples are empty."""
    names = [f"quiz_{code}" for code in codes]
    kind = {"output_type": "multiple_choice", "dataset_path": "owner/quiz"}
    facts = {"model_name": "owner/model", "configs": dict.fromkeys(names, kind)}
    (folder / f"results_{date}.json").write_text(json.dumps(facts | settings))
    for name in names:
        (folder / f"samples_{name}_{date}.jsonl").touch()


@pytest.mark.parametrize("codes", [("en", "sw"), ("sw",)])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"model_args": "pretrained=o/m"}, {"model_args": "pretrained=o/m,revision=2"}),
        ({"model_args": {"dtype": "auto"}}, {"model_args": {"dtype": "float16"}}),
        ({"model_args": {}}, {"model_args": {"peft": "o/adapter"}}),
        ({"limit": 10.0}, {"limit": None}),
    ],
)
def test_runs_of_other_weights_are_not_one_model(tmp_path, codes, first, second):
    """Whether the newer run hides the older one or adds a language."""
    log_run(tmp_path, "1", config=first)
    log_run(tmp_path, "2", codes=codes, config=second)
    (key,) = second
    with pytest.raises(InputError, match=rf"_2\.jsonl and .*_1\.jsonl differ in {key}"):
        find_logged(tmp_path, {})


def test_of_repeated_runs_the_newest_is_taken(tmp_path, caplog):
    """Order and speed of the model's arguments may differ; it is said what is left."""
    old = "pretrained=o/m,dtype=float16,device=cpu,batch_size=1"
    new = {"dtype": "float16", "pretrained": "o/m", "parallelize": True}
    log_run(tmp_path, "1", config={"model_args": old})
    log_run(tmp_path, "2", codes=["sw"], config={"model_args": new})
    taken = [own.path.name for own in find_logged(tmp_path, {})]
    assert taken == ["samples_quiz_en_1.jsonl", "samples_quiz_sw_2.jsonl"]
    (line,) = caplog.messages
    assert line.endswith("results_2.json: older samples of 1 of its tasks are left out")


@pytest.mark.parametrize("code", ["../../../evil", "zz", "", 1, None, ["en"]])
def test_a_language_s_code_is_checked_before_it_is_a_path(tmp_path, code):
    """And before anything is read: here is no run yet."""
    with pytest.raises(InputError, match=r"--languages: quiz is .*, which .*table"):
        find_logged(tmp_path, {"quiz": code})


def test_a_task_s_name_that_no_file_has_is_told(tmp_path):
    """As one without samples."""
    log_run(tmp_path, "1")
    path = tmp_path / "results_1.json"
    path.write_text(path.read_text().replace("quiz_en", "quiz/en"))
    with pytest.raises(InputError, match=r"there is no .*samples_quiz/en_1\.jsonl"):
        find_logged(tmp_path, {})

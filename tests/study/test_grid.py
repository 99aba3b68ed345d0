"""The sweep is a pure function of the config, and every number has one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycal.errors import InputError
from polycal.study import flags, grid, layout
from polycal.study.config import check_consistency
from polycal.study.languages import load_languages


def config(**changes):
    plain = {
        "models": [{"name": "m", "repo": "./m"}, {"name": "n", "repo": "./n"}],
        "sft": [{"name": "s", "repo": "./s"}],
        "smoothing": [0, 0.1],
        "seeds": [0, 1],
        "recipe": {"lr": [1e-5, 2e-5], "batch_size": 8, "micro_batch_size": 2},
        "scoring": ["letters"],
        "statistics": {"primary_task": "t", "primary_scoring": "letters"},
        "tasks": [{"name": "t", "repo": "./t", "languages": ["de", "sw"]}],
    }
    found = {**plain, **changes}
    for task in found["tasks"]:  # a schema fills these in
        task.setdefault("configs", {})
    found["models"] = [{"gpus": 1, "nodes": 1, **each} for each in found["models"]]
    found["recipe"] = {"load_in_4bit": False, "select": "each", **found["recipe"]}
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (0.10, "0.1"),
        (1e-05, "1e-5"),
        (2.5e-4, "2.5e-4"),
        (0.001, "0.001"),
        (1, "1"),
        (100.0, "100"),
        (1e6, "1e6"),
    ],
)
def test_number_has_one_spelling(value, text):
    """Numbers in paths are spelt as a researcher writes them."""
    assert layout.number(value) == text


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_number_loses_nothing(value):
    """Different numbers never share a path: the text reads back as the number."""
    assert float(layout.number(value)) == value


def test_runs_are_base_models_and_every_combination():
    """Two models: each a base run, and one run per smoothing value and seed."""
    runs = grid.expand_runs(config())
    assert len(runs) == len(set(runs)) == 2 * (1 + 2 * 2)
    assert runs[0].path == "m/none/ls-0/seed-0"
    assert runs[4].path == "m/s/ls-0.1/seed-1"


BOTH = {"m": {"repo": "./i"}, "n": {"repo": "./j"}}
INSTRUCT = {"name": "instruct", "checkpoints": BOTH}
DPO = {"name": "dpo", "checkpoints": {"n": {"repo": "o/dpo", "revision": "1f"}}}
RELEASED = {"sft": [INSTRUCT, {"name": "s", "repo": "./s"}, DPO], "seeds": [3, 4]}


def test_a_released_checkpoint_is_one_run_of_its_model():
    """Whatever smoothing values and seeds others have; and none of another model."""
    study = config(**RELEASED)
    assert [run.path for run in grid.expand_released(study)] == [
        "m/instruct/ls-0/seed-0",
        "n/instruct/ls-0/seed-0",
        "n/dpo/ls-0/seed-0",
    ]
    trained = grid.expand_trained(study)
    assert {run.sft for run in trained} == {"s"}
    assert len(trained) == 2 * 2 * 2
    runs = grid.expand_runs(study)
    assert len(runs) == len(set(runs)) == 2 + 3 + 8
    assert grid.get_checkpoint(study, "n", "dpo")["repo"] == "o/dpo"


def test_a_released_checkpoint_names_the_stage_before_it():
    """Only of the models that it has, which the stage before has, too."""
    stages = [INSTRUCT, DPO | {"from": "instruct"}]
    study = config(sft=stages, smoothing=[])
    check_consistency(study)
    assert grid.list_stages(study) == {"dpo": "instruct"}
    assert grid.list_stages(config(**RELEASED)) == {}


def test_every_repository_has_its_key():
    """Those of released checkpoints, too."""
    listed = grid.list_repositories(config(**RELEASED))
    assert {key: entry["repo"] for key, entry in listed} == {
        **{"models.m": "./m", "models.n": "./n", "sft.s": "./s", "tasks.t": "./t"},
        "sft.instruct.checkpoints.m": "./i",
        "sft.instruct.checkpoints.n": "./j",
        "sft.dpo.checkpoints.n": "o/dpo",
    }


def test_models_as_they_are_need_no_smoothing():
    """Nor do released checkpoints; a data set does."""
    check_consistency(config(sft=[], smoothing=[]))
    check_consistency(config(sft=RELEASED["sft"][:1], smoothing=[]))
    shared = {"lr": [1e-5], "batch_size": 8, "micro_batch_size": 2, "select": "shared"}
    check_consistency(config(sft=[], smoothing=[], recipe=shared))
    with pytest.raises(InputError, match=r"^smoothing: the study tunes on a data set"):
        check_consistency(config(smoothing=[]))


def test_candidates_are_rates_times_seeds():
    """A run is selected among all rates and seeds of its condition."""
    paths = grid.candidate_paths(config(), "m", "s", "0.1")
    assert len(paths) == 4
    assert paths[0] == "m/s/ls-0.1/lr-1e-5/seed-0"


CODES = st.sampled_from(["am", "ar", "bn", "de", "en", "fil", "sw", "yo", "zh", "zu"])


@given(
    languages=st.lists(CODES, unique=True, min_size=1),
    existing=st.lists(st.lists(CODES, unique=True, min_size=1).map("+".join)),
    per_job=st.integers(1, 5),
)
def test_batches_hold_each_language_exactly_once(languages, existing, per_job):
    """Whatever files exist, every language is in one job, and new jobs are small."""
    names = grid.batch_languages(languages, existing, per_job)
    held = [code for name in names for code in name.split("+")]
    assert set(languages) <= set(held)
    assert len(held) == len(set(held))
    assert all(n in existing or n.count("+") < per_job for n in names)


@given(
    languages=st.lists(CODES, unique=True, min_size=1),
    per_job=st.integers(1, 5),
    room=st.integers(-9, 20),
)
def test_names_of_batches_fit_their_room(languages, per_job, room):
    """A language alone has a name of its own, whatever the room; none is lost."""
    names = grid.batch_languages(languages, [], per_job, room)
    assert sorted("+".join(names).split("+")) == sorted(languages)
    assert all(len(name) <= room or "+" not in name for name in names)
    assert names == grid.batch_languages(languages, names, per_job, room)


def test_a_name_has_room_for_every_wildcard_of_its_job():
    """48 languages of the table fit; names of 64 characters leave room for ten."""
    run = {"model": "m", "sft": "s", "smoothing": "0.1", "seed": 0}
    codes = sorted(load_languages(), key=len)[-48:]
    (name,) = grid.batch_languages(codes, [], 48, grid.count_room(run, "t"))
    assert len(name) == 152
    long = run | {"model": "m" * 64, "sft": "s" * 64}
    names = grid.batch_languages(codes, [], 48, grid.count_room(long, "t" * 64))
    joined = "_".join(map(str, (*long.values(), "t" * 64, names[0])))
    assert 240 < len(joined) <= 255


@given(
    languages=st.lists(CODES, unique=True, min_size=2),
    per_job=st.integers(1, 5),
)
def test_an_added_language_is_one_new_job(languages, per_job):
    """With the old files in place, one more language adds one name, changing none."""
    before = grid.batch_languages(languages[1:], [], per_job)
    after = grid.batch_languages(languages, before, per_job)
    assert set(after) - set(before) == {languages[0]}
    assert set(before) <= set(after)


@given(languages=st.lists(CODES, unique=True, min_size=1), per_job=st.integers(1, 5))
def test_a_deleted_file_is_made_again_under_its_own_name(languages, per_job):
    """Deleting one batch file brings back exactly that name."""
    names = grid.batch_languages(languages, [], per_job)
    for gone in names:
        left = [name for name in names if name != gone]
        assert grid.batch_languages(languages, left, per_job) == names


@pytest.mark.parametrize(
    ("repo", "local"),
    [
        ("./resources/miniature/model", True),
        ("resources/miniature/model", True),
        ("/data/model", True),
        ("../model", True),
        ("meta-llama/Llama-3.1-8B", False),
    ],
)
def test_local_paths_and_hub_ids_are_told_apart(repo, local):
    """owner/name is a Hub id; everything else is a path."""
    assert grid.is_local(repo) is local


def test_flags_spell_numbers_and_quote_text():
    """A flag can be pasted into a shell, and null gives none."""
    spelt = flags.cli_flags({"max_steps": None, "weight_decay": 1e-4, "repo": "a b"})
    assert spelt == "--repo 'a b' --weight-decay 1e-4"


def test_a_sound_config_passes():
    """The check has no complaint about an ordinary study."""
    check_consistency(config())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "models": [
                    {"name": "m", "repo": "./m"},
                    {"name": "m", "repo": "./m"},
                ]
            },
            "'m' is used twice",
        ),
        ({"sft": [{"name": "none", "repo": "./none"}]}, "is the base model's"),
        (
            {"sft": [{"name": "i", "checkpoints": {"mm": {"repo": "./i"}}}]},
            r"sft\.i\.checkpoints: the study has no model 'mm'; take one of m, n",
        ),
        (
            {"sft": [{"name": "i", "checkpoints": {"m": {"repo": "o/i"}}}]},
            r"sft\.i\.checkpoints\.m: o/i is on the Hub and can change .*revision",
        ),
        (
            {"sft": [{"name": "i", "checkpoints": {"m": {"repo": "~/i"}}}]},
            r"sft\.i\.checkpoints\.m\.repo: Snakemake does not expand '~'",
        ),
        (
            {
                "sft": [
                    {"name": "i", "checkpoints": {"m": {"repo": "./i"}}, "repo": "./s"}
                ]
            },
            r"sft\.i: `repo` is for a data set, .* two entries",
        ),
        (
            {"sft": [{"name": "s", "repo": "./s", "from": "i"}]},
            r"sft\.s\.from: only an entry with `checkpoints` has it",
        ),
        (
            {"sft": [DPO | {"from": "dpo"}, INSTRUCT]},
            r"sft\.dpo\.from: no entry above it .* the name 'dpo'",
        ),
        (
            {"sft": [INSTRUCT, DPO | {"from": "instrukt"}]},
            r"sft\.dpo\.from: .* the name 'instrukt'; take one of instruct",
        ),
        (
            {"sft": [DPO, INSTRUCT | {"from": "dpo"}]},
            r"sft\.instruct\.from: dpo has no checkpoint of m; add it",
        ),
        ({"models": [{"name": "m", "repo": "~/m"}]}, r"models\.m\.repo: .*'~'"),
        (
            {"models": [{"name": "m", "repo": "./m", "gpus": 3, "nodes": 2}]},
            r"models\.m: recipe\.batch_size 8 is not .* 2 x 6 GPUs",
        ),
        (
            {
                "models": [{"name": "m", "repo": "./m", "gpus": 2}],
                "recipe": {
                    **{"lr": [1e-5], "batch_size": 8, "micro_batch_size": 2},
                    "load_in_4bit": True,
                },
            },
            r"models\.m: recipe\.load_in_4bit is for one GPU, not 2; set",
        ),
        ({"smoothing": [0.1, 0.10]}, "0.1 is listed twice"),
        (
            {"tasks": [{"name": "t", "repo": "./t", "languages": ["xx"]}]},
            r"tasks\.t\.languages: 'xx'.*study's `languages:` \(code, name, script",
        ),
        (
            {"tasks": [{"name": "t", "repo": "./t", "languages": ["de", "swa"]}]},
            r"tasks\.t\.languages: 'swa' .*did you mean 'sw'",
        ),
    ],
)
def test_what_a_schema_cannot_see_is_one_clear_line(changes, message):
    """Duplicate names and unknown languages name their place in the config."""
    with pytest.raises(InputError, match=message) as caught:
        check_consistency(config(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"max_questions": 9}, "de"),
        ({"max_questions": 9, "languages": ["de", "en"]}, "en"),
        ({"max_questions": 9, "questions": "own"}, None),
        ({"max_questions": 9, "questions": "identical"}, "de"),
    ],
)
def test_a_part_is_chosen_in_one_language_for_all(changes, expected):
    """English, or else the first; each has its own where nothing is shared."""
    task = {"languages": ["de", "sw"], "questions": "intersection"}
    task |= {"max_questions": None} | changes
    assert grid.reference_language(task) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"u": "t"}),
        ({"shots": 5, "prompt": "chat", "shots_as": "turns"}, {"u": "t"}),
        ({"languages": ["de"]}, {}),
        ({"max_questions": 9}, {}),
        ({"format": "mmlu_prox"}, {}),
    ],
)
def test_tasks_ask_the_same_if_they_differ_in_how_only(changes, expected):
    """Shots and prompt; other languages or questions are others."""
    task = {"name": "t", "repo": "./t", "languages": ["de", "sw"], "shots": 0}
    task |= {"format": {"splits": {"test": "test"}}, "max_questions": None}
    other = {**task, "name": "u", **changes}
    assert grid.same_questions([task, other]) == expected
    third = {**task, "name": "v"}
    assert grid.same_questions([task, other, third]) == {**expected, "v": "t"}

"""The embedded study's data sets, for the real loaders and for `datasets`."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polycal.miniature.facts import load_world
from polycal.miniature.instructions import make_instructions
from polycal.miniature.questions import make_questions
from polycal.miniature.write import write_global_mmlu, write_mmlu_prox, write_sft
from polycal.preparing.checks import check_task
from polycal.preparing.sft import prepare_sft
from polycal.preparing.tasks import prepare_task
from polycal.storage import tables
from polycal.study.languages import load_languages
from polycal.study.prompts import LETTERS

# Copied from the cards of CohereLabs/Global-MMLU and li-lab/MMLU-ProX, not from us.
COLUMNS = {
    "global_mmlu": """
        sample_id subject subject_category question option_a option_b option_c option_d
        answer required_knowledge time_sensitive reference culture region country
        cultural_sensitivity_label is_annotated""",
    "mmlu_prox": """
        question_id question option_0 option_1 option_2 option_3 option_4 option_5
        option_6 option_7 option_8 option_9 answer answer_index cot_content category
        src question_id_src""",
}
TYPES = {  # all others are texts
    "is_annotated": pa.bool_(),
    "question_id": pa.int64(),
    "answer_index": pa.int64(),
    "question_id_src": pa.int64(),
}
CODES = {
    "global_mmlu": """
        am ar bn cs de el en es fa fil fr ha he hi id ig it ja ko ky lt mg ms ne nl ny
        pl pt ro ru si sn so sr sv sw te tr uk vi yo zh""",
    "mmlu_prox": """
        af ar bn cs de en es fr hi hu id it ja ko mr ne pt ru sr sw te th uk ur vi wo
        yo zh zu""",
}
CODES = {task: codes.split() for task, codes in CODES.items()}
SIZES = {
    "global_mmlu": {"test": 100, "dev": 20},
    "mmlu_prox": {"test": 100, "validation": 20},
}
TASKS = list(SIZES)


def schema_of(task: str) -> list[tuple[str, pa.DataType]]:
    """The benchmark's columns and their types."""
    return [(name, TYPES.get(name, pa.string())) for name in COLUMNS[task].split()]


@pytest.fixture(scope="module")
def world():
    return load_world(seed=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory, world):
    """The three directories."""
    folder = tmp_path_factory.mktemp("miniature")
    questions = make_questions(world, seed=0)
    write_global_mmlu(questions["global_mmlu"], world, folder / "global_mmlu")
    write_mmlu_prox(questions["mmlu_prox"], world, folder / "mmlu_prox")
    write_sft(make_instructions(world, seed=0), folder / "sft")
    return folder


@pytest.fixture(scope="module")
def prepared(made):
    """Task -> language -> the questions table that the real loader writes."""
    paths = {}
    for task, codes in CODES.items():
        paths[task] = {}
        for code in codes:
            paths[task][code] = made / "tasks" / task / f"{code}.parquet"
            prepare_task(
                repo=str(made / task),
                revision=None,
                format=task,
                task=task,
                language=code,
                out=paths[task][code],
            )
    return paths


def rows_of(made, task: str, code: str, split: str) -> list[dict]:
    return pq.read_table(
        made / task / code / f"{split}-00000-of-00001.parquet"
    ).to_pylist()


@pytest.mark.parametrize("task", TASKS)
def test_the_layout_is_the_hubs(made, task):
    """Exactly the benchmark's languages, splits, file names, columns and types."""
    expected = {
        f"{code}/{split}-00000-of-00001.parquet"
        for code in CODES[task]
        for split in SIZES[task]
    }
    folder = made / task
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}
    assert found == expected
    for path in folder.rglob("*.parquet"):
        schema = pq.read_schema(path)
        assert list(zip(schema.names, schema.types, strict=True)) == schema_of(task), (
            path
        )
        size = pq.read_metadata(path).num_rows
        assert size == SIZES[task][path.name.split("-")[0]], path


def test_global_mmlus_rows_are_written_as_its_own(made):
    """Ids say subject, split and number; lists are texts; no cell is null."""
    rows = [
        (split, row)
        for code in CODES["global_mmlu"]
        for split in ("test", "dev")
        for row in rows_of(made, "global_mmlu", code, split)
    ]
    for split, row in rows:
        subject, held, number = row["sample_id"].split("/")
        assert (subject, held) == (row["subject"], split)
        assert 0 <= int(number) < 25
        assert row["answer"] in list("ABCD")
        assert row["subject_category"] in ("Business", "Humanities")  # two of its six
        assert row["cultural_sensitivity_label"] == "-"
        assert row["is_annotated"] is False
        assert {row[name] for name in ("culture", "region", "country")} == {"[]"}
        assert None not in row.values()


def test_mmlu_proxs_rows_are_written_as_its_own(made):
    """Nulls at the tail only, 4 to 10 options, letter and index agree, ids count on."""
    sizes = set()
    for code in CODES["mmlu_prox"]:
        ids = []
        for split in ("validation", "test"):
            for row in rows_of(made, "mmlu_prox", code, split):
                options = [row[f"option_{index}"] for index in range(10)]
                size = sum(option is not None for option in options)
                assert options[size:] == [None] * (10 - size)
                assert all(options[:size])
                assert row["answer"] == LETTERS[row["answer_index"]]
                assert row["answer_index"] < size
                assert row["cot_content"] == ""
                assert row["category"] in ("economics", "other")  # two of its fourteen
                assert row["question"]
                sizes.add(size)
                ids.append(row["question_id"])
        assert ids == list(range(120))
    assert sizes == set(range(4, 11))


@pytest.mark.parametrize("task", TASKS)
def test_the_real_loaders_keep_every_row(prepared, tmp_path, task):
    """Nothing is dropped, no two options are equal, and the languages are parallel."""
    paths = prepared[task]
    for path in paths.values():
        for split, counts in tables.read_metadata(path)["counts"].items():
            assert counts.pop("rows") == {"test": 100, "dev": 20}[split]
            assert not any(counts.values()), (path, counts)
    check_task(
        questions=list(paths.values()), policy="identical", out=tmp_path / "check.json"
    )
    facts = json.loads((tmp_path / "check.json").read_text())
    sizes = {code: each["n_questions"] for code, each in facts["languages"].items()}
    assert sizes == dict.fromkeys(paths, 100)
    assert (facts["n_all"], facts["n_common"]) == (100, 100)


@pytest.mark.parametrize("task", TASKS)
def test_every_language_asks_the_same(prepared, world, task):
    """Each option is the name of the same thing as in English, at the same place."""
    english = tables.read(prepared[task]["en"], "questions").to_pylist()
    asked = [kind_of(row, task) for row in english]
    names = {(what, held["en"]): code for (what, code), held in world.names.items()}
    codes = [
        [names[what, option] for option in row["options"]]
        for what, row in zip(asked, english, strict=True)
    ]
    for language, path in prepared[task].items():
        rows = tables.read(path, "questions").to_pylist()
        for what, held, ours, row in zip(asked, codes, english, rows, strict=True):
            same = ("question_id", "split", "gold", "subject")
            assert [row[name] for name in same] == [ours[name] for name in same]
            assert row["options"] == [
                world.names[what, code][language] for code in held
            ]


def kind_of(row: dict, task: str) -> str:
    """What a question's options are, from the English text or the subject."""
    if task == "global_mmlu":
        return row["subject"].split("_")[0]
    if row["question"].startswith("Where"):
        return "territory"
    return "currency" if row["category"] == "economics" else "language"


def test_the_sft_set_is_read_whole(made, tmp_path):
    """Every row becomes one question and one answer."""
    out = tmp_path / "sft.parquet"
    prepare_sft(
        repo=str(made / "sft"), revision=None, format="alpaca", sft="s", out=out
    )
    rows = tables.read(out, "conversations").to_pylist()
    counts = tables.read_metadata(out)["counts"]
    assert counts.pop("rows") == len(rows) > 500
    assert not any(counts.values())
    assert all(
        [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        for row in rows
    )
    assert not any("{" in turn["content"] for row in rows for turn in row["messages"])


@pytest.fixture
def load_dataset(tmp_path, monkeypatch):
    """The `datasets` library's own, with nothing but this folder and no network."""
    import datasets
    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def load(*arguments, **options):
        cache = str(tmp_path / "cache")
        return datasets.load_dataset(*arguments, cache_dir=cache, **options)

    return load


@pytest.mark.parametrize("task", TASKS)
def test_datasets_reads_it_by_language_and_split(made, load_dataset, task):
    """As people read the benchmark from the Hub, with the same rows and types."""
    schema = schema_of(task)
    for code in ("en", "yo"):
        for split, size in SIZES[task].items():
            found = load_dataset(str(made / task), code, split=split)
            assert found.num_rows == size
            assert found.column_names == [name for name, _ in schema]
            assert found.features.arrow_schema.types == [kind for _, kind in schema]
            assert found.to_list() == rows_of(made, task, code, split)


@pytest.mark.parametrize("task", TASKS)
def test_datasets_finds_every_language(made, task):
    """The card's configs are the benchmark's, all of them texts."""
    from datasets import get_dataset_config_names

    assert sorted(get_dataset_config_names(str(made / task))) == sorted(CODES[task])


def test_datasets_reads_the_sft_set(made, load_dataset):
    """Alpaca's columns, in the split `train`."""
    found = load_dataset(str(made / "sft"), split="train")
    assert found.column_names == ["instruction", "input", "output"]
    assert all(found["instruction"])
    assert all(found["output"])


def test_the_tables_of_languages_agree():
    """The codes above, copied from the cards, are those of the package's table."""
    languages = load_languages().values()
    first = [each.code for each in languages if each.in_global_mmlu]
    second = [each.code for each in languages if each.in_mmlu_prox]
    assert {"global_mmlu": first, "mmlu_prox": second} == CODES

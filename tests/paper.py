"""A study of real models and data: what `plan` is asked about, without any of them."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from polycal.storage import tables
from polycal.study import config as study
from polycal.study.languages import load_languages

MODELS = {
    "mistral": "mistralai/Mistral-7B-v0.1",
    "llama": "meta-llama/Llama-3.1-8B",
    "gemma": "google/gemma-2-2b",
}
SFT = {
    "alpaca": ("arazd/tulu_stanford_alpaca", "messages"),
    "tulu": ("allenai/tulu-3-sft-mixture", "messages"),
    "hermes": ("teknium/OpenHermes-2.5", "sharegpt"),
}


def paper_study(**changes: object) -> dict:
    """A complete study like the paper's, with some keys replaced."""
    languages = load_languages().values()
    plain = {
        "study": "paper",
        "models": [
            {"name": name, "repo": repo, "revision": "main"}
            for name, repo in MODELS.items()
        ],
        "sft": [
            {"name": name, "repo": repo, "revision": "main", "format": format}
            for name, (repo, format) in SFT.items()
        ],
        "smoothing": [0, 0.1, 0.2],
        "recipe": {"lr": [5e-6, 1e-5, 5e-5, 1e-4], "micro_batch_size": 1},
        "tasks": [
            {
                "name": "global_mmlu",
                "repo": "CohereLabs/Global-MMLU",
                "revision": "main",
                "format": "global_mmlu",
                "languages": [each.code for each in languages if each.in_global_mmlu],
            },
            {
                "name": "mmlu_prox",
                "repo": "li-lab/MMLU-ProX",
                "revision": "main",
                "format": "mmlu_prox",
                "languages": [each.code for each in languages if each.in_mmlu_prox],
            },
        ],
    }
    return study.complete({**plain, **changes})


def one_model(name: str, **recipe: object) -> dict:
    """The study with one model, one SFT set and one smoothing value."""
    whole = paper_study()
    return paper_study(
        models=[each for each in whole["models"] if each["name"] == name],
        sft=whole["sft"][:1],
        smoothing=[0],
        recipe={**whole["recipe"], "lr": [1e-5], **recipe},
    )


def save_prepared(
    resources: Path, entry: Mapping, *, rows: int = 10, left_out: int = 0
) -> None:
    """A prepared SFT set of an entry, as `prepare_sft` writes it.

    Args:
        resources: the folder of everything that is prepared.
        entry: the set's entry in a complete study.
        rows: conversations, of about 100 tokens each.
        left_out: conversations that its cap has left out.
    """
    held = [
        {
            "sft": entry["name"],
            "example_id": number,
            "messages": [{"role": "assistant", "content": f"{number:0400}"}],
        }
        for number in range(rows)
    ]
    tables.write(
        pa.Table.from_pylist(held, tables.SCHEMAS["conversations"]),
        resources / "sft" / f"{entry['name']}.parquet",
        "conversations",
        **{key: entry[key] for key in ("repo", "format", "filter", "max_examples")},
        counts={"dropped_by_max_examples": left_out},
    )

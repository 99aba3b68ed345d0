"""Shape of a model, by a table or by its own config.json."""

import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pyarrow import csv

from polycal.errors import InputError
from polycal.study.grid import is_local

# Model types that tie the head, or cap attention scores, unless config.json says not.
_TIED = ("gemma", "gemma2", "gemma3_text", "vaultgemma")
_SOFT_CAPS = {"gemma2": 50.0, "vaultgemma": 50.0}


@dataclass(frozen=True)
class Model:
    """Shape of a decoder with gated feed-forward layers (Llama's family).

    Norms and biases are left out: they are less than a thousandth of the parameters.
    """

    layers: int
    hidden: int  # width of the residual stream
    intermediate: int  # width of the feed-forward layer
    query: int  # width of all query heads together
    kv: int  # width of all key heads together
    heads: int  # query heads
    vocabulary: int  # rows of the embedding table
    tied: bool  # the head is the embedding table
    soft_cap: bool  # attention scores are capped, which fused attention cannot do
    stored_bytes: int  # per parameter in the repository; 0: nothing is downloaded
    tokenizer: str  # column of fertility.csv
    quantised: bool = False  # weights take less memory than their number says

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """The linear maps of a layer, by transformers' names: (inputs, outputs)."""
        return {
            "self_attn.q_proj": (self.hidden, self.query),
            "self_attn.k_proj": (self.hidden, self.kv),
            "self_attn.v_proj": (self.hidden, self.kv),
            "self_attn.o_proj": (self.query, self.hidden),
            "mlp.gate_proj": (self.hidden, self.intermediate),
            "mlp.up_proj": (self.hidden, self.intermediate),
            "mlp.down_proj": (self.intermediate, self.hidden),
        }

    @property
    def body(self) -> int:
        """Parameters that every token is multiplied by."""
        return self.layers * sum(rows * width for rows, width in self.linear.values())

    @property
    def head(self) -> int:
        """Parameters that a token is multiplied by where its logits are needed."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters; an embedding table that is also the head counts once."""
        return self.body + self.head * (1 if self.tied else 2)


@functools.cache
def read_table(name: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a table in `data/`, by their first column."""
    flags = csv.ConvertOptions(true_values=["yes"], false_values=["no"])
    with (files("polycal") / "data" / name).open("rb") as file:
        rows = csv.read_csv(file, convert_options=flags).to_pylist()
    return {next(iter(row.values())): row for row in rows}


def find_model(repo: str, prepared: Path) -> Model | None:
    """Return the size of a full model; None if unknown.

    Raises:
        InputError: a config.json is not JSON.
    """
    if row := read_table("model_sizes.csv").get(repo):
        known = {name: row[name] for name in Model.__dataclass_fields__ if name in row}
        return Model(**known)
    folders = [Path(repo), prepared] if is_local(repo) else [prepared]
    for folder in folders:
        if (folder / "config.json").is_file():
            return _read_model(folder / "config.json")
    return None


def _read_model(path: Path) -> Model | None:
    """Return the size that a config.json states; None for another architecture."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); restore it") from None
    if not isinstance(config, dict):
        raise InputError(f"{path} is not a model's configuration; restore it")
    if any("expert" in key for key in config):
        return None  # a mixture of experts uses a part of its parameters for a token
    try:
        heads, kind = config["num_attention_heads"], config["model_type"]
        cap = config.get("attn_logit_softcapping", _SOFT_CAPS.get(kind))
        width = config.get("head_dim") or config["hidden_size"] // heads
        return Model(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            intermediate=config["intermediate_size"],
            query=heads * width,
            kv=(config.get("num_key_value_heads") or heads) * width,
            heads=heads,
            vocabulary=config["vocab_size"],
            tied=config.get("tie_word_embeddings", kind in _TIED),
            soft_cap=cap is not None,
            stored_bytes=0,
            tokenizer="llama3",
            quantised=bool(config.get("quantization_config")),
        )
    except KeyError:
        return None
    except (ZeroDivisionError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a model's configuration ({error}); restore it"
        ) from None

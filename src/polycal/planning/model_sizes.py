"""How big a model is: its matrices, by a table or by its own config.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from polycal.errors import InputError
from polycal.planning.sizes import read_table
from polycal.study import layout
from polycal.study.grid import is_local

# Model types that tie the head, or cap attention's scores, unless told not to.
_TIED = ("gemma", "gemma2", "gemma3_text", "vaultgemma")
_SOFT_CAPS = {"gemma2": 50.0, "vaultgemma": 50.0}


@dataclass(frozen=True)
class Model:
    """The matrices of a decoder with gated feed-forward layers (Llama's family).

    Norms and biases are left out: they are less than a thousandth.

    Attributes:
        layers: number of them.
        hidden: width of the residual stream.
        intermediate: width of the feed-forward layer.
        query: width of all query heads together.
        kv: width of all key heads together.
        heads: number of query heads.
        vocabulary: rows of the embedding table.
        tied: whether the head is the embedding table.
        soft_cap: whether attention's scores are capped, which fused attention cannot.
        stored_bytes: per parameter in the repository; 0: nothing is downloaded.
        tokenizer: column of the table of fertilities.
    """

    layers: int
    hidden: int
    intermediate: int
    query: int
    kv: int
    heads: int
    vocabulary: int
    tied: bool
    soft_cap: bool
    stored_bytes: int
    tokenizer: str

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """A layer's linear maps, by transformers' names: (inputs, outputs)."""
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
        """All of them; the embedding table counts once where it is the head."""
        return self.body + self.head * (1 if self.tied else 2)


def find_model(entry: Mapping, resources: Path) -> Model | None:
    """The sizes of a study's model; None if nobody knows them.

    Args:
        entry: the model's entry in the study.
        resources: folder of prepared models, SFT sets and tasks.

    Raises:
        InputError: a config.json is not JSON.
    """
    row = read_table("model_sizes.csv").get(entry["repo"])
    if row:
        flags = {name: row[name] == "yes" for name in ("tied", "soft_cap")}
        numbers = {
            name: int(row[name])
            for name in Model.__dataclass_fields__
            if name not in (*flags, "tokenizer")
        }
        return Model(**numbers, **flags, tokenizer=row["tokenizer"])
    folders = [Path(entry["repo"])] if is_local(entry["repo"]) else []
    prepared = layout.below(resources, layout.MODEL, model=entry["name"])
    for folder in [*folders, prepared]:
        if (folder / "config.json").is_file():
            return _read_model(folder / "config.json")
    return None


def _read_model(path: Path) -> Model | None:
    """The sizes that a config.json tells; None for an architecture of another kind."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})") from None
    if any("expert" in key for key in config):
        return None  # not every parameter is used for every token
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
        )
    except KeyError:
        return None

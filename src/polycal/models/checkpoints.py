"""What can be read of a checkpoint's directory without torch."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from polycal.errors import InputError


def check_directory(path: Path) -> None:
    """Refuse a checkpoint that is not there.

    Raises:
        InputError: it is not a directory.
    """
    if not path.is_dir():
        raise InputError(f"there is no checkpoint directory {path}")


def load_tokenizer(checkpoint: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that lies in a checkpoint's directory.

    Raises:
        InputError: there is none that can be read.
    """
    check_directory(checkpoint)
    try:
        return AutoTokenizer.from_pretrained(
            checkpoint, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{checkpoint} has no readable tokenizer: {error}") from error


def read_length(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens a model reads at once: a prompt that has more loses its start."""
    text = config.get_text_config()
    return getattr(text, "max_position_embeddings", tokenizer.model_max_length)

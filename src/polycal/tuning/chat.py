"""Write a conversation as one text with a chat template; find the assistant's turns."""

import logging
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from polycal.errors import InputError

# Llama's templates write today's date by default; their own fallback date makes the
# text of a conversation the same every day.
_DATE = "26 Jul 2024"
# Errors of templates on conversations that they do not support (no system role, two
# turns of one role, ...).
_REFUSALS = (TemplateError, ValueError, IndexError, TypeError)
_logger = logging.getLogger(__name__)


class RefusedError(Exception):
    """The chat template does not support a conversation."""


def choose_template(tokenizer: PreTrainedTokenizerBase, choice: str) -> None:
    """Set a tokenizer's chat template.

    Args:
        tokenizer: its own template is replaced unless that is chosen.
        choice: `own`; `tulu`; `alpaca`; or `auto`: `own` where there is one, else
            `tulu`.

    Raises:
        InputError: `own` is chosen and the tokenizer has none.
    """
    if choice in ("auto", "own") and tokenizer.chat_template is not None:
        return
    if choice == "own":
        raise InputError(
            "the tokenizer has no chat template of its own; set chat_template to tulu "
            "or alpaca"
        )
    if choice == "auto":
        choice = "tulu"
        _logger.info("the tokenizer has no chat template of its own; Tulu's is used")
    name = f"templates/{choice}.jinja"
    tokenizer.chat_template = files("polycal").joinpath(name).read_text("utf-8")


class Chat:
    """Writes conversations with one tokenizer's chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, choice: str) -> None:
        """Choose the template, as `choose_template` does.

        Raises:
            InputError: there is no such template.
        """
        choose_template(tokenizer, choice)
        self._tokenizer = tokenizer
        self._has_input_block = choice == "alpaca"
        if "strftime_now" in tokenizer.get_chat_template():
            _logger.warning(
                "the chat template may write the current date into every text"
            )

    def render(self, row: Mapping) -> tuple[str, list[tuple[int, int]]]:
        """Return a conversation's text, and the spans of the assistant's turns in it.

        A span includes the end-of-turn token. A turn that opens a conversation has no
        span, because it answers nothing.

        Args:
            row: of a conversations table.

        Returns:
            The text, and (begin, end) of every turn in characters.

        Raises:
            RefusedError: the template does not support the conversation.
            InputError: a turn is written differently when it is not the last one.
        """
        messages, where = self._write_turns(row), f"conversation {row['example_id']}"
        last, text = len(messages), None
        spans = []
        for index, message in enumerate(messages):
            if message["role"] != "assistant" or index == 0:
                continue
            before = self._apply(messages[:index], where, prompt=True)
            through = self._apply(messages[: index + 1], where, prompt=False)
            if index + 1 == last:
                text = through
            spans.append((before, through))
        if text is None:
            text = self._apply(messages, where, prompt=False)
        for before, through in spans:
            if not through.startswith(before) or not text.startswith(through):
                raise InputError(
                    f"{where}: the chat template writes a turn differently when it is "
                    "not the last one, so its tokens cannot be found; give the model a "
                    "chat template that writes every turn alike"
                )
        # A line break after the end-of-turn token is not the assistant's.
        return text, [(len(before), len(end.rstrip())) for before, end in spans]

    def _write_turns(self, row: Mapping) -> list[dict[str, str]]:
        first, *others = row["messages"]
        if row["input"] is None:
            return row["messages"]
        if self._has_input_block:
            return [{**first, "input": row["input"]}, *others]
        joined = f"{first['content']}\n\n{row['input']}"
        return [{**first, "content": joined}, *others]

    def _apply(self, messages: list[dict], where: str, *, prompt: bool) -> str:
        try:
            return self._tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=prompt,
                date_string=_DATE,
            )
        except _REFUSALS as error:
            raise RefusedError(
                f"{where}: the chat template refuses it: {error}"
            ) from error

"""Write a conversation as one text with a chat template; find the assistant's turns."""

import logging
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from polycal.errors import InputError
from polycal.models.chat_templates import RefusedError, render

_logger = logging.getLogger(__name__)


class Written(NamedTuple):
    """A conversation, or its part up to one turn, as text."""

    text: str  # with the template's tokens
    # (begin, end) of every turn that is learnt, in characters.
    spans: list[tuple[int, int]]


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
        added = tokenizer.added_tokens_decoder.values()
        self._special = tuple(token.content for token in added if token.special)
        try:
            tokenizer.get_chat_template()
        except ValueError as error:  # several, none of which is the default one
            raise InputError(
                f"the tokenizer has several chat templates and none called `default` "
                f"({', '.join(map(str, tokenizer.chat_template))}); set chat_template "
                "to tulu or alpaca"
            ) from error
        if not tokenizer.eos_token:
            _logger.warning(
                "the tokenizer has no EOS token: a turn that the chat template ends "
                "with no token is learnt without an end"
            )

    def render(self, row: Mapping) -> list[Written]:
        """Return a conversation as texts, and the spans of the assistant's turns.

        It is one text if the template writes a turn alike wherever it stands, and a
        token ends each of the assistant's turns. If not (Phi-3.5 ends every text with a
        token of its own, Qwen3 rewrites earlier turns, Falcon writes plain text), it is
        a text for each of the assistant's turns, which ends with that turn.

        A span includes the token that ends the turn: the one that the template writes
        after it, else the first token of the next turn (GLM-4), or EOS after the last
        turn. A turn that opens a conversation has no span, because it answers nothing.

        Raises:
            RefusedError: the template does not support the conversation.
            InputError: a rendering exceeds `template_limits`.
        """
        messages, where = self._write_turns(row), f"conversation {row['example_id']}"
        answers = [
            index
            for index, message in enumerate(messages)
            if message["role"] == "assistant" and index > 0
        ]
        parts = [
            (
                self._apply(messages[:index], where, prompt=True),
                self._apply(messages[: index + 1], where, prompt=False),
            )
            for index in answers
        ]
        if answers and answers[-1] == len(messages) - 1:
            text = parts[-1][1]
        else:
            text = self._apply(messages, where, prompt=False)
        for message in messages:
            role, content = message["role"], message["content"].strip()
            if role != "assistant" and content not in text:
                raise RefusedError(
                    f"{where}: the chat template leaves out or rewrites a {role} turn"
                )
        if all(
            through.startswith(before)
            and text.startswith(through)
            and self._is_ended(text, len(through.rstrip()))
            for before, through in parts
        ):
            written = Written(text, [])
            for before, through in parts:
                written = self._learn(written, len(before), len(through.rstrip()))
            return [written]
        return [
            self._learn(
                Written(through, []),
                self._find_begin(before, through, messages[index]["content"], where),
                len(through.rstrip()),
            )
            for index, (before, through) in zip(answers, parts, strict=True)
        ]

    def _is_ended(self, text: str, end: int) -> bool:
        """Return whether a token ends the turn that ends here, or can end no turn."""
        follows = text[end:].lstrip()
        return (
            not follows
            or text[:end].endswith(self._special)
            or follows.startswith(self._special)
            or not self._tokenizer.eos_token
        )

    def _learn(self, written: Written, begin: int, end: int) -> Written:
        """Add a span that ends with the token that ends the turn."""
        text, spans = written
        after = text[end:]
        follows = after.lstrip()
        if not text[:end].endswith(self._special):
            if following := [
                name for name in self._special if follows.startswith(name)
            ]:
                end += len(after) - len(follows) + len(max(following, key=len))
            elif not follows and self._tokenizer.eos_token:
                text = text[:end] + self._tokenizer.eos_token
                end = len(text)
        return Written(text, [*spans, (begin, end)])

    def _write_turns(self, row: Mapping) -> list[dict[str, str]]:
        first, *others = row["messages"]
        if row["input"] is None:
            return row["messages"]
        if self._has_input_block:
            return [{**first, "input": row["input"]}, *others]
        joined = f"{first['content']}\n\n{row['input']}"
        return [{**first, "content": joined}, *others]

    def _apply(self, messages: list[dict], where: str, *, prompt: bool) -> str:
        return render(self._tokenizer, messages, where, add_generation_prompt=prompt)

    def _find_begin(self, before: str, through: str, content: str, where: str) -> int:
        """Return where the last turn of a text begins.

        Some prompts for an answer are not what answers are written after (DeepSeek-R1's
        opens a thought); there the turn is sought by its content, before the tokens
        that end it.
        """
        if through.startswith(before):
            return len(before)
        content, written = content.strip(), through.rstrip()
        while ends := [name for name in self._special if written.endswith(name)]:
            shorter = written.removesuffix(max(ends, key=len)).rstrip()
            if content not in shorter:  # which ends with such a token itself
                break
            written = shorter
        begin = written.rfind(content)
        if begin < 0:
            raise RefusedError(
                f"{where}: the chat template rewrites an answer, so its tokens cannot "
                "be found"
            )
        return begin

"""Write conversations and questions with a tokenizer's chat template, as text."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from polycal.errors import InputError
from polycal.models.template_limits import (
    TODAY,
    TemplateLimitError,
    limited_rendering,
)
from polycal.study.prompts import ChatPrompt, Prompt

_DATE = TODAY.strftime("%d %b %Y")  # as Llama's templates write it
_logger = logging.getLogger(__name__)


class RefusedError(Exception):
    """The chat template does not support a conversation."""


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, str]],
    where: str,
    **settings: object,
) -> str:
    """Return a conversation as the tokenizer's chat template writes it.

    Settings are those of `apply_chat_template`, and variables of the template. A date
    is the same every day.

    Raises:
        RefusedError: the template does not support the conversation.
        InputError: the rendering exceeds `template_limits`.
    """
    try:
        with limited_rendering():
            text = tokenizer.apply_chat_template(
                list(messages), tokenize=False, **{"date_string": _DATE} | settings
            )
        text.encode()  # half of a character, which no tokenizer takes, is refused
        return text
    except TemplateLimitError as error:
        raise InputError(
            f"{where}: the chat template does not come to its end: {error}; give "
            "the model another chat template"
        ) from error
    # A template is a stranger's program: it may have no system role, want turns to
    # alternate, divide by zero, or call itself without end.
    except Exception as error:
        raise RefusedError(f"{where}: the chat template refuses it: {error}") from error


class ChatWriter:
    """Writes questions with one checkpoint's chat template, as `lm_eval` does.

    Attributes:
        opens_answer: whether the lead-in ("Answer:") begins the assistant's turn. Where
            the template does not allow that, it ends the user's turn.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, checkpoint: Path) -> None:
        """Try the template.

        Raises:
            InputError: the tokenizer has no chat template, or several and no default.
        """
        self._tokenizer, self._checkpoint = tokenizer, checkpoint
        try:
            tokenizer.get_chat_template()
        except ValueError as error:
            raise InputError(
                f"{checkpoint} has no chat template, which `prompt: chat` asks with; "
                "set `prompt: plain` for the task, or leave the model to a study "
                "without it, or put a chat_template.jinja beside the tokenizer of a "
                "local model"
            ) from error
        self.opens_answer = self._can_open()
        if not self.opens_answer:
            _logger.warning(
                "%s: the chat template allows no beginning of an answer; the lead-in "
                "ends the user's turn",
                checkpoint,
            )

    def _can_open(self) -> bool:
        trial = ChatPrompt((), "A question", "Answer:", ())
        try:
            text = self._render(trial.messages(opens_answer=True), opens=True)
        except RefusedError:
            return False
        return text.endswith(trial.lead_in)

    def write(self, asked: ChatPrompt) -> Prompt:
        """Return a question as the model is given it.

        Raises:
            RefusedError: the template does not support the question.
            InputError: the rendering exceeds `template_limits`.
        """
        opens = self.opens_answer
        text = self._render(asked.messages(opens_answer=opens), opens=opens)
        continuations = asked.continuations
        if not opens:  # they follow the template's own prompt for an answer
            continuations = tuple(text.removeprefix(" ") for text in continuations)
        # Questions of a subject share what stands before them.
        begin = max(text.rfind(asked.question.rstrip()), 0)
        return Prompt(text, continuations, text[:begin])

    def _render(self, messages: Sequence[Mapping[str, str]], *, opens: bool) -> str:
        try:
            return render(
                self._tokenizer,
                messages,
                "a prompt",
                add_generation_prompt=not opens,
                continue_final_message=opens,
                enable_thinking=False,  # an answer is scored, not a thought
            )
        except InputError as error:
            raise InputError(f"{self._checkpoint}, {error}") from error

"""Limit what one rendering of a chat template may cost.

A template is a stranger's program. Jinja's sandbox keeps it from files and from Python,
but not from endless loops and huge texts. Everything that can take long or become large
(a loop's step, a call, a filter, an operator, a joined text) passes a check here, in
any thread and any process.
"""

import contextlib
import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils import chat_template_utils

# What templates take for today; Llama's fall back to it, too.
TODAY = datetime(2024, 7, 26)
SECONDS = 10.0  # of CPU; a conversation of a hundred turns takes a hundredth of one
LARGEST = 10_000_000  # size of a value: a text's characters, 8 for an item of a list
_TOTAL = 20 * LARGEST  # size of all values that one rendering makes
_UNTIMED = 100  # steps, or thousands of characters, without a look at the clock
# Take quadratic time inside Jinja or Python, and no chat template needs them.
_REMOVED = ("lipsum", "urlize", "wordwrap")
_BITS = 4096  # of an integer
_WIDTH = re.compile(r"\d{7}")  # in a format string, such as %9999999d


class TemplateLimitError(Exception):
    """A chat template costs more than any conversation needs."""


class _Generator(CodeGenerator):
    """Lets the environment check `a ~ b` and lists, tuples and mappings."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("environment.join_texts((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802
        self._write_checked(super().visit_List, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802
        if node.ctx == "load":
            self._write_checked(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
        self._write_checked(super().visit_Dict, node, frame)

    def _write_checked(self, write: Callable, node: nodes.Node, frame: Frame) -> None:
        self.write("environment.keep(")
        write(node, frame)
        self.write(")")


class _LimitedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with limits on a rendering's CPU time and memory."""

    code_generator_class = _Generator
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def begin(self) -> None:
        """Begin a rendering: nothing is spent."""
        self._end, self._made = time.thread_time() + SECONDS, 0
        self._until_look = _UNTIMED

    def strftime_now(self, pattern: str) -> str:
        """Return a fixed date, so that a text is the same every day."""
        return TODAY.strftime(pattern)

    @property
    def step(self) -> bool:
        """Return true for a step of a loop; raise if the time is over."""
        return self._spend(1)

    def _spend(self, cost: int) -> bool:
        self._until_look -= cost
        if self._until_look < 0:
            if time.thread_time() > self._end:
                raise TemplateLimitError(f"it takes more than {SECONDS:g} s of CPU")
            self._until_look = _UNTIMED
        return True

    def keep(self, value: Any) -> Any:
        """Return a value that the template made, or raise if it is too large."""
        size = _measure(value)
        self._spend(1 + size // 1000)
        self._made += size
        if size > LARGEST or self._made > _TOTAL:
            raise TemplateLimitError("it makes texts that are too long")
        return value

    def concat(self, parts: Iterable[str]) -> str:
        """Join the texts of an output."""
        kept, size = [], 0
        for part in parts:
            kept.append(part)
            size += len(part)
            if size > LARGEST:
                break  # `keep` refuses it
        return self.keep("".join(kept))

    def join_texts(self, parts: Iterable[object]) -> str:
        """Join the operands of `~`."""
        return self.concat(str(self.finish(part)) for part in parts)

    def finish(self, value: object) -> object:
        """Return a value that is written, or raise if its text would be too long."""
        return value if isinstance(value, str) else self.keep(value)

    def call(
        self, context: Context, callee: object, /, *args: object, **kwargs: object
    ) -> object:
        """Call a function, a macro or a method from a template."""
        # The sandbox wraps `str.format`.
        owner = getattr(getattr(callee, "__wrapped__", callee), "__self__", None)
        if isinstance(owner, str):
            _check_growth(owner, *args, *kwargs.values())
        return self.keep(super().call(context, callee, *args, **kwargs))

    def call_binop(
        self, context: Context, operator: str, left: object, right: object
    ) -> object:
        """Apply an operator that can make large values."""
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * (right if operator == "**" else 1)
            if bits > _BITS:
                raise TemplateLimitError("it makes numbers that are too long")
        elif operator != "+":
            _check_growth(left, *(right if isinstance(right, tuple) else [right]))
        return self.keep(super().call_binop(context, operator, left, right))

    def limit_filter(self, name: str, function: Callable) -> Callable:
        """Return a filter with checks of its arguments and its result."""

        @functools.wraps(function)  # with the marks by which Jinja passes a context
        def limited(*args: object, **kwargs: object) -> object:
            data = [a for a in args if not isinstance(a, Context | Environment)]
            _check_growth(*data, *kwargs.values())
            options = [*data[1:], *kwargs.values()]
            if name == "sum" and any(isinstance(value, list) for value in options):
                raise TemplateLimitError("it adds lists, which takes quadratic time")
            return self.keep(function(*args, **kwargs))

        return limited

    def _parse(self, *source: Any) -> nodes.Template:
        """Parse a template; make every loop take a step per item."""
        tree = super()._parse(*source)
        for loop in tree.find_all(nodes.For):
            step = nodes.EnvironmentAttribute("step")
            loop.body.insert(0, nodes.ExprStmt(step).set_lineno(loop.lineno))
            if loop.test is not None:
                loop.test = nodes.And(step, loop.test)
        return tree


def _measure(value: object) -> int:
    """Return the size of a value with all that is in it; stop above `LARGEST`."""
    if isinstance(value, str):
        return len(value)
    size, rest = 0, [value]
    while rest and size <= LARGEST:
        part = rest.pop()
        if isinstance(part, str):
            size += len(part)
        elif isinstance(part, dict):
            size += 16 * len(part)
            rest += [*part, *part.values()]
        elif isinstance(part, list | tuple):
            size += 8 * len(part)
            rest += part
    return size


def _check_growth(*values: object) -> None:
    """Refuse an operation whose result could be huge.

    `'x'.ljust(n)`, `'x' * n`, `text.replace(a, b)` and the like make at most the
    product of their arguments' sizes.
    """
    product = 1
    for value in values:
        if isinstance(value, str | list | tuple | dict):
            product *= max(1, len(value))
        elif isinstance(value, int):
            product *= max(1, abs(value))
    width = isinstance(values[0], str) and len(values) > 1 and _WIDTH.search(values[0])
    if product > 100 * LARGEST or width:
        raise TemplateLimitError("it makes texts that are too long")


@functools.lru_cache(maxsize=8)
def _compile(compile_template: Callable, source: str) -> object:
    """Compile a template as transformers does it, but with limits."""
    # Compiling computes constants, so only the limited environment sees the source.
    environment = compile_template("").environment.overlay()
    environment.__class__ = _LimitedEnvironment
    environment.globals = dict(environment.globals)
    environment.globals["strftime_now"] = environment.strftime_now
    environment.filters = {
        name: environment.limit_filter(name, function)
        for name, function in environment.filters.items()
    }
    for name in _REMOVED:
        environment.globals.pop(name, None)
        environment.filters.pop(name, None)
    environment.finalize = environment.finish
    environment.begin()
    return environment.from_string(source)


@contextlib.contextmanager
def limited_rendering() -> Iterator[None]:
    """Context manager: one rendering by transformers raises above the limits.

    Raises:
        TemplateLimitError: the template takes too long or makes something too large.
    """
    original = chat_template_utils._compile_jinja_template

    def compile_limited(source: str) -> Any:
        template: Any = _compile(original, source)
        template.environment.begin()
        return template

    chat_template_utils._compile_jinja_template = compile_limited
    try:
        yield
    finally:
        chat_template_utils._compile_jinja_template = original

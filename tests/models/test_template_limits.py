"""A chat template ends, and its texts have a size, whatever it does."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tiny import CHAT_TEMPLATE, make_tiny_tokenizer

from polycal.errors import InputError
from polycal.models import template_limits
from polycal.models.template_limits import TemplateLimitError, limited_rendering
from polycal.tuning.chat import Chat, RefusedError

MESSAGES = [
    {"role": "user", "content": "what is red?"},
    {"role": "assistant", "content": "a stone"},
]
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
# Things that templates of models do, with what they give.
USED = {
    CHAT_TEMPLATE: "<|user|>\nwhat is red?<|assistant|>\na stone</s>",
    "{% for m in messages if m.role == 'user' %}{{ loop.last }}{% endfor %}": "True",
    "{% set n = namespace(x='') %}{% for m in messages %}{% set n.x = n.x ~ "
    "m.content|trim ~ 1 %}{% endfor %}{{ n.x }}": "what is red?1a stone1",
    "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(messages[0].role) }}": "<user>",
    "{{ messages|map(attribute='role')|join('-') }}": "user-assistant",
    "{{ messages[1]|tojson }}": '{"role": "assistant", "content": "a stone"}',
    "{{ messages[1:]|length + 2 * 3 ** 2 % 5 }}": "4",
    "{{ '%s|%s' % (1, 'b') }}{{ '{:>3}'.format(1) }}{{ 'ab'.replace('a', 'c') }}": (
        "1|b  1cb"
    ),
    "{{ messages[0].content.split(' ')[-1] }}{{ [1, (2, 3), {'a': 4}] }}": (
        "red?[1, (2, 3), {'a': 4}]"
    ),
    "{% for a, b in [(1, 2), (3, 4)] %}{{ a * b }},{% endfor %}": "2,12,",
    "{% for a in [1, [2]] recursive %}{{ loop(a) if a is sequence else a }}"
    "{% endfor %}": "12",
    "{% for a in range(9) %}{% if a == 1 %}{% continue %}{% endif %}{{ a }}"
    "{% if a == 2 %}{% break %}{% endif %}{% endfor %}": "02",
    "{% set x %}{{ messages[0].role }}!{% endset %}{{ x|upper }}": "USER!",
    "{{ 'x' ~ none }}{{ missing }}{{ [1, 2]|sum }}": "xNone3",
}
TOO_LONG = [
    LOOPS,
    "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}"
    "{% endfor %}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}",
    "{% for a in range(99999) %}{% set x = range(99999)|sort %}{% endfor %}",
]
DOUBLED = "{{% set n = namespace(x={}) %}}{{% for a in range(99) %}}{}{{% endfor %}}"
TOO_LARGE = [
    "{{ 'x' * 10000000000 }}",
    "{{ [1] * 10000000000 }}",
    "{{ 10 ** (10 ** 10) }}",
    DOUBLED.format("9", "{% set n.x = n.x * n.x %}"),
    DOUBLED.format("'x'", "{% set n.x = n.x ~ n.x %}"),
    DOUBLED.format("'x'", "{% set n.x = n.x + n.x %}"),
    DOUBLED.format("'x'", "{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}"),
    DOUBLED.format("[]", "{% set n.x = [n.x, n.x] %}"),
    DOUBLED.format("[]", "{% set n.x = (n.x, n.x) %}"),
    DOUBLED.format("[]", "{% set n.x = {0: n.x, 1: n.x} %}"),
    "{% for a in range(99999) %}{{ 'x' * 1000000 }}{% endfor %}",
    "{{ 'x'.ljust(10000000000) }}",
    "{{ 'x'|center(10000000000) }}",
    "{{ '{:>9999999999}'.format(1) }}",
    "{{ '{:>{}}'.format(1, 9999999999) }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ '%*d' % (9999999999, 1) }}",
    "{{ '%9999999999d'|format(1) }}",
    "{% set x = 'x' * 1000000 %}{{ x.replace('x', x) }}",
    "{% set x = 'x' * 1000000 %}{{ ([x] * 99999)|join }}",
    "{{ range(99999)|map('string')|map('center', 99999)|list|length }}",
    "{{ range(99999)|batch(1)|list|sum(start=[]) }}",
]


def render(template: str) -> str:
    tokenizer = make_tiny_tokenizer(chat_template=template)
    with limited_rendering():
        return tokenizer.apply_chat_template(MESSAGES, tokenize=False)


@pytest.fixture(autouse=True)
def a_fifth_of_a_second(monkeypatch):
    monkeypatch.setattr(template_limits, "SECONDS", 0.2)


@pytest.mark.parametrize("template", USED)
def test_what_templates_do_is_as_without_limits(template):
    """Digit for digit what transformers writes."""
    tokenizer = make_tiny_tokenizer(chat_template=template)
    plain = tokenizer.apply_chat_template(MESSAGES, tokenize=False)
    assert render(template).removeprefix("<s>") == USED[template]
    assert render(template) == plain


@pytest.mark.parametrize("template", TOO_LONG)
def test_a_rendering_without_end_ends(template):
    """Its steps are counted, so it takes no signal and no second process."""
    before = time.thread_time()
    with pytest.raises(TemplateLimitError, match=r"takes more than 0\.2 s of CPU"):
        render(template)
    assert time.thread_time() - before < 5


@pytest.mark.parametrize("template", TOO_LARGE)
def test_a_huge_value_is_never_made(template):
    """Neither in the output nor between."""
    before = time.thread_time()
    with pytest.raises(TemplateLimitError, match=r"too long|quadratic|CPU"):
        render(template)
    assert time.thread_time() - before < 5


@pytest.mark.parametrize("name", ["lipsum(9)", "'a'|wordwrap(1)", "'a'|urlize"])
def test_what_takes_quadratic_time_is_not_there(name):
    with pytest.raises(Exception, match=r"lipsum|wordwrap|urlize"):
        render(f"{{{{ {name} }}}}")


def test_each_rendering_begins_anew():
    """What one conversation takes is not counted for the next one."""
    long = "{% for a in range(99) %}{{ 'x' * 90000 }}{% endfor %}"
    for _ in range(15):
        assert len(render(long)) == 99 * 90_000


def test_it_holds_in_threads():
    """Where no signal could interrupt it."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(TemplateLimitError):
        pool.submit(render, LOOPS).result()


def test_tokenize_stops_at_the_first_such_conversation():
    """Each of a million would take its ten seconds."""
    chat = Chat(make_tiny_tokenizer(chat_template=LOOPS), "own")
    row = {"example_id": 7, "input": None, "messages": MESSAGES}
    with pytest.raises(InputError, match=r"conversation 7: .*more than 0.2 s of CPU"):
        chat.render(row)


@pytest.mark.parametrize(
    "template", ["{{ 1 // 0 }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"]
)
def test_any_error_of_a_template_refuses_the_conversation(template):
    """It is one line about the template, not a traceback."""
    chat = Chat(make_tiny_tokenizer(chat_template=template), "own")
    row = {"example_id": 7, "input": None, "messages": MESSAGES}
    with pytest.raises(RefusedError, match=r"conversation 7: the chat template refus"):
        chat.render(row)

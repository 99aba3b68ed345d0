"""Every language of MMLU-ProX has its own word, and it is the harness's."""

import re

import pytest

from polycal.errors import InputError
from polycal.study.languages import load_languages
from polycal.study.lead_ins import find_lead_in, load_lead_ins


def test_every_language_of_mmlu_prox_has_one():
    """And no other language, because there is no source for its word."""
    prox = {code for code, each in load_languages().items() if each.in_mmlu_prox}
    assert len(prox) == 29
    assert set(load_lead_ins()) == prox


def test_the_words_are_lm_eval_s():
    """Its lead-in up to the first colon, full-width ones included."""
    from lm_eval.tasks.mmlu_prox.lang_libs import LANG_LIBS

    theirs = {
        language: re.match(".*?[:：]", lines[2]).group()
        for language, lines in LANG_LIBS.items()
    }
    assert dict(load_lead_ins()) == theirs


def test_a_lead_in_is_written_out_or_the_language_s_own():
    """French has a space before its colon, Chinese and Japanese a wide one."""
    assert find_lead_in("Answer:", "sw") == "Answer:"
    found = [find_lead_in("own", code) for code in ("sw", "fr", "zh", "ja")]
    assert found == ["Jibu:", "Réponse :", "答案：", "回答："]


def test_a_language_without_a_word_is_told_where_to_write_it():
    """The message names the file and the other way out."""
    with pytest.raises(InputError, match=r"'am' has no lead-in .*lead_ins\.csv, or w"):
        find_lead_in("own", "am")

"""Texts of errors: one line, short, and made of characters that every terminal prints."""

import pickle

import pytest

from predictor.errors import AIOPError
from workers.errors import UnknownNameError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain: do that", "plain: do that"),
        ("ümlaut \U0001f600", "ümlaut \U0001f600"),
        ("one\ntwo\r\x85three", "one two  three"),
        ("\x1b[2Jx\0", "\\x1b[2Jx\\x00"),
        ("half \ud800", "half \\ud800"),
        ("turned \u202e", "turned \\u202e"),
    ],
)
def test_what_no_terminal_should_print_is_escaped(text: str, shown: str) -> None:
    assert str(AIOPError(text)) == shown


def test_a_long_text_keeps_its_cause_and_its_remedy() -> None:
    text = str(AIOPError(f"--set '{'x' * 10_000}': write FIELD=VALUE"))
    assert len(text) <= 1500
    assert text.startswith("--set 'xxx")
    assert text.endswith("xxx': write FIELD=VALUE")
    assert len(str(AIOPError("\0" * 10_000))) <= 1500


def test_only_a_list_of_problems_has_several_lines() -> None:
    assert str(AIOPError("two are wrong", ["line 1: a\nb", "line 2: c"])) == "two are wrong\n  line 1: a b\n  line 2: c"


def test_errors_survive_a_way_to_another_process() -> None:
    for error in (AIOPError("two", ["a", "b"]), UnknownNameError("task", "x", ["y"])):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
        assert (type(copy), str(copy)) == (type(error), str(error))

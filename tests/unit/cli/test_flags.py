"""Flags in the style of Go's ``flag`` package."""

from __future__ import annotations

import pytest

from rostra.cli.flags import HelpAsked, Parser, key_value
from rostra.errors import BadRequest


@pytest.fixture
def parser() -> Parser:
    parser = Parser("frobnicate", "Does it.", arguments="[FILE...]", arguments_max=2)
    parser.switch("wan", "Far away.")
    parser.value("status", "Which.")
    parser.number("port", "Where.")
    parser.values("tag", "What.")
    parser.values("meta", "More.", convert=key_value)
    return parser


@pytest.mark.parametrize("words", [["-status", "x"], ["-status=x"], ["--status", "x"], ["--status=x"], ["-status=y", "-status=x"]])
def test_a_value_is_given_with_one_dash_or_two_with_or_without_an_equals_sign_and_the_last_counts(parser: Parser, words: list[str]) -> None:
    assert parser.parse(words).status == "x"


@pytest.mark.parametrize("value", ["", "-x", "a=b", "a b", "-wan"])
def test_a_value_may_be_anything_even_what_looks_like_a_flag(parser: Parser, value: str) -> None:
    assert parser.parse(["-status", value]).status == value
    assert parser.parse([f"-status={value}"]).status == value


@pytest.mark.parametrize(("word", "value"), [("-wan", True), ("--wan", True), ("-wan=true", True), ("-wan=0", False), ("-wan=F", False)])
def test_a_switch_is_on_when_it_is_there_unless_it_says_otherwise(parser: Parser, word: str, value: bool) -> None:
    assert parser.parse([word]).wan is value


def test_repeated_flags_add_up_and_start_empty_each_time(parser: Parser) -> None:
    assert parser.parse(["-tag", "a", "-tag=b", "-meta", "k=v=w"]).tag == ["a", "b"]
    assert parser.parse(["-meta", "k=v=w"]).meta == [("k", "v=w")]
    assert parser.parse([]).tag == []


def test_a_switch_takes_no_following_word_and_flags_may_follow_arguments(parser: Parser) -> None:
    options = parser.parse(["-wan", "one", "-status", "x", "--", "-two"])
    assert (options.wan, options.status, options.arguments) == (True, "x", ["one", "-two"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-stats=x"], 'flag provided but not defined: -stats (did you mean "-status"?)'),
        (["-s=x"], "flag provided but not defined: -s"),
        (["-status"], "flag needs an argument: -status"),
        (["-wan=perhaps"], "-wan: invalid boolean value 'perhaps'"),
        (["-port=many"], "-port: invalid int value: 'many'"),
        (["-meta=k"], "-meta: missing \"=\" in 'k'"),
        (["a", "b", "c"], "too many arguments (expected 2, got 3)"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_the_culprit_and_the_help(parser: Parser, words: list[str], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parser.parse(words)
    assert str(caught.value) == f"rostra frobnicate: {message}; rostra frobnicate -h lists the flags"


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_help_lists_every_flag(parser: Parser, word: str) -> None:
    with pytest.raises(HelpAsked) as asked:
        parser.parse(["-port", "1", word])
    text = asked.value.parser.format_help()
    assert text.startswith("Usage: rostra frobnicate [options] [FILE...]\n\n  Does it.\n")
    for name in ("-wan\n", "-status=<value>\n", "-port=<number>\n", "-tag=<value>\n", "-meta=<value>\n"):
        assert f"  {name}     " in text

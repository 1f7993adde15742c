"""Regular expressions from the network."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.errors import BadRequest
from rostra.gossip.expressions import compile_expression

atoms = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\.", r"\w", r"[\d-]"])
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{2,3}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        st.tuples(st.sampled_from(["^", "(?:$|b)"]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=8,
)


@given(expressions, st.text("abc1.-", max_size=8))
def test_it_finds_what_pythons_own_finds(pattern: str, text: str) -> None:
    try:
        found = compile_expression(pattern).is_found_in(text)
    except BadRequest:
        return  # larger than the limit
    assert found == bool(re.search(pattern.replace("$", r"\Z"), text))


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("", "", True),
        ("web", "myweb1", True),
        ("^web$", "myweb", False),
        ("(?i)WEB", "web", True),
        ("a{2,3}b", "aab", True),
        ("a{x}", "a{x}", True),
        (r"\Aa\z", "a", True),
        ("[]a]", "]", True),
        ("ü.", "üx", True),
    ],
)
def test_examples(pattern: str, text: str, found: bool) -> None:
    assert compile_expression(pattern).is_found_in(text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "*",
        "a**",
        "[a",
        "[z-a]",
        "\\",
        r"\p{L}",
        r"\b",
        "(?P<n>a)",
        "(?=a)",
        "[[:alpha:]]",
        "a{2000}",
        "a{3,2}",
        "a{0}",
        "x" * 600,
    ],
)
def test_what_is_wrong_or_beyond_is_refused(pattern: str) -> None:
    with pytest.raises(BadRequest):
        compile_expression(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(a*)*b", "((a{9}){9})+c"])
def test_no_expression_takes_long(pattern: str) -> None:
    started = time.process_time()
    with contextlib.suppress(BadRequest):
        compile_expression(pattern).is_found_in("a" * 500 + "!")
    assert time.process_time() - started < 10, "one that tries every way takes for ever"
